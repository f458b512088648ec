"""The recall problem: a key, a long stretch of distraction, and the question what the key was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..runtime.errors import ProblemError
from ..runtime.vocabulary import Vocabulary
from .episodes import Episode, EpisodeProblem, side_by_side
from .network import CELLS
from .problem import Recipe, Streams
from .score import Score

_QUESTION = "?"
_LONG = 300  # from here on a small learning rate is needed
_TWICE = 64  # sequences of twice the lag


@dataclass(frozen=True)
class Recall(EpisodeProblem):
    """A key, `lag` random distractors, and "?": the answer is the key. Nothing else is asked.

    Long time lags with random distractors (Hochreiter and Schmidhuber 1997, experiments 2b and 2c).

    Attributes:
        lag: Distractors between key and question.
        keys: How many keys there are: "k0", "k1", ...
        distractors: How many distractors there are: "d0", "d1", ...
        extra: Each sequence has up to so many distractors more, so that the moment of the question cannot be counted.

    Raises:
        ProblemError: Values that make no problem; all of them are named.
    """

    resets: ClassVar[float] = 1.0
    lanes: ClassVar[int] = 32

    lag: int = 100
    keys: int = 10
    distractors: int = 8
    extra: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        problems = [
            f"{name} is {getattr(self, name)}, {least} is the least"
            for name, least in (("lag", 1), ("keys", 2), ("distractors", 1), ("extra", 0))
            if getattr(self, name) < least
        ]
        if problems:
            raise ProblemError(f"This recall problem cannot be made: {'; '.join(problems)}.")

    @property
    def name(self) -> str:
        """See `Problem.name`."""
        return "recall"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`: keys, distractors, the question."""
        keys, distractors = (
            tuple(f"{c}{n}" for n in range(count)) for c, count in (("k", self.keys), ("d", self.distractors))
        )
        return Vocabulary((*keys, *distractors, _QUESTION))

    @cached_property
    def labels(self) -> Vocabulary:
        """See `Problem.labels`: the keys."""
        return Vocabulary(self.vocabulary.symbols[: self.keys])

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        return Recipe(
            time_steps=self.lag + self.extra + 2,
            learning_rate=dict.fromkeys(CELLS, 0.01 if self.lag < _LONG else 0.003),
            schedule="by_accuracy",
            updates=20_000,
            per_block=25,
            evaluate_every=100,
            xla=True,
            judged_by="per_sequence",
            longest_lag=self.lag,
        )

    def draw(self, random: np.random.Generator) -> Episode:
        """See `EpisodeProblem.draw`."""
        count = self.lag + (int(random.integers(0, self.extra + 1)) if self.extra else 0)
        key = int(random.integers(0, self.keys))
        between = random.integers(self.keys, self.keys + self.distractors, count)
        inputs = np.concatenate([[key], between, [self.keys + self.distractors]]).astype(np.int32)
        weights = np.zeros(len(inputs), np.float32)
        weights[-1] = 1
        return Episode(inputs, np.full(len(inputs), key, np.int32), weights)

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`; also sequences of twice the lag, which are never learned from."""
        twice = replace(self, lag=2 * self.lag)
        return {**super().evaluations(seed), "twice_the_lag": side_by_side(twice.examples(seed)[:_TWICE])}

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: every key is recalled, at twice the lag too."""
        return scores["per_sequence"].accuracy == scores["twice_the_lag"].accuracy == 1.0

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {"lag": self.lag, "keys": self.keys, "distractors": self.distractors, "extra": self.extra}
