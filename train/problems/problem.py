"""Problems: their data as streams of symbols, their recipes and the scores on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import exp, log, nan
from typing import Any, Protocol

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ...runtime.data import FeatureStats
from ...runtime.format.vocabulary import Vocabulary
from ..network.values import ValueScaling
from .value_score import ValueScore


@dataclass(frozen=True)
class Score:
    """How good a model is on some streams.

    Attributes:
        accuracy: Fraction of the answers whose most likely symbol is the right one.
        nats: Mean negative log-probability of the right answer.
        answers: Number of answers that counted.
        steps: Length of the streams.
        min_probability: The lowest probability of a right answer; nan: not known.
        carried_accuracy: Of windows: the accuracy on the same answers with the state carried; None: not known.
        standard_error: Of windows: that of the difference of the two accuracies.
    """

    accuracy: float
    nats: float
    answers: int
    steps: int
    min_probability: float = nan
    carried_accuracy: float | None = None
    standard_error: float = 0.0

    @property
    def loss(self) -> float:
        """The figure by which the best weights are chosen: the nats."""
        return self.nats

    def facts(self) -> dict[str, Any]:
        """Return the figures that a model file records."""
        return {"accuracy": self.accuracy, "bits_per_symbol": float(f"{self.nats / log(2):.6g}")}

    def to_json(self) -> dict[str, float]:
        """Return the figures, with bits per symbol and perplexity, as a JSON object."""
        beside = {} if self.carried_accuracy is None else {
            "carried_accuracy": self.carried_accuracy, "standard_error": self.standard_error,
        }  # fmt: skip
        return {
            "accuracy": self.accuracy,
            "nats_per_symbol": self.nats,
            "bits_per_symbol": self.nats / log(2),
            "perplexity": exp(min(self.nats, 700.0)),
            "answers": self.answers,
            "steps": self.steps,
            "lowest_probability": self.min_probability,
            **beside,
        }


@dataclass(frozen=True)
class Batches:
    """The data of several updates. U updates, T time steps, B batch rows, each a stream.

    Attributes:
        inputs: int32 of shape (U, T, B); zeros where features are the only input.
        targets: int32 of the same shape: the right answer to each input. Or float32 of shape (U, T, B, K): its values.
        weights: float32 of shape (U, T, B): 0 where no answer is asked for.
        resets: bool of shape (U, B): reset the state of this row before this update. Otherwise it is carried over from
            the update before, as a device carries it. Or (U, T, B): reset it before this symbol, where sequences begin
            within chunks.
        features: float32 of shape (U, T, B, F): the features of each input, as a device is fed them; None: none.
    """

    inputs: Ids
    targets: AnyArray
    weights: Float32
    resets: AnyArray
    features: Float32 | None = None


@dataclass(frozen=True)
class Streams:
    """Streams for evaluation, one symbol at a time. T time steps, B streams.

    Attributes:
        inputs: int32 of shape (T, B); zeros where features are the only input.
        targets: int32 of the same shape; or values, float32 of shape (T, B, K).
        weights: float32 of shape (T, B): 1 where the answer counts.
        resets: bool of the same shape: reset the state before this symbol.
        allowed: bool of shape (T, B, K): all right outputs, where there are several. An answer is then right if each of
            them is more likely than every other output. None: the target alone is right.
        features: float32 of shape (T, B, F): the features of each input, as a device is fed them; None: none.
    """

    inputs: Ids
    targets: AnyArray
    weights: Float32
    resets: AnyArray
    allowed: AnyArray | None = None
    features: Float32 | None = None


@dataclass(frozen=True)
class Recipe:
    """The best known way to train a problem.

    Attributes:
        time_steps: Length of the chunks that gradients flow through.
        learning_rate: Peak learning rate for each kind of cell.
        schedule: Schedule of the learning rate, one of `SCHEDULES`.
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
    schedule: str = "by_accuracy"
    max_updates: int = 20_000
    updates_per_call: int = 25
    evaluate_every: int = 50
    xla: bool = True
    patience: int | None = None
    monitor: str = "carried"
    max_lag: int = 0
    curriculum: tuple[Problem, ...] = ()


class DataSummary(Protocol):
    """What is known about recorded data before training."""

    @property
    def scales(self) -> tuple[FeatureStats, ...]:
        """The features beside the symbols, with mean and variance."""

    @property
    def values(self) -> ValueScaling | None:
        """The scale of the values that are answered; None: answers are symbols or labels."""

    def record(self) -> dict[str, Any]:
        """Return the part of the model file that describes the data."""

    def baselines(self) -> Mapping[str, Score | ValueScore]:
        """Return name -> the score on the held-out data of what needs no network."""

    def table(self) -> tuple[list[str], list[list[str]], str]:
        """Return header, rows and a note for the terminal."""

    def picture(self) -> bytes | None:
        """Return a PNG; None without matplotlib."""


class Problem(Protocol):
    """Something to learn. All its data follow from its values, the seed and the number of the update."""

    @property
    def name(self) -> str:
        """The name of the problem: the sub-command that trains it."""

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols of the inputs."""

    @property
    def labels(self) -> Vocabulary | None:
        """The symbols of the targets; None: a target is the next symbol."""

    @property
    def recipe(self) -> Recipe:
        """The way to train it."""

    @property
    def data(self) -> DataSummary | None:
        """The summary of the data; None where they are generated."""

    @property
    def weighed_lengths(self) -> tuple[float, float] | None:
        """Mean length of the sequences that are learned from and held out; None: lengths weigh nothing."""

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """Return the data of some updates, the same ones at each call.

        Args:
            first: Number of the first update, from 0 on.
            updates: Number of updates.
            seed: Random seed.
        """

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """Return the streams for evaluation, by name.

        One of them is `carried`, whose state is never reset on the way.

        Args:
            seed: Random seed.
        """

    def learned_sample(self) -> Streams | None:
        """Return a part of the data that are learned from, of the shape of the held-out streams; None: generated."""

    def is_solved(self, scores: Mapping[str, Any]) -> bool:
        """Return whether there is nothing left to learn.

        Args:
            scores: Name of an evaluation -> its score, a `Score`; of values a `ValueScore`.
        """

    def to_json(self) -> dict[str, Any]:
        """Return everything needed to make this problem again."""


@dataclass(frozen=True)
class GeneratedProblem:
    """The parts that all problems with generated data share: no labels, no summary, and their fields as JSON."""

    @property
    def labels(self) -> Vocabulary | None:
        """See `Problem.labels`."""
        return None

    @property
    def data(self) -> None:
        """See `Problem.data`."""
        return

    @property
    def weighed_lengths(self) -> None:
        """See `Problem.weighed_lengths`: there are none."""
        return

    def learned_sample(self) -> None:
        """See `Problem.learned_sample`: all data are drawn anew."""
        return

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def sizes_of(problem: Problem) -> tuple[int, int, int]:
    """Return the size of the vocabulary, the number of outputs, and that of the features of a network for `problem`."""
    summary = problem.data
    values = None if summary is None else summary.values
    outputs = (
        len(problem.vocabulary if problem.labels is None else problem.labels) if values is None else len(values.names)
    )
    return len(problem.vocabulary), outputs, 0 if summary is None else len(summary.scales)
