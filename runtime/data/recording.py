"""Recordings: sequences of symbols as they were read, in arrays that stay small."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..common.arrays import Flags, Ids, Indices, Times
from .features import FeatureColumns


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
        features: What stands beside each symbol; None: nothing.
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
    features: FeatureColumns | None = field(default=None, repr=False)

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

    def sequence(self, index: int) -> list[str]:
        """Return the symbols of one sequence."""
        return [self.symbols[id] for id in self.ids[self.starts[index] : self.starts[index + 1]].tolist()]

    def part(self, firsts: Indices, ends: Indices, begun: Flags, ended: Flags) -> Recording:
        """Return a recording of the ranges from `firsts` to `ends`, positions in `ids`, each a sequence of its own."""
        indices = concatenated_ranges(firsts, ends)
        starts = np.concatenate([[0], np.cumsum(ends - firsts)]).astype(np.int64)
        when = None if self.when is None else self.when[indices]
        features = None if self.features is None else self.features[indices]
        return replace(
            self, ids=self.ids[indices], starts=starts, when=when, begun=begun, ended=ended, features=features
        )

    def chosen(self, indices: Indices | Sequence[int]) -> Recording:
        """Return a recording of the sequences with these indices, in the order in which they are given."""
        chosen: Indices = np.asarray(indices, np.int64)
        return self.part(self.starts[chosen], self.starts[chosen + 1], self.begun[chosen], self.ended[chosen])


def concatenated_ranges(firsts: Indices, ends: Indices) -> Indices:
    """Return all positions of the ranges from `firsts` to `ends` (exclusive), one range behind the other."""
    lengths = ends - firsts
    before = np.cumsum(lengths) - lengths
    indices: Indices = np.repeat(firsts - before, lengths)
    indices += np.arange(len(indices))
    return indices
