"""Time gaps between events as symbols."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..common.arrays import Ids
from ..common.errors import CorpusError
from .recording import Recording

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


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
        return [_seconds(limit) for limit in self.limits]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, that of the shortest gap first."""
        return (*(f"gap<{limit}" for limit in self.limits), f"gap>={self.limits[-1]}")

    def insert(self, recording: Recording) -> Recording:
        """Return `recording` with the symbol of a gap after all events but the first of each sequence.

        A gap has the time and the features of the event it follows.

        Raises:
            CorpusError: There is no order column, or an event has the name of a gap.
        """
        if recording.times is None:
            raise CorpusError(f"{recording.source} has no order column, so there are no gaps. Name one with --order.")
        taken = sorted(set(self.symbols) & set(recording.symbols))
        if taken:
            raise CorpusError(f"{recording.source} has events called {', '.join(taken)}, which are gaps.")
        has_gap = np.ones(len(recording.ids), bool)
        has_gap[recording.starts[:-1]] = False
        events = np.repeat(np.arange(len(has_gap)), 1 + has_gap)  # of each symbol, the event or the gap after it
        is_gap = np.append(False, np.diff(events) == 0)
        ids, times = recording.ids[events], recording.times[events]
        gaps = np.diff(recording.times, prepend=0)[has_gap]
        ids[is_gap] = np.digitize(gaps, self.seconds) + len(recording.symbols)
        return replace(
            recording,
            symbols=(*recording.symbols, *self.symbols), ids=ids, times=times,
            starts=2 * recording.starts - np.arange(len(recording.starts)),  # one symbol less than 2 for each event
            features=None if recording.features is None else recording.features[events],
        )  # fmt: skip

    def ids_in(self, symbols: tuple[str, ...]) -> Ids:
        """Return the ids of the gaps in `symbols`."""
        return np.array([id for id, symbol in enumerate(symbols) if symbol in self.symbols], np.int32)


def _seconds(limit: str) -> float:
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-z]*)", limit)
    if not found or (found[2] and found[2] not in _SECONDS):
        raise CorpusError(f"{limit!r} is no time. Write it as {', '.join('10' + unit for unit in _SECONDS)}.")
    return float(found[1]) * _SECONDS.get(found[2], 1.0)
