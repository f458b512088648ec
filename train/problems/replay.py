"""The replay problem: repeat a sequence, in part or backwards if so wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...runtime.common.errors import raise_if_any
from ...runtime.format.vocabulary import Vocabulary
from ..network.network import CELLS
from .episodes import Episode, EpisodeProblem
from .problem import Recipe, Score

_PROMPT = "?"
_SEQUENCES = 4  # in a chunk
_LONG = 8  # symbols: from here on a smaller learning rate ends nearer to perfect


@dataclass(frozen=True)
class Replay(EpisodeProblem):
    """Random symbols, then one prompt "?" for each answer; the answers are the symbols, or a part of them, again.

    The whole sequence is the context: nothing can be answered from the prompts, which are all alike. While the
    sequence is being listened to, nothing is asked.

    No reset is needed between sequences, and models are judged by that too: a device that is switched on in the middle
    of a stream, or is never told where a sequence begins, is right from the next sequence on. Chunks begin from nothing
    half of the time, so that a device that does reset is right as well.

    Attributes:
        symbols: Size of the alphabet "0", "1", ...
        length: Symbols in a sequence, the longest one if they vary.
        first: Place of the first symbol that is asked for, counted from 0.
        count: How many are asked for; None: all from `first` to the end.
        reverse: The last symbol of the part is asked for first.
        shortest: Symbols in the shortest sequence, every length from there to `length` occurs; None: all are equal.

    Raises:
        ProblemError: Values that make no problem; all of them are named.
    """

    name = "replay"

    symbols: int = 10
    length: int = 5
    first: int = 0
    count: int | None = None
    reverse: bool = False
    shortest: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        shortest = self.length if self.shortest is None else self.shortest
        if self.symbols < 2:
            problems.append(f"an alphabet of {self.symbols} leaves nothing to remember, 2 or more do")
        if self.length < 1:
            problems.append(f"a sequence of {self.length} symbols is none, 1 is the least")
        if self.shortest is not None and not 1 <= self.shortest <= self.length:
            problems.append(f"the shortest sequence has {self.shortest} symbols, it must be from 1 to {self.length}")
        if self.first < 0:
            problems.append(f"first is {self.first}, it is counted from 0")
        if self.count is not None and self.count < 1:
            problems.append(f"count is {self.count}, 1 is the least")
        asked = self.first + (self.count or 1)
        if self.first >= 0 and 1 <= shortest < asked:
            problems.append(
                f"symbol {asked - 1}, counted from 0, is asked for in a sequence of {shortest}: "
                f"first and count together may be {shortest} at most"
            )
        raise_if_any(problems, "This replay problem cannot be made")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`: the symbols and the prompt."""
        return Vocabulary((*self.labels.symbols, _PROMPT))

    @cached_property
    def labels(self) -> Vocabulary:
        """See `Problem.labels`: the symbols."""
        return Vocabulary.of_ids(self.symbols)

    @property
    def batch_rows(self) -> int:
        """See `EpisodeProblem.batch_rows`."""
        return 32

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`; several sequences to a chunk, so that the state after one must not disturb the next."""
        asked = self.length - self.first if self.count is None else self.count
        rate = 0.04 if self.length < _LONG else 0.02
        return Recipe(
            _SEQUENCES * (self.length + asked), dict.fromkeys(CELLS, rate),
            max_updates=50_000, updates_per_call=50, evaluate_every=100,
        )  # fmt: skip

    def draw(self, random: np.random.Generator) -> Episode:
        """See `EpisodeProblem.draw`."""
        shortest = self.length if self.shortest is None else self.shortest
        sequence = random.integers(0, self.symbols, int(random.integers(shortest, self.length + 1)), dtype=np.int32)
        asked = sequence[self.first : None if self.count is None else self.first + self.count]
        prompts = np.full(len(asked), self.symbols, np.int32)
        nothing = np.zeros(len(sequence), np.int32)
        return Episode(
            np.concatenate([sequence, prompts]),
            np.concatenate([nothing, asked[::-1] if self.reverse else asked]),
            np.concatenate([nothing, np.ones(len(asked))]).astype(np.float32),
        )

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: every answer is right, with resets between sequences and without."""
        return scores["carried"].accuracy == scores["per_sequence"].accuracy == 1.0
