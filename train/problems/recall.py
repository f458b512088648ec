"""The recall problem: a key, many distractors, and a question for the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ...runtime.common.errors import raise_if_any
from ...runtime.format.vocabulary import Vocabulary
from ..network.network import CELLS
from .episodes import Episode, EpisodeProblem, side_by_side
from .problem import Batches, Recipe, Score, Streams

_QUESTION = "?"
_BATCH_ROWS = 32
_ASKED = 5  # times in each chunk that is learned from, beside the question at its end
_GO_ON = 0.25  # share of the chunks that may go on in the next one
_LONGEST_LAG, _MOST = 10_000, 5_000  # chunks are as long as the one, tables grow with the square of the other
_TWICE = 64  # sequences of twice the lag
_SURE = 0.8  # the least probability of a right answer: no output is 0.2 off or more, the criterion of experiment 2c


@dataclass(frozen=True)
class Recall(EpisodeProblem):
    """A key, `lag` random distractors, and "?": the answer is the key. Nothing else is asked.

    Long time lags with random distractors (Hochreiter and Schmidhuber 1997, experiments 2b and 2c).

    The training sequences are easier than the test sequences at first, and harder in the end. The question is asked
    early too, at moments whose logarithms are evenly spread: the short lags among them are learned first and open the
    way to the long ones. And some sequences go on for a second chunk without a new key, the state carried over: the
    memory must not fade right behind the longest lag. At a lag of 500 this takes 250 updates; the question at the end
    alone takes 500, and then often fails at twice the lag (benchmarks/training.py).

    Attributes:
        lag: Distractors between key and question.
        keys: How many keys there are: "k0", "k1", ...
        distractors: How many distractors there are: "d0", "d1", ...
        extra: Each sequence has up to so many distractors more, so that the moment of the question cannot be counted.

    Raises:
        ProblemError: Values that make no problem; all of them are named.
    """

    name = "recall"

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
        problems += [
            f"{name} is {getattr(self, name)}, {most} is the most"
            for name, most in (("lag", _LONGEST_LAG), ("extra", _LONGEST_LAG), ("keys", _MOST), ("distractors", _MOST))
            if getattr(self, name) > most
        ]
        raise_if_any(problems, "This recall problem cannot be made")

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
        rates = dict.fromkeys(CELLS, 0.01)
        return Recipe(self.lag + self.extra + 2, rates, monitor="per_sequence", max_lag=2 * self.lag)

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """See `Problem.batches`."""
        chunks = [self._chunk(update, seed) for update in range(first, first + updates)]
        inputs, targets, weights, resets = (np.stack(part) for part in zip(*chunks, strict=True))
        return Batches(inputs, targets, weights, resets)

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
        """See `Problem.is_solved`: every key is recalled and none with doubt, at twice the lag too."""
        names = ("per_sequence", "twice_the_lag")
        return all(scores[name].accuracy == 1.0 and scores[name].min_probability > _SURE for name in names)

    def _chunk(self, update: int, seed: int) -> tuple[Ids, Ids, Float32, AnyArray]:
        """Return inputs, targets and weights (T, B) of one update, and which lanes begin anew."""
        steps, question = self.recipe.time_steps, self.keys + self.distractors
        random = np.random.default_rng([seed, 4, update])
        keys, may_go_on = self._keys(update, seed)
        keys_before, went_on = self._keys(update - 1, seed) if update else (keys, np.ones(_BATCH_ROWS, bool))
        goes_on = may_go_on & ~went_on  # never for a third chunk
        inputs = random.integers(self.keys, question, (steps, _BATCH_ROWS), dtype=np.int32)
        inputs[0, ~goes_on] = keys[~goes_on]
        early = np.exp(random.uniform(0, np.log(steps - 1), (_ASKED, _BATCH_ROWS))).astype(int)
        asked = np.concatenate([early, np.full((1, _BATCH_ROWS), steps - 1)]), np.arange(_BATCH_ROWS)
        weights = np.zeros((steps, _BATCH_ROWS), np.float32)
        inputs[asked], weights[asked] = question, 1
        targets = np.broadcast_to(np.where(goes_on, keys_before, keys), inputs.shape).astype(np.int32)
        return inputs, targets, weights, ~goes_on

    def _keys(self, update: int, seed: int) -> tuple[Ids, AnyArray]:
        """Return the new key of each lane in a chunk, and whether the sequence before may go on instead."""
        random = np.random.default_rng([seed, 3, update])
        return random.integers(0, self.keys, _BATCH_ROWS, dtype=np.int32), random.random(_BATCH_ROWS) < _GO_ON
