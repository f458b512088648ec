"""Recordings: sequences of symbols as they were read, in arrays that stay small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..common.arrays import Flags, Ids, Indices, Times
from .features import Numbers


@dataclass(frozen=True, eq=False)
class Recording:
    """Sequences of symbols. S sequences, N symbols in all of them together.

    Attributes:
        symbols: The different symbols, in the order in which they were met.
        ids: int32 of shape (N,): positions in `symbols`, one sequence behind the other.
        starts: int64 of shape (S + 1,): where each sequence begins in `ids`, and N.
        when: float64 of shape (N,): when each symbol came; never less than the one before it in its sequence. None: as
            it stands in `ids`.
        begun: bool of shape (S,): this sequence is here from its beginning.
        ended: bool of shape (S,): and to its end.
        source: Where it came from.
        sha256: Of everything that was read; empty where that was no file.
        found: What was found out about the file, in words.
        remarks: What a person should know about it: what was left out, what was doubtful.
        numbers: What stands beside each symbol; None: nothing.
    """

    symbols: tuple[str, ...]
    ids: Ids = field(repr=False)
    starts: Indices = field(repr=False)
    when: Times | None = field(repr=False)
    begun: Flags = field(repr=False)
    ended: Flags = field(repr=False)
    source: str = ""
    sha256: str = ""
    found: str = ""
    remarks: tuple[str, ...] = ()
    numbers: Numbers | None = field(default=None, repr=False)

    @classmethod
    def of(cls, sequences: Iterable[Iterable[str]], source: str = "") -> Recording:
        """Return the recording of sequences that are at hand, each whole; empty ones are left out."""
        known: dict[str, int] = {}
        ids: list[int] = []
        starts = [0]
        for sequence in sequences:
            ids += (known.setdefault(symbol, len(known)) for symbol in sequence)
            if len(ids) > starts[-1]:
                starts.append(len(ids))
        return cls.whole(tuple(known), np.array(ids, np.int32), np.array(starts, np.int64), source=source)

    @classmethod
    def whole(
        cls, symbols: tuple[str, ...], ids: Ids, starts: Indices, when: Times | None = None, source: str = ""
    ) -> Recording:
        """Return a recording of sequences that are all here from their beginning to their end."""
        everything = np.ones(len(starts) - 1, bool)
        return cls(symbols, ids, starts, when, everything, everything, source)

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> Indices:
        """How many symbols each sequence has, int64 of shape (S,)."""
        return np.diff(self.starts)

    def counts(self) -> Indices:
        """Return how often each of `symbols` occurs, int64."""
        return np.bincount(self.ids, minlength=len(self.symbols)).astype(np.int64)

    def sequence(self, number: int) -> list[str]:
        """Return the symbols of one sequence."""
        return [self.symbols[id] for id in self.ids[self.starts[number] : self.starts[number + 1]].tolist()]

    def part(self, firsts: Indices, ends: Indices, begun: Flags, ended: Flags) -> Recording:
        """Return a recording of the stretches from `firsts` to `ends`, places in `ids`, each a sequence of its own."""
        places = stretches(firsts, ends)
        starts = np.concatenate([[0], np.cumsum(ends - firsts)]).astype(np.int64)
        when = None if self.when is None else self.when[places]
        numbers = None if self.numbers is None else self.numbers[places]
        return replace(self, ids=self.ids[places], starts=starts, when=when, begun=begun, ended=ended, numbers=numbers)

    def chosen(self, numbers: Indices | Sequence[int]) -> Recording:
        """Return a recording of the sequences with these numbers, in the order in which they are given."""
        chosen: Indices = np.asarray(numbers, np.int64)
        return self.part(self.starts[chosen], self.starts[chosen + 1], self.begun[chosen], self.ended[chosen])


def stretches(firsts: Indices, ends: Indices) -> Indices:
    """Return all places of the stretches from `firsts` to `ends` (exclusive), one stretch behind the other."""
    lengths = ends - firsts
    before = np.cumsum(lengths) - lengths
    places: Indices = np.repeat(firsts - before, lengths)
    places += np.arange(len(places))
    return places
