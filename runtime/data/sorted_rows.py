"""Sort rows by sequence and order, on disk if they are many.

Blocks are sorted by numpy while rows come, and written one after the other (runs). Then ranges of keys are taken from
all runs and sorted again: an external merge sort with numpy's own stable sort. Rows come out as from one sort in
memory, with a few bytes a row and without another package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..common.arrays import AnyArray, Floats, Ids, Indices
from . import storage
from .storage import Column, release


class Rows(NamedTuple):
    """Rows of a table.

    Attributes:
        sequences: Id of the sequence of each row, int32 of shape (N,).
        order: Time, number or position by which they are ordered, int64 or float64 of shape (N,).
        ids: Their symbols, int32 of shape (N,).
        values: Their numbers, float64 of shape (N, F).
    """

    sequences: Ids
    order: AnyArray
    ids: Ids
    values: Floats

    def at(self, indices: slice | Indices) -> Rows:
        """Return some of the rows."""
        return Rows(self.sequences[indices], self.order[indices], self.ids[indices], self.values[indices])

    def sorted(self) -> Rows:
        """Return the rows by sequence, then order; rows that are equal in both keep their order."""
        return self.at(np.lexsort((self.order, self.sequences)))


class RowSorter:
    """Take blocks of rows in the order of a file and give them back sorted."""

    def __init__(self, features: int) -> None:
        """Begin without rows; each has so many `features`."""
        self._columns = Column(np.int32), Column(np.int64), Column(np.int32), Column(np.float64, features)
        self._ends = [0]  # of the runs
        self._are_floats: list[bool] = []
        self.lengths: Indices = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._ends[-1]

    @property
    def order_type(self) -> type:
        """Type of the order: float64 if one block has it, because a value is no int64."""
        return np.float64 if any(self._are_floats) else np.int64

    def add(self, rows: Rows) -> None:
        """Sort a block and keep it.

        Raises:
            CorpusError: There is no room on the disk.
        """
        counts = np.bincount(rows.sequences, minlength=len(self.lengths))
        counts[: len(self.lengths)] += self.lengths
        self.lengths = counts
        run = rows.sorted()
        self._are_floats.append(run.order.dtype == np.float64)
        for column, values in zip(self._columns, run, strict=True):
            column.append(values.view(np.int64) if values is run.order else values)
        self._ends.append(self._ends[-1] + len(run.ids))

    def merged(self) -> Iterator[Rows]:
        """Yield all rows in order, some at a time."""
        sequences, order, ids, values = (column.array() for column in self._columns)
        runs = [
            Rows(sequences[a:b], (order.view(np.float64) if is_float else order)[a:b], ids[a:b], values[a:b])
            for a, b, is_float in zip(self._ends[:-1], self._ends[1:], self._are_floats, strict=True)
        ]
        if len(runs) == 1:
            yield runs[0]
            return
        for first, end in _cuts(self.lengths):
            keys = np.array([first, end], np.int32)  # of the type of the column, which would be copied otherwise
            parts = [run.at(slice(*np.searchsorted(run.sequences, keys))) for run in runs]
            parts = [part for part in parts if len(part.ids)]
            if not parts:  # empty sequences before a long one
                continue
            if end - first == 1 and sum(len(part.ids) for part in parts) > storage.BLOCK:
                yield from self._by_order(parts)
            else:
                yield self._joined(parts)
            release(sequences, order, ids, values)

    def _by_order(self, parts: list[Rows]) -> Iterator[Rows]:
        """Yield the rows of one long sequence, by ranges of their order."""
        stride = max(1, storage.BLOCK // (2 * len(parts)))
        pivots = np.unique(np.concatenate([part.order[::stride].astype(self.order_type) for part in parts]))
        ends = [np.append(np.searchsorted(part.order, pivots[1:]), len(part.ids)) for part in parts]
        before = [0] * len(parts)
        for after in zip(*ends, strict=True):
            yield self._joined([part.at(slice(a, b)) for part, a, b in zip(parts, before, after, strict=True)])
            before = list(after)

    def _joined(self, parts: list[Rows]) -> Rows:
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return Rows(columns[0], columns[1].astype(self.order_type), columns[2], columns[3]).sorted()


def _cuts(lengths: Indices) -> Iterator[tuple[int, int]]:
    """Yield ranges of sequences, of at most a block of rows together, or of one sequence."""
    ends = np.cumsum(lengths)
    first, before = 0, 0
    while first < len(lengths):
        end = max(first + 1, int(np.searchsorted(ends, before + storage.BLOCK, "right")))
        yield first, end
        first, before = end, int(ends[end - 1])
