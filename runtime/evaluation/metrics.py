"""Metrics of predictions: accuracy, bits, calibration and mistakes, from a few numbers about each symbol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import log, nan
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Floats, Ids, Indices
from ..data import EncodedSequences
from ..tasks.distribution import SMALLEST, Float64, ranks_of

PROBABILITIES_AT_A_TIME = 1 << 20  # in memory
_FEW = 10  # symbols that a range of positions must have to be a row of its own
_BINS = 10  # of the confidence; Guo et al. 2017 use 15, most of which are empty for few symbols


@dataclass(frozen=True, eq=False)
class SymbolScores:
    """N symbols and how they were predicted, each from the symbols before it.

    Attributes:
        targets: int32 of shape (N,): the symbols.
        predicted: int32 of the same shape: the likeliest symbols.
        confidence: float64 of the same shape: their probabilities.
        log_probabilities: float64 of the same shape: of the targets, natural logarithm; at least that of 2**-126.
        ranks: int32 of the same shape: of the targets, 1 for the likeliest; of equally likely symbols the lower id is
            first.
        positions: int64 of the same shape: position of the symbol in its sequence, from 1.
    """

    targets: Ids
    predicted: Ids
    confidence: Float64
    log_probabilities: Float64
    ranks: Ids
    positions: Indices

    @classmethod
    def of(cls, probabilities: Floats, targets: Ids, positions: Indices) -> SymbolScores:
        """Return the scores of distributions of shape (N, K) for `targets`, shape (N,)."""
        rows = np.arange(len(targets))
        chosen = probabilities[rows, targets].astype(np.float64)
        predicted = probabilities.argmax(axis=1).astype(np.int32)
        return cls(
            targets, predicted, probabilities[rows, predicted].astype(np.float64), np.log(np.maximum(chosen, SMALLEST)),
            ranks_of(probabilities, targets), positions,
        )  # fmt: skip

    @classmethod
    def in_blocks(
        cls, sequences: EncodedSequences, size: int, probabilities: Callable[[Indices], Floats]
    ) -> SymbolScores:
        """Return the scores of all symbols of `sequences` that have a symbol before them.

        Args:
            sequences: N symbols.
            size: Number K of probabilities for each symbol.
            probabilities: Returns the distributions for the targets at indices of shape (M,), shape (M, K).
        """
        scored, positions = np.flatnonzero(sequences.weights > 0), positions_of(sequences)
        step = max(1, PROBABILITIES_AT_A_TIME // size)
        return cls.concatenate(
            [
                cls.of(probabilities(part), sequences.targets[part], positions[part])
                for part in np.split(scored, range(step, len(scored), step))
            ]
        )

    @classmethod
    def concatenate(cls, parts: Sequence[SymbolScores]) -> SymbolScores:
        """Return all of `parts`, one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        """Return N."""
        return len(self.targets)

    def select(self, which: AnyArray) -> SymbolScores:
        """Return a part of the symbols, by a mask or indices."""
        return SymbolScores(*(getattr(self, field.name)[which] for field in fields(self)))

    def top(self, count: int) -> float:
        """Return the fraction of symbols that were among the `count` likeliest; nan if there is no symbol."""
        return float((self.ranks <= count).mean()) if len(self) else nan

    @property
    def accuracy(self) -> float:
        """The fraction of symbols that were the likeliest."""
        return self.top(1)

    @property
    def surprises(self) -> Float64:
        """Negative log-probability of each target in bits, shape (N,)."""
        return -self.log_probabilities / log(2)

    @property
    def nats(self) -> float:
        """Mean negative log-probability of the targets."""
        return float(-self.log_probabilities.mean()) + 0.0 if len(self) else nan

    @property
    def bits(self) -> float:
        """The same in bits."""
        return self.nats / log(2)

    def by_position(self) -> list[dict[str, float]]:
        """Return accuracy and bits by the position in the sequence: each of 1 to 8, then ranges that double.

        A range with hardly any symbols is joined with the next.
        """
        rows, first, end = [], 1, 1
        last = int(self.positions.max(initial=0))
        while end <= last:
            end = end + 1 if end < 9 else 2 * end - 1
            part = self.select((self.positions >= first) & (self.positions < end))
            if len(part) >= _FEW or (end > last and len(part)):
                row = {"from": first, "to": end - 1, "symbols": len(part)}
                rows.append({**row, "accuracy": part.accuracy, "bits_per_symbol": part.bits})
                first = end
        return rows

    def reliability(self) -> list[dict[str, float]]:
        """Return mean confidence and accuracy for each bin of confidence that has symbols."""
        rows = []
        bins = np.minimum((self.confidence * _BINS).astype(int), _BINS - 1)
        for index in np.unique(bins).tolist():
            part = self.select(bins == index)
            row = {"from": index / _BINS, "to": (index + 1) / _BINS, "symbols": len(part)}
            rows.append({**row, "confidence": float(part.confidence.mean()), "accuracy": part.accuracy})
        return rows

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017): mean distance of confidence and accuracy over `reliability`."""
        gaps = [row["symbols"] * abs(row["confidence"] - row["accuracy"]) for row in self.reliability()]
        return sum(gaps) / len(self) if len(self) else nan

    @property
    def calibration_noise(self) -> float:
        """Calibration error by chance of as many symbols, if the probabilities are right; an upper bound."""
        spreads = [(row["symbols"] * row["confidence"] * (1 - row["confidence"])) ** 0.5 for row in self.reliability()]
        return sum(spreads) / len(self) if len(self) else nan

    def mistakes(self, symbols: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
        """Return the most frequent pairs of a symbol and a wrong prediction for it.

        Args:
            symbols: Of the output, by id.
            most: How many to return.
        """
        wrong = self.select(self.ranks > 1)
        pairs, counts = np.unique(wrong.targets * np.int64(len(symbols)) + wrong.predicted, return_counts=True)
        occurrences, rows = np.bincount(self.targets, minlength=len(symbols)), []
        for index in np.argsort(-counts, kind="stable")[:most].tolist():
            actual, predicted = divmod(int(pairs[index]), len(symbols))
            count, occurs = int(counts[index]), int(occurrences[actual])
            row = {"actual": symbols[actual], "predicted": symbols[predicted], "count": count}
            rows.append({**row, "share_of_mistakes": count / len(wrong), "share_of_symbol": count / occurs})
        return rows

    def confusion(self, symbols: int) -> list[list[int]]:
        """Return how often each symbol (column) was predicted for each actual one (row)."""
        table = np.zeros((symbols, symbols), np.int64)
        np.add.at(table, (self.targets, self.predicted), 1)
        return table.tolist()  # type: ignore[no-any-return]

    def to_json(self, top: Sequence[int] = ()) -> dict[str, Any]:
        """Return the metrics as a JSON object; null if there is no symbol."""
        metrics = {
            "accuracy": self.accuracy,
            **{f"top_{count}": self.top(count) for count in top},
            "nats_per_symbol": self.nats,
            "bits_per_symbol": self.bits,
        }
        return {"symbols": len(self), **(metrics if len(self) else dict.fromkeys(metrics))}


def positions_of(sequences: EncodedSequences) -> Indices:
    """Return the position of each input in its sequence, from 1, int64 of shape (N,)."""
    return np.arange(1, len(sequences) + 1) - np.repeat(sequences.starts[:-1], np.diff(sequences.starts))
