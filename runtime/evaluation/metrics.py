"""What predictions were worth: every figure follows from a few numbers about each symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import log, nan
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Floats, Ids, Indices
from ..tasks.distribution import SMALLEST, Float64, ranks_of

_FEW = 10  # symbols that a position or a range of them has to have, to stand by itself
_BINS = 10  # of the confidence; Guo et al. 2017 take 15, which for few symbols leaves most of them empty


@dataclass(frozen=True, eq=False)
class SymbolScores:
    """How N symbols had been predicted, each from what came before it.

    Attributes:
        targets: int32 of shape (N,): what came.
        named: int32 of the same shape: what was the likeliest.
        confidence: float64 of the same shape: how likely that was.
        log_probabilities: float64 of the same shape: of what came, natural logarithm; none is below that of 2**-126.
        ranks: int32 of the same shape: of what came, 1 for the likeliest; of equally likely symbols the lower id is
            first.
        positions: int64 of the same shape: which symbol of its sequence it is, from 1.
    """

    targets: Ids
    named: Ids
    confidence: Float64
    log_probabilities: Float64
    ranks: Ids
    positions: Indices

    @classmethod
    def of(cls, probabilities: Floats, targets: Ids, positions: Indices) -> SymbolScores:
        """Return the judgement of distributions of shape (N, K) by what came, shape (N,)."""
        rows = np.arange(len(targets))
        chosen = probabilities[rows, targets].astype(np.float64)
        named = probabilities.argmax(axis=1).astype(np.int32)
        return cls(
            targets, named, probabilities[rows, named].astype(np.float64), np.log(np.maximum(chosen, SMALLEST)),
            ranks_of(probabilities, targets), positions,
        )  # fmt: skip

    @classmethod
    def concatenate(cls, parts: Sequence[SymbolScores]) -> SymbolScores:
        """Return all of `parts`, one behind the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        """Return how many symbols were judged."""
        return len(self.targets)

    def select(self, which: AnyArray) -> SymbolScores:
        """Return the judgement of a part of the symbols."""
        return SymbolScores(*(getattr(self, field.name)[which] for field in fields(self)))

    def top(self, count: int) -> float:
        """Return the share of symbols that were among the `count` likeliest; nan where there is no symbol."""
        return float((self.ranks <= count).mean()) if len(self) else nan

    @property
    def accuracy(self) -> float:
        """The share of symbols that were the likeliest."""
        return self.top(1)

    @property
    def nats(self) -> float:
        """Mean negative log-probability of what came."""
        return float(-self.log_probabilities.mean()) + 0.0 if len(self) else nan

    @property
    def bits(self) -> float:
        """The same in bits."""
        return self.nats / log(2)

    def by_position(self) -> list[dict[str, float]]:
        """Return accuracy and bits by the position in the sequence: of 1 to 8 each, then in ranges that double.

        A range that holds hardly any symbols is one with the next.
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
        """Return what the predictions said of themselves and how often they were right, by confidence."""
        rows = []
        places = np.minimum((self.confidence * _BINS).astype(int), _BINS - 1)
        for place in range(_BINS):
            part = self.select(places == place)
            if len(part):
                row = {"from": place / _BINS, "to": (place + 1) / _BINS, "symbols": len(part)}
                rows.append({**row, "confidence": float(part.confidence.mean()), "accuracy": part.accuracy})
        return rows

    @property
    def calibration_error(self) -> float:
        """Expected calibration error (Guo et al. 2017): mean distance of confidence and accuracy over `reliability`."""
        gaps = [row["symbols"] * abs(row["confidence"] - row["accuracy"]) for row in self.reliability()]
        return sum(gaps) / len(self) if len(self) else nan

    def mistakes(self, symbols: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
        """Return the most frequent mistakes: what came, what was named in its place, and how often.

        Args:
            symbols: Of the output, by id.
            most: How many to return.
        """
        wrong = self.ranks > 1
        codes, counts = np.unique(
            self.targets[wrong].astype(np.int64) * len(symbols) + self.named[wrong], return_counts=True
        )
        occurs = np.bincount(self.targets, minlength=len(symbols))
        order = np.argsort(-counts, kind="stable")[:most]
        return [
            {
                "came": symbols[came], "named": symbols[named], "count": int(count),
                "share_of_mistakes": int(count) / int(wrong.sum()), "share_of_symbol": int(count) / int(occurs[came]),
            }
            for (came, named), count in zip((divmod(int(codes[i]), len(symbols)) for i in order), counts[order],
                                            strict=True)
        ]  # fmt: skip

    def to_json(self, top: Sequence[int] = ()) -> dict[str, Any]:
        """Return the figures as a JSON object; null where nothing was judged."""
        figures = {
            "accuracy": self.accuracy,
            **{f"top_{count}": self.top(count) for count in top},
            "nats_per_symbol": self.nats,
            "bits_per_symbol": self.bits,
        }
        return {"symbols": len(self), **{name: value if len(self) else None for name, value in figures.items()}}
