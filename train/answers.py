"""What a model answered on some streams, and every way to look at that."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np

from ..runtime.arrays import AnyArray, Float32, Ids
from .problem import Streams
from .score import Score


@dataclass(frozen=True)
class Answers:
    """The answers to streams of shape (T, B), one symbol at a time.

    Attributes:
        streams: What was asked.
        right: bool of shape (T, B): the answer is right.
        nats: float32 of the same shape: negative log-probability of the right answer.
        named: int32 of the same shape: the most likely output.
    """

    streams: Streams
    right: AnyArray
    nats: Float32
    named: Ids

    def score(self) -> Score:
        """Return the figures over all answers that count."""
        weights = self.streams.weights
        count = max(float(weights.sum()), 1.0)
        worst = float(self.nats.max(where=weights > 0, initial=0.0))
        return Score(
            float((self.right * weights).sum()) / count,
            float((self.nats.astype(np.float64) * weights).sum()) / count,
            int((weights > 0).sum()),
            len(weights),
            exp(-worst),
        )

    def positions(self) -> AnyArray:
        """Return how many symbols the state had seen at each answer since it was last reset, shape (T, B), from 1."""
        steps = np.arange(1, len(self.streams.resets) + 1)[:, None]
        last_reset = np.maximum.accumulate(np.where(self.streams.resets, steps - 1, 0), axis=0)
        positions: AnyArray = steps - last_reset
        return positions

    def by_position(self) -> list[dict[str, float]]:
        """Return accuracy and nats by the number of symbols since the last reset, in ranges that double."""
        positions, weights = self.positions(), self.streams.weights
        rows = []
        first = 1
        while first <= positions.max():
            chosen = (positions >= first) & (positions < 2 * first) & (weights > 0)
            if chosen.any():
                row = {"from": first, "to": 2 * first - 1, "answers": int(chosen.sum())}
                accuracy, nats = float(self.right[chosen].mean()), float(self.nats[chosen].mean())
                rows.append({**row, "accuracy": accuracy, "nats_per_symbol": nats})
            first *= 2
        return rows

    def confusion(self, outputs: int) -> AnyArray:
        """Return how often each target (row) was answered by each output (column), int of shape (K, K)."""
        counted = self.streams.weights > 0
        table = np.zeros((outputs, outputs), np.int64)
        np.add.at(table, (self.streams.targets[counted], self.named[counted]), 1)
        return table


def windows(streams: Streams, length: int, count: int, seed: int) -> Streams:
    """Return the streams in which each answer is given from nothing but the last `length` symbols before it.

    Args:
        streams: Where the symbols come from.
        length: Symbols in a window, the one to be answered the last of them.
        count: How many windows to draw, at most.
        seed: Of the draw.

    Returns:
        Streams of shape (length, at most `count`) that count at their last step alone.
    """
    steps, lanes = np.nonzero(streams.weights[length - 1 :])
    drawn = np.random.default_rng([seed, 9]).permutation(len(steps))[:count]
    ends, lanes = steps[drawn] + length, lanes[drawn]
    places = ends - length + np.arange(length)[:, None]  # (length, count)
    weights = np.zeros(places.shape, np.float32)
    weights[-1] = 1
    resets = np.zeros(places.shape, bool)
    resets[0] = True
    allowed = None if streams.allowed is None else streams.allowed[places, lanes]
    numbers = None if streams.numbers is None else streams.numbers[places, lanes]
    return Streams(streams.inputs[places, lanes], streams.targets[places, lanes], weights, resets, allowed, numbers)
