"""The echo problem: answer with the symbol of some steps ago."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...runtime.common.arrays import Float32, Ids
from ...runtime.common.errors import raise_if_any
from ...runtime.format.vocabulary import Vocabulary
from ..network.network import CELLS
from .problem import Batches, GeneratedProblem, Recipe, Score, Streams

_BATCH_ROWS = 32
_RESETS = 0.1  # fraction of the chunks that begin with a reset: a device must also start well
_STREAMS, _STREAM_LENGTH = 16, 2000
_MOST_SYMBOLS, _LONGEST_LAG = 10_000, 10_000  # tables grow with the square of the one, chunks with the other
_SOLVED = 0.9999
_TIME_STEPS = 25
# Lags from here on need a curriculum and a learning rate that ends low: 10 numbers out of 100 are 66 bits that move on
# at every step. A GRU of 256 units learns that in five CPU-minutes (benchmarks/training.py, row echo-10).
_LONG, _UPDATES = 8, 19_500
_MISSING = "missing"


@dataclass(frozen=True)
class Echo(GeneratedProblem):
    """Random symbols come one at a time; the answer to each is the symbol `lag` steps before it.

    Nothing but the state can know it. The first `lag` answers after a reset are not asked for.

    Attributes:
        symbols: Size of the alphabet "0", "1", ...
        lag: Steps back; 0 is the symbol itself.
        missing: Fraction of the inputs that are replaced by "missing". It is never an answer: missing inputs are not
            asked for.

    Raises:
        ProblemError: Values that make no problem; all of them are named.
    """

    name = "echo"

    symbols: int = 100
    lag: int = 1
    missing: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        if self.symbols < 2:
            problems.append(f"an alphabet of {self.symbols} leaves nothing to remember, 2 or more do")
        if self.symbols > _MOST_SYMBOLS:
            problems.append(f"an alphabet of {self.symbols} is too large to be one-hot, {_MOST_SYMBOLS} is the most")
        if self.lag < 0:
            problems.append(f"the lag is {self.lag}, and the future cannot be echoed")
        if self.lag > _LONGEST_LAG:
            problems.append(f"no network echoes over a lag of {self.lag}, {_LONGEST_LAG} is the most")
        if not 0 <= self.missing < 1:
            problems.append(f"the share of missing inputs is {self.missing}, it must be 0 or more and below 1")
        raise_if_any(problems, "This echo problem cannot be made")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`."""
        return Vocabulary((*self.labels.symbols, _MISSING)) if self.missing else self.labels

    @cached_property
    def labels(self) -> Vocabulary:
        """See `Problem.labels`: the answers are symbols of the same alphabet, and not the next ones."""
        return Vocabulary.of_ids(self.symbols)

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`; a long lag is learned over all shorter ones, one after the other."""
        if self.lag >= _LONG:
            steps = 2 * self.lag
            shorter = (_Shorter(self.symbols, lag, self.missing, steps) for lag in range(1, self.lag))
            slow = replace(self._recipe(steps, 0.005), schedule="cosine", max_updates=_UPDATES, evaluate_every=1000)
            return replace(slow, curriculum=tuple(shorter))
        return self._recipe(_TIME_STEPS, 0.01)

    def _recipe(self, time_steps: int, learning_rate: float) -> Recipe:
        rates = dict.fromkeys(CELLS, learning_rate)
        return Recipe(time_steps, rates, max_updates=50_000, updates_per_call=50, evaluate_every=200)

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """See `Problem.batches`: endless random streams, cut into chunks."""
        steps = self.recipe.time_steps
        chunks = np.stack([self._chunk(update, seed) for update in range(first - 1, first + updates)])  # (U + 1, T, B)
        inputs = chunks[1:]
        # A chunk is at least as long as the lag, so the answers stand in it or in the one before it.
        targets = np.concatenate([chunks[:-1], inputs], axis=1)[:, steps - self.lag : 2 * steps - self.lag]
        resets = np.stack(
            [np.random.default_rng([seed, 4, u]).random(_BATCH_ROWS) for u in range(first, first + updates)]
        )
        fresh = resets < _RESETS
        fresh[0] |= first == 0  # nothing comes before the first chunk
        known = np.arange(steps)[:, None] >= self.lag  # (T, 1): within a chunk that begins from nothing
        weights = (known | ~fresh[:, None, :]).astype(np.float32)
        return Batches(inputs, *self._asked(targets, weights), fresh)

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`: streams far longer than any chunk."""
        shape = (max(_STREAM_LENGTH, 10 * self.recipe.time_steps), _STREAMS)
        inputs = self._inputs(np.random.default_rng([seed, 5]), shape)
        weights = np.ones(inputs.shape, np.float32)
        weights[: self.lag] = 0
        asked = self._asked(np.roll(inputs, self.lag, axis=0), weights)
        return {"carried": Streams(inputs, *asked, np.zeros(inputs.shape, bool))}

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`."""
        return scores["carried"].accuracy >= _SOLVED

    def _chunk(self, update: int, seed: int) -> Ids:
        """Return the inputs of one update, shape (T, B); there is a chunk before the first."""
        return self._inputs(np.random.default_rng([seed, 6, update + 1]), (self.recipe.time_steps, _BATCH_ROWS))

    def _inputs(self, random: np.random.Generator, shape: tuple[int, int]) -> Ids:
        """Return random inputs, int32 of shape `shape`, some of them missing; that id comes after all others."""
        inputs = random.integers(0, self.symbols, shape, dtype=np.int32)
        return np.where(random.random(shape) < self.missing, np.int32(self.symbols), inputs) if self.missing else inputs

    def _asked(self, targets: Ids, weights: Float32) -> tuple[Ids, Float32]:
        """Return targets and weights without those that are missing; a target has to be some output all the same."""
        there = targets < self.symbols
        return np.where(there, targets, np.int32(0)), weights * there


@dataclass(frozen=True)
class _Shorter(Echo):
    """A shorter lag in chunks of the same length, so that nothing is compiled anew when the lag grows."""

    time_steps: int = _TIME_STEPS

    @property
    def recipe(self) -> Recipe:
        return self._recipe(self.time_steps, 0.0)
