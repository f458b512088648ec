"""Lanes: one long stream, cut in parts that are stepped side by side, with a certificate that nothing was lost.

Each lane begins some symbols early, from the initial state: most models have forgotten by then how they began. This is
checked for each lane. Its last state must be the one with which the next lane began to count; otherwise the next lane
is repeated from the true state, symbol by symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..common.arrays import Float32, Ids
from ..interpreters.batch import Batch
from ..streams.snapshot import Snapshot, State
from ..streams.static import after_reset
from ..streams.stream import Stream
from .distribution import Float64

LANES, BURN_IN = 64, 128
FEWEST = LANES * BURN_IN * 8  # symbols; with fewer, the symbols that are stepped twice cost more than lanes save
# Largest difference of a state between two ways to the same place, relative above 1. Rounding alone makes 2.4e-7 of it
# (LSTM, 50 and 256 units, a million symbols), which changes a log-probability by 7e-6 at most.
TOLERANCE = 1e-5
_SMALLEST = 1e-30  # of a state, where it is all 0
_PROBABILITIES_AT_A_TIME = 1 << 17  # scored together: they stay in the cache

# (outputs (N, K), ids (N,) that followed) -> log-probabilities and ranks, (N,) each
Scorer = Callable[[Float32, Ids], tuple[Float64, Ids]]


@dataclass(frozen=True)
class Lanes:
    """The certificate of a score that was computed in lanes.

    Attributes:
        count: Number of lanes.
        redone: How many of them were repeated, because the model remembered further back.
        mismatch: Largest difference of a state where lanes meet, of those that were not repeated; relative above 1.
    """

    count: int
    redone: int
    mismatch: float

    def describe(self) -> str:
        """Return the certificate as a sentence."""
        return (
            f"scored in {self.count} lanes, {self.redone} of them redone; where they meet, states differ by "
            f"{self.mismatch:.1e} at most"
        )


def forgets(stream: Stream, ids: Ids) -> bool:
    """Try on the first of `ids` whether the model forgets its start within a burn-in. The stream does not move."""
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
    stream: Stream, batch: Batch, ids: Ids, scorer: Scorer, log_probabilities: Float64, ranks: Ids
) -> Lanes:
    """Score all but the first of `ids`, given the state of `stream`, which moves to their end.

    Args:
        stream: The stream. Where it is after an exception is undefined.
        batch: A batch of its model, for `LANES` streams.
        ids: (T,), at least `FEWEST`.
        scorer: Scores ids, given the outputs before them.
        log_probabilities: Filled in from its second element on, (T,).
        ranks: Filled in likewise, (T,).
    """
    start, manifest = stream.snapshot(), stream.file.manifest
    length = -(-len(ids) // LANES)
    padding = LANES * length - len(ids)  # steps of the first lane before the stream begins, whose outputs do not count
    firsts = np.arange(LANES) * length - padding
    padded = np.concatenate([np.zeros(padding, np.int32), ids, np.zeros(1, np.int32)])
    # The symbols of all lanes, a row for each step, and then the symbol after their last: the first of the next lane.
    fed = np.empty((length + 1, LANES), np.int32)
    fed[:-1], fed[-1] = padded[:-1].reshape(LANES, length).T, padded[length::length]
    for name, value in after_reset(manifest, start.state).items():
        batch.state()[name][...] = value
    for step in range(-BURN_IN, 0):
        batch.compute(ids[np.maximum(firsts + step, 0)])
        batch.feed_back()
    begun = _states_of(batch)
    block = np.empty((max(1, _PROBABILITIES_AT_A_TIME // batch.answers.size), *batch.answers.shape), np.float32)
    found, order = np.empty((length, LANES)), np.empty((length, LANES), np.int32)  # of the symbol after each step
    for first in range(0, length, len(block)):
        part = slice(first, min(first + len(block), length))
        for step in range(part.start, part.stop):
            if step == padding:
                for name, value in start.state.items():
                    batch.state()[name][0] = value[0]
            batch.compute(fed[step])
            block[step - first] = batch.answers
            batch.feed_back()
        outputs = block[: part.stop - part.start].reshape(-1, block.shape[2])
        scored = scorer(outputs, fed[part.start + 1 : part.stop + 1].reshape(-1))
        found[part], order[part] = (each.reshape(-1, LANES) for each in scored)
    log_probabilities[1:], ranks[1:] = (each.T.reshape(-1)[padding:-1] for each in (found, order))
    ends, output = _states_of(batch), batch.answers[-1].copy()
    redone, worst = 0, 0.0
    for lane in range(1, LANES):
        mismatch = _mismatch(begun[lane], ends[lane - 1])
        if mismatch <= TOLERANCE:
            worst = max(worst, mismatch)
            continue
        redone += 1
        stream.go_to(Snapshot(ends[lane - 1], 1))
        outputs = stream.run_ids(ids[firsts[lane] : firsts[lane] + length])
        following = ids[firsts[lane] + 1 : firsts[lane] + 1 + length]  # one less in the last lane
        known = slice(firsts[lane] + 1, firsts[lane] + 1 + len(following))
        log_probabilities[known], ranks[known] = scorer(outputs[: len(following)], following)
        ends[lane] = stream.state
        output = outputs[-1] if lane == LANES - 1 else output
    stream.go_to(Snapshot(ends[-1], start.symbols_seen + len(ids), {manifest.answer: output}))
    return Lanes(LANES, redone, worst)


def _states_of(batch: Batch) -> list[State]:
    """Return a copy of the state of each lane."""
    copies = {name: array.copy() for name, array in batch.state().items()}
    return [{name: array[lane : lane + 1] for name, array in copies.items()} for lane in range(LANES)]


def _mismatch(found: State, expected: State) -> float:
    """Return the largest difference, relative above 1; infinite if one is not a number.

    Of a tensor whose numbers are all small it is relative to the largest of them.
    """
    differences = [
        np.abs(found[n] - array) / np.maximum(min(1.0, max(float(np.abs(array).max()), _SMALLEST)), np.abs(array))
        for n, array in expected.items()
    ]
    worst = float(max(np.max(difference) for difference in differences))
    return worst if np.isfinite(worst) else np.inf
