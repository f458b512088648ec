"""Time gaps between events as symbols."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise

import numpy as np

from ..common.arrays import Ids
from ..common.errors import CorpusError
from .recording import Recording

_SECONDS = {
    "ns": Decimal("1e-9"), "us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1), "min": Decimal(60),
    "h": Decimal(3_600), "d": Decimal(86_400), "w": Decimal(604_800),
}  # fmt: skip


@dataclass(frozen=True)
class TimeBins:
    """Bins of time, each with a symbol: with the limits 1min and 1h "gap<1min", "gap<1h" and "gap>=1h".

    The symbol of a gap follows the event that ended it, so that the model knows the gap when it predicts the next
    event. The first event of a sequence has none.

    Attributes:
        limits: Increasing limits between the bins, "1s", "10min", "1h" or "1d".

    Raises:
        CorpusError: A limit is no time, or not above the limit before it.
    """

    limits: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the limits."""
        seconds = self.seconds
        if not seconds or any(after <= before for before, after in pairwise(seconds)):
            raise CorpusError(f"The limits of the gaps have to grow, and are {','.join(self.limits)}.")

    @classmethod
    def parse(cls, text: str) -> TimeBins:
        """Return the bins with the limits in `text`, separated by commas."""
        return cls(tuple(part.strip() for part in text.split(",")))

    @property
    def seconds(self) -> list[float]:
        """The limits in seconds; a limit without a unit is in the unit of the order column."""
        return [seconds_of(limit) for limit in self.limits]

    @property
    def have_unit(self) -> bool:
        """Whether a limit has a unit of time."""
        return any(limit[-1:].isalpha() for limit in self.limits)

    def symbol(self, gap: float) -> str:
        """Return the symbol of a gap in seconds, or in the unit of an order column without one."""
        return self.symbols[int(np.digitize(gap, self.seconds))]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, that of the shortest gap first."""
        return (*(f"gap<{limit}" for limit in self.limits), f"gap>={self.limits[-1]}")

    def insert(self, recording: Recording) -> Recording:
        """Return `recording` with the symbol of a gap after all events but the first of each sequence.

        A gap has the time, the features and the target of the event it follows.

        Raises:
            CorpusError: There is no order column, or an event has the name of a gap.
        """
        gaps = recording.gaps
        taken = sorted(set(self.symbols) & set(recording.symbols))
        if taken:
            raise CorpusError(f"{recording.source} has events called {', '.join(taken)}, which are gaps.")
        has_gap = np.ones(len(recording.ids), bool)
        has_gap[recording.starts[:-1][recording.lengths > 0]] = False
        events = np.repeat(np.arange(len(has_gap)), 1 + has_gap)  # of each symbol, the event or the gap after it
        is_gap = np.append(False, np.diff(events) == 0)
        ids = recording.ids[events]
        ids[is_gap] = np.digitize(gaps[has_gap], self.seconds) + len(recording.symbols)
        return replace(
            recording,
            symbols=(*recording.symbols, *self.symbols), ids=ids,
            times=None if recording.times is None else recording.times[events],
            starts=np.concatenate([[0], np.cumsum(np.maximum(2 * recording.lengths - 1, 0))]).astype(np.int64),
            features=None if recording.features is None else recording.features[events],
            targets=None if recording.targets is None else recording.targets[events],
        )  # fmt: skip

    def ids_in(self, symbols: tuple[str, ...]) -> Ids:
        """Return the ids of the gaps in `symbols`."""
        return np.array([id for id, symbol in enumerate(symbols) if symbol in self.symbols], np.int32)


def seconds_of(limit: str, *, needs_unit: bool = False) -> float:
    """Return a time like "10min" in seconds; without a unit, if it needs none, the number.

    Raises:
        CorpusError: It is no time.
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-z]*)", limit)
    if not found or (found[2] and found[2] not in _SECONDS) or (needs_unit and not found[2]):
        raise CorpusError(f"{limit!r} is no time. Write it as {', '.join('10' + unit for unit in _SECONDS)}.")
    return float(Decimal(found[1]) * _SECONDS.get(found[2], Decimal(1)))
