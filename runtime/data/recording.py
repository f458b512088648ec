"""Recordings: sequences of symbols in compact arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..common.arrays import AnyArray, Flags, Ids, Indices, Keys, Times
from ..common.errors import CorpusError
from .features import FeatureColumns
from .ranges import Ranges
from .storage import blocks, new_array, release

NO_SYMBOL = ("",)  # the symbols of a recording whose rows have none


class SymbolTable(dict[str, int]):
    """Symbol -> id; a symbol that is looked up for the first time gets the next id."""

    def __missing__(self, symbol: str) -> int:
        """Return the id of a new symbol."""
        return self.setdefault(symbol, len(self))


@dataclass(frozen=True, eq=False)
class Recording:
    """S sequences of symbols, N symbols together.

    Attributes:
        symbols: The different symbols, in the order of their first occurrence.
        ids: Indices in `symbols`, the sequences concatenated; int32 of shape (N,).
        starts: Index in `ids` of the first symbol of each sequence, and N; int64 of shape (S + 1,).
        times: Time or order of each symbol, never decreasing within a sequence; int64 or float64 of shape (N,). None:
            their order in `ids`.
        has_start: Whether each sequence is complete at its beginning; bool of shape (S,).
        has_end: And at its end; bool of shape (S,).
        source: The file.
        sha256: Hash of all bytes that were read; "": of no file.
        found: Detected format of the file, for people.
        remarks: Notes for people: rows left out, doubtful ones.
        features: Features of each symbol; None: the model reads symbols alone.
        targets: The right answer to each symbol, if that is not the next symbol: ids of labels, int32 of shape (N,), or
            values, float32 of shape (N, K); None: it is.
        per_second: How many units of `times` are a second; 1: seconds, or numbers without a unit.
        keys: Key by which each sequence is recognised in another file, uint64 of shape (S,); None: there are none.
    """

    symbols: tuple[str, ...]
    ids: Ids = field(repr=False)
    starts: Indices = field(repr=False)
    times: AnyArray | None = field(repr=False)
    has_start: Flags = field(repr=False)
    has_end: Flags = field(repr=False)
    source: str = ""
    sha256: str = ""
    found: str = ""
    remarks: tuple[str, ...] = ()
    features: FeatureColumns | None = field(default=None, repr=False)
    per_second: int = 1
    keys: Keys | None = field(default=None, repr=False)
    targets: AnyArray | None = field(default=None, repr=False)

    @classmethod
    def of(cls, sequences: Iterable[Iterable[str]], source: str = "") -> Recording:
        """Return the recording of complete sequences, empty ones too."""
        table = SymbolTable()
        ids: list[int] = []
        starts = [0]
        for sequence in sequences:
            ids += map(table.__getitem__, sequence)
            starts.append(len(ids))
        return cls.whole(tuple(table), ids, starts, source=source)

    @classmethod
    def whole(
        cls, symbols: tuple[str, ...], ids: Sequence[int] | Ids, starts: Sequence[int] | Indices,
        times: AnyArray | None = None, source: str = "",
    ) -> Recording:  # fmt: skip
        """Return a recording of complete sequences; see the attributes."""
        everything = np.ones(len(starts) - 1, bool)
        return cls(
            symbols, np.asarray(ids, np.int32), np.asarray(starts, np.int64), times, everything, everything, source
        )

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> Indices:
        """Number of symbols in each sequence, int64 of shape (S,)."""
        return np.diff(self.starts)

    @property
    def gaps(self) -> Times:
        """Time since the previous symbol, in seconds or as in `per_second`; 0 at the first one of each sequence.

        float64 of shape (N,).

        Raises:
            CorpusError: There are no times.
        """
        if self.times is None:
            raise CorpusError(f"{self.source} has no order column, so there are no gaps. Name one with --order.")
        gaps: Times = new_array((len(self.ids),), np.float64)
        for block in blocks(len(gaps)):
            before = self.times[max(block.start - 1, 0) : block.start] if block.start else self.times[:1]
            gaps[block] = np.diff(self.times[block], prepend=before) / self.per_second
            release(gaps, self.times)
        gaps[self.starts[:-1][self.lengths > 0]] = 0
        return gaps

    def counts(self) -> Indices:
        """Return how often each of `symbols` occurs, int64."""
        return counted(self.ids, len(self.symbols))

    def sequence(self, index: int) -> list[str]:
        """Return the symbols of one sequence."""
        return [self.symbols[id] for id in self.ids[self.starts[index] : self.starts[index + 1]].tolist()]

    def part(
        self, firsts: Indices, ends: Indices, has_start: Flags, has_end: Flags, keys: Keys | None = None
    ) -> Recording:
        """Return the recording whose sequences are the ranges of `ids` from `firsts` to `ends` (exclusive)."""
        ranges = Ranges(firsts, ends)
        features = (
            None if self.features is None else replace(self.features, values=_taken(self.features.values, ranges))
        )
        return replace(
            self, ids=_taken(self.ids, ranges), starts=ranges.starts, has_start=has_start, has_end=has_end, keys=keys,
            times=None if self.times is None else _taken(self.times, ranges), features=features,
            targets=None if self.targets is None else _taken(self.targets, ranges),
        )  # fmt: skip

    def without_empty(self) -> Recording:
        """Return the recording of the sequences that have symbols."""
        return self if self.lengths.all() else self.select(np.flatnonzero(self.lengths))

    def select(self, indices: Indices | Sequence[int]) -> Recording:
        """Return the recording of some of the sequences, in the order of their `indices`."""
        chosen: Indices = np.asarray(indices, np.int64)
        keys = None if self.keys is None else self.keys[chosen]
        return self.part(
            self.starts[chosen], self.starts[chosen + 1], self.has_start[chosen], self.has_end[chosen], keys
        )


@dataclass(frozen=True)
class Reader(ABC):
    """Read files in one way, which model files record.

    Attributes:
        kind: Name of the class in model files.
    """

    kind: ClassVar[str]

    @abstractmethod
    def read(self, path: Path) -> Recording:
        """Read the file at `path`.

        Raises:
            CorpusError: It cannot be read like this, or is empty.
        """

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, with their kind."""
        return {"kind": self.kind, **asdict(self)}


def counted(ids: Ids, count: int, weights: AnyArray | None = None) -> Indices:
    """Return how often each of `count` ids occurs, int64; only where `weights`, of the shape of `ids`, are above 0."""
    found: Indices = np.zeros(count, np.int64)
    for block in blocks(len(ids)):
        some = ids[block] if weights is None else ids[block][weights[block] > 0]
        found += np.bincount(some, minlength=count)
        release(ids, weights)
    return found


def _taken(values: AnyArray, ranges: Ranges) -> AnyArray:
    """Return the rows of `values` in these ranges."""
    found = new_array((len(ranges), *values.shape[1:]), values.dtype)
    for block, rows in ranges.blocks():
        found[block] = values[rows]
        release(found, values)
    return found
