"""Lanes: one long stream cut in parts that are stepped side by side, with a certificate that nothing was lost.

Each part begins some symbols early, from the initial state: most models have forgotten by then how they began. Whether
this one has is not assumed. Where a lane ends, its state must be the one with which the next lane began in earnest;
where it is not, the next lane is done once more from the true state, symbol by symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..common.arrays import Float32, Ids
from ..interpreters.base import initial_state
from ..interpreters.batch import Batch
from ..streams.snapshot import Snapshot, State
from .distribution import Float64

if TYPE_CHECKING:
    from ..streams.stream import Stream

LANES, BURN_IN = 64, 128
FEWEST = LANES * BURN_IN * 8  # symbols; with fewer the symbols that are stepped twice cost more than lanes save
# Largest difference of a state between two ways to the same place, relative above 1. Rounding alone makes 2.4e-7 of it
# (LSTM, 50 and 256 units, a million symbols), which changes a log-probability by 7e-6 at most.
TOLERANCE = 1e-5
_ANSWERS_AT_A_TIME = 1 << 17  # probabilities that are judged together: they stay in the cache

# (answers (N, K), ids (N,)) -> log-probabilities and ranks, (N,) each
Judge = Callable[[Float32, Ids], tuple[Float64, Ids]]


@dataclass(frozen=True)
class Lanes:
    """The certificate of a score that was made in lanes.

    Attributes:
        count: How many lanes there were.
        redone: How many of them had to be done once more, because the model remembered further back.
        mismatch: Largest difference of a state where lanes meet, of those that were not redone; relative above 1.
    """

    count: int
    redone: int
    mismatch: float


def forgets(stream: Stream, ids: Ids) -> bool:
    """Try on the first of `ids` whether the model forgets within a burn-in how it began; the stream stays."""
    before = stream.snapshot()
    try:
        stream.run_ids(ids[: 2 * BURN_IN])
        truth = stream.state
        stream.reset()
        stream.run_ids(ids[BURN_IN : 2 * BURN_IN])
        return _mismatch(stream.state, truth) <= TOLERANCE
    finally:
        stream.go_to(before)


def score_in_lanes(
    stream: Stream, batch: Batch, ids: Ids, judge: Judge, log_probabilities: Float64, ranks: Ids
) -> Lanes:
    """Score all but the first of `ids`, given the state of `stream`, which moves to their end.

    Args:
        stream: The stream.
        batch: One of its model, for `LANES` streams.
        ids: (T,), at least `FEWEST`.
        judge: Says how likely each id was, given the answer before it.
        log_probabilities: Is filled in from its second element on, (T,).
        ranks: Likewise.
    """
    start, manifest = stream.snapshot(), stream.file.manifest
    length = -(-len(ids) // LANES)
    firsts = np.arange(LANES) * length
    padded = np.concatenate([ids, np.zeros(LANES * length + 1 - len(ids), np.int32)])
    # What the lanes are fed, a row for each step, and then what comes after their last: the first of the next lane.
    fed = np.empty((length + 1, LANES), np.int32)
    fed[:-1], fed[-1] = padded[:-1].reshape(LANES, length).T, padded[length::length]
    memory = batch.state
    for name, value in initial_state(manifest.state).items():
        memory()[name][...] = value
    for step in range(-BURN_IN, 0):
        batch.compute(padded[np.maximum(firsts + step, 0)])
        batch.feed_back()
    for name, value in start.state.items():
        memory()[name][0] = value[0]  # the first lane has a state before it
    begun = {name: array.copy() for name, array in memory().items()}
    last = len(ids) - 1 - firsts[-1]  # the last lane ends here; behind it is padding
    block = np.empty((max(1, _ANSWERS_AT_A_TIME // batch.answers.size), *batch.answers.shape), np.float32)
    found, order = np.empty((length, LANES)), np.empty((length, LANES), np.int32)  # of the symbols after each step
    for first in range(0, length, len(block)):
        part = slice(first, min(first + len(block), length))
        for step in range(part.start, part.stop):
            batch.compute(fed[step])
            block[step - first] = batch.answers
            batch.feed_back()
            if step == last:
                end = {name: array[-1:].copy() for name, array in memory().items()}
                answer = batch.answers[-1].copy()
        answers = block[: part.stop - part.start].reshape(-1, block.shape[2])
        following = fed[part.start + 1 : part.stop + 1].reshape(-1)
        judged = judge(answers, following)
        found[part], order[part] = (each.reshape(-1, LANES) for each in judged)
    log_probabilities[1:], ranks[1:] = (each.T.reshape(-1)[: len(ids) - 1] for each in (found, order))
    ends = [{name: array[lane : lane + 1].copy() for name, array in memory().items()} for lane in range(LANES)]
    ends[-1] = end
    redone, worst = 0, 0.0
    for lane in range(1, LANES):
        mismatch = _mismatch({name: array[lane : lane + 1] for name, array in begun.items()}, ends[lane - 1])
        if mismatch <= TOLERANCE:
            worst = max(worst, mismatch)
            continue
        redone += 1
        part = slice(firsts[lane], min(firsts[lane] + length, len(ids)))
        stream.go_to(Snapshot(ends[lane - 1], 1))
        answers = stream.run_ids(ids[part])
        known = slice(part.start + 1, min(part.stop + 1, len(ids)))
        log_probabilities[known], ranks[known] = judge(answers[: known.stop - known.start], ids[known])
        ends[lane] = stream.state
        if lane == LANES - 1:
            answer = answers[-1]
    stream.go_to(Snapshot(ends[-1], start.symbols_seen + len(ids), {manifest.answer: answer}))
    return Lanes(LANES, redone, worst)


def _mismatch(found: State, expected: State) -> float:
    """Return the largest difference, relative above 1; infinite where it is not a number."""
    differences = [np.abs(found[n] - array) / np.maximum(1, np.abs(array)) for n, array in expected.items()]
    worst = float(max(np.max(difference) for difference in differences))
    return worst if np.isfinite(worst) else np.inf
