"""A system that somebody has published or asked for, and how stepcell goes about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...network.network import Network
from ...problems.problem import Problem
from ..recipes import Claim, PublishedRecipe


@dataclass(frozen=True)
class Experiment:
    """A row of a paper.

    Attributes:
        source: Paper and experiment.
        success: What was reached, in words.
        sequences: Training sequences until success; None: not said.
        largest_error: The criterion of success: no output is further off, in any of `judged` sequences. 0: another.
        judged: How many sequences it was judged by.
    """

    source: str
    success: str
    sequences: int | None = None
    largest_error: float = 0.0
    judged: int = 10_000


@dataclass(frozen=True)
class System:
    """One row of the reproduction.

    Attributes:
        name: Short and unique.
        group: "tutorials", "questions", "extensions" or "paper".
        about: What is learned, in words.
        problem: What stepcell trains for it.
        network: With which network.
        reason: Why things are as they are.
        claim: What a tutorial says, with its recipe; None: it is no tutorial's.
        variants: The recipe with one thing changed, by what is changed: they show why.
        experiment: What a paper says; None: it is no paper's.
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
