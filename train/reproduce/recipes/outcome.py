"""What comes out when a published recipe is run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ....runtime.common.errors import raise_if_any


@dataclass(frozen=True)
class Outcome:
    """What a recipe achieved.

    Attributes:
        accuracy: Share of right answers by the measure of the claim, 0 to 1.
        streamed: Share of right answers when the trained weights are stepped one symbol at a time, with the state
            carried over a stream at least ten times as long as the training sequence. None: the inputs of the recipe
            cannot be streamed.
        cpu_seconds: Of building and fitting, all threads together.
        details: Further measurements by name; numbers are shares of 0 to 1, texts are answers.
    """

    accuracy: float
    streamed: float | None
    cpu_seconds: float
    details: Mapping[str, float | str] = field(default_factory=dict)


class PublishedRecipe(Protocol):
    """A network, its data and its training, as somebody published them. The same seed gives the same outcome."""

    @property
    def epochs(self) -> int:
        """Passes through the data; each may be over data drawn anew."""

    def run(self, seed: int, progress: Callable[[float], None] = ...) -> Outcome:
        """Train with `model.fit` and measure.

        Args:
            seed: Of Keras, numpy and the data; the global random state is set from it.
            progress: Is called after every epoch with the share of them that is done.

        Returns:
            What was measured. Ctrl-C ends the run without an outcome: `KeyboardInterrupt` is passed on.
        """


def silent(share: float) -> None:
    """Show no progress."""


def refuse_if(problems: Mapping[str, bool]) -> None:
    """Refuse values that make no recipe.

    Args:
        problems: For each thing that may be wrong, in words, whether it is.

    Raises:
        ProblemError: Something is wrong; all of it is named.
    """
    raise_if_any([text for text, wrong in problems.items() if wrong], "This recipe cannot be run")
