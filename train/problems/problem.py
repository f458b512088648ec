"""Problems: what there is to learn, as streams of symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log, nan
from typing import Any, Protocol

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ...runtime.data import FeatureStats
from ...runtime.format.vocabulary import Vocabulary


@dataclass(frozen=True)
class Score:
    """How good a model is on some streams.

    Attributes:
        accuracy: Share of the answers whose most likely symbol is the right one.
        nats: Mean negative log-probability of the right answer.
        answers: How many answers counted.
        steps: Length of the streams.
        min_probability: The lowest probability that a right answer was given; nan: not known.
    """

    accuracy: float
    nats: float
    answers: int
    steps: int
    min_probability: float = nan

    def to_json(self) -> dict[str, float]:
        """Return the figures, with bits per symbol and perplexity, as a JSON object."""
        return {
            "accuracy": self.accuracy,
            "nats_per_symbol": self.nats,
            "bits_per_symbol": self.nats / log(2),
            "perplexity": exp(min(self.nats, 700.0)),
            "answers": self.answers,
            "steps": self.steps,
            "lowest_probability": self.min_probability,
        }


@dataclass(frozen=True)
class Batches:
    """The data of several updates. U updates, T time steps, B lanes; lanes are streams learned side by side.

    Attributes:
        inputs: int32 of shape (U, T, B).
        targets: int32 of the same shape: the right answer to each input.
        weights: float32 of the same shape: 0 where there is nothing to answer yet.
        resets: bool of shape (U, B): forget the state of this lane before this update. Otherwise it is carried over
            from the update before, as a device carries it. Or (U, T, B): forget it before this symbol, where sequences
            begin within chunks.
        numbers: float32 of shape (U, T, B, F): the features of each input, as a device is fed them; None: none.
    """

    inputs: Ids
    targets: Ids
    weights: Float32
    resets: AnyArray
    numbers: Float32 | None = None


@dataclass(frozen=True)
class Streams:
    """Streams to be evaluated one symbol at a time. T time steps, B streams.

    Attributes:
        inputs: int32 of shape (T, B).
        targets: int32 of the same shape.
        weights: float32 of the same shape: 1 where the answer counts.
        resets: bool of the same shape: forget the state before this symbol.
        allowed: bool of shape (T, B, K): all outputs that would be right, where there are several. An answer is then
            right if each of them is more likely than every other output. None: the target alone is right.
        numbers: float32 of shape (T, B, F): the features of each input, as a device is fed them; None: none.
    """

    inputs: Ids
    targets: Ids
    weights: Float32
    resets: AnyArray
    allowed: AnyArray | None = None
    numbers: Float32 | None = None


@dataclass(frozen=True)
class Recipe:
    """How a problem is best trained, unless its user knows better.

    Attributes:
        time_steps: Length of the chunks that gradients flow through.
        learning_rate: The highest learning rate for each kind of cell.
        schedule: How it changes, one of `SCHEDULES`.
        max_updates: Most updates to make.
        updates_per_call: Updates per call of the compiled loop; progress is shown and Ctrl-C heard between calls.
        evaluate_every: Updates between evaluations.
        xla: Compile with XLA: 2 to 4 seconds once, then 1.5 to 9 times faster.
        patience: Evaluations without a better result after which training ends; None: never.
        monitor: The evaluation that decides which weights are the best.
        max_lag: Steps over which something has to be remembered, for the initialisation of the gates; 0: as Keras.
        curriculum: Easier problems of the same vocabularies to be learned first, one after the other.
    """

    time_steps: int
    learning_rate: Mapping[str, float]
    schedule: str
    max_updates: int
    updates_per_call: int
    evaluate_every: int
    xla: bool
    patience: int | None = None
    monitor: str = "carried"
    max_lag: int = 0
    curriculum: tuple[Problem, ...] = ()


class Data(Protocol):
    """What is known about data before anything has been learned from them."""

    @property
    def scales(self) -> tuple[FeatureStats, ...]:
        """The features beside the symbols, and how far they spread."""

    def record(self) -> dict[str, Any]:
        """Return what is to stand in the model file beside how it was trained."""

    def table(self) -> tuple[list[str], list[list[str]], str]:
        """Return header, rows and a note that show what was read."""

    def picture(self) -> bytes | None:
        """Return a PNG that shows it; None without matplotlib."""


class Problem(Protocol):
    """Something to learn. Everything it hands out follows from its values, the seed and the number of the update."""

    @property
    def name(self) -> str:
        """What the problem is called: the sub-command that trains it."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols of the inputs."""

    @property
    def labels(self) -> Vocabulary | None:
        """The symbols of the targets; None: a target is the symbol that comes next."""

    @property
    def recipe(self) -> Recipe:
        """How to train it."""

    @property
    def data(self) -> Data | None:
        """What is known about the data, where they were read and not made."""

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """Return the data of some updates, the same ones whenever they are asked for.

        Args:
            first: Number of the first update, from 0 on.
            updates: How many.
            seed: Everything random follows from it.
        """

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """Return the streams to judge a model by, by name.

        One of them is `carried`, whose state is never reset on the way.

        Args:
            seed: Everything random follows from it.
        """

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """Tell whether there is nothing left to learn.

        Args:
            scores: Name of an evaluation -> what the model has there.
        """

    def to_json(self) -> dict[str, Any]:
        """Return everything needed to make this problem again."""
