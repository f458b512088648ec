"""The systems of the reproduction: claims, experiments, and the problem and network that stepcell trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..network.network import Network
from ..problems.problem import Problem
from .recipe import PublishedRecipe


@dataclass(frozen=True)
class Claim:
    """The claim of a page about a recipe.

    Attributes:
        name: Short and unique.
        about: The task, in words.
        accuracy: The claimed fraction of right answers, 0 to 1.
        source: The page.
        recipe: Its recipe, with its values as defaults.
    """

    name: str
    about: str
    accuracy: float
    source: str
    recipe: PublishedRecipe


@dataclass(frozen=True)
class Experiment:
    """A row of a paper.

    Attributes:
        source: Paper and experiment.
        success: The result, in words.
        sequences: Training sequences until success; None: not said.
        largest_error: The criterion of success: no output is further off, in any of `tested` sequences. 0: another.
        tested: Number of test sequences.
    """

    source: str
    success: str
    sequences: int | None = None
    largest_error: float = 0.0
    tested: int = 10_000


@dataclass(frozen=True)
class System:
    """One row of the reproduction.

    Attributes:
        name: Short and unique.
        group: "tutorials", "questions", "extensions" or "paper".
        about: The task, in words.
        problem: The problem that stepcell trains for it.
        network: The network that stepcell trains.
        reason: Why things are as they are.
        claim: The claim of a tutorial, with its recipe; None: it is no tutorial's.
        variants: Recipes with one thing changed, by the name of the change: they show why.
        experiment: The result of a paper; None: it is no paper's.
    """

    name: str
    group: str
    about: str
    problem: Problem
    network: Network
    reason: str
    claim: Claim | None = None
    variants: Mapping[str, PublishedRecipe] = field(default_factory=dict)
    experiment: Experiment | None = None

    @property
    def source(self) -> str:
        """The page or the paper; empty where there is none."""
        return self.claim.source if self.claim else self.experiment.source if self.experiment else ""
