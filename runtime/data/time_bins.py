"""Time gaps as symbols: how long ago the event before was, in a few ranges."""

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
    """Ranges of time, each with a symbol of its own: for 1min,1h they are "gap<1min", "gap<1h" and "gap>=1h".

    The symbol of a gap stands behind the event that ended it: the model is asked what comes next with everything that
    is known about the event before. There is none behind the first event of a sequence.

    Attributes:
        limits: Where one range ends and the next begins, in words: "1s", "10min", "1h", "1d"; growing.

    Raises:
        CorpusError: A limit that is no time, or that is not above the one before it.
    """

    limits: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the limits."""
        seconds = self.seconds
        if not seconds or any(after <= before for before, after in pairwise(seconds)):
            raise CorpusError(f"The limits of the gaps have to grow, and are {','.join(self.limits)}.")

    @classmethod
    def parse(cls, text: str) -> TimeBins:
        """Return the gaps with the limits in `text`, with commas between them."""
        return cls(tuple(part.strip() for part in text.split(",")))

    @property
    def seconds(self) -> list[float]:
        """The limits in seconds; one without a unit counts in that of the order column."""
        return [_seconds(limit) for limit in self.limits]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, that of the shortest gap first."""
        return (*(f"gap<{limit}" for limit in self.limits), f"gap>={self.limits[-1]}")

    def insert(self, recording: Recording) -> Recording:
        """Return `recording` with the symbols of the gaps behind all events but the first of each sequence.

        Raises:
            CorpusError: An event has the name of a gap.
        """
        if recording.when is None:
            raise CorpusError(f"{recording.source} has no order column, so there are no gaps. Name one with --order.")
        taken = sorted(set(self.symbols) & set(recording.symbols))
        if taken:
            raise CorpusError(f"{recording.source} has events called {', '.join(taken)}, which are gaps.")
        # Behind event i of all: as many gaps came before it as there are events before it that are not the first.
        events = np.arange(len(recording.ids))
        is_first = np.zeros(len(events), bool)
        is_first[recording.starts[:-1]] = True
        places = events + np.concatenate([[0], np.cumsum(~is_first)[:-1]])
        ids = np.empty(len(events) + int((~is_first).sum()), np.int32)
        when = np.empty(len(ids), np.float64)
        ids[places], when[places] = recording.ids, recording.when
        behind = places[~is_first] + 1
        between = np.diff(recording.when)[~is_first[1:]]
        ids[behind] = np.digitize(between, self.seconds).astype(np.int32) + len(recording.symbols)
        when[behind] = recording.when[~is_first]
        lengths = 2 * recording.lengths - 1
        features = recording.features
        if features is not None:  # a gap has those of the event it stands behind
            features = features[np.repeat(events, np.where(is_first, 1, 2))]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        symbols = (*recording.symbols, *self.symbols)
        return replace(recording, symbols=symbols, ids=ids, starts=starts, when=when, features=features)

    def is_gap(self, symbols: tuple[str, ...]) -> Ids:
        """Return the ids in `symbols` that are gaps."""
        mine = set(self.symbols)
        return np.array([id for id, symbol in enumerate(symbols) if symbol in mine], np.int32)


def _seconds(limit: str) -> float:
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-z]*)", limit)
    if not found or (found[2] and found[2] not in _SECONDS):
        raise CorpusError(f"{limit!r} is no time. Write it as {', '.join('10' + unit for unit in _SECONDS)}.")
    return float(found[1]) * _SECONDS.get(found[2], 1.0)
