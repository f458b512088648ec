"""Ranges of rows one after the other, without a list of all their rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..common.arrays import Flags, Indices
from .storage import blocks


class Ranges:
    """The rows of ranges, concatenated: row `firsts[0]`, the next one, ..., then row `firsts[1]`, ...

    Attributes:
        starts: Position of the first row of each range, and their number, int64 of shape (S + 1,).
    """

    def __init__(self, firsts: Indices, ends: Indices) -> None:
        """Take the first row of each range, and its end (exclusive)."""
        self._firsts = firsts
        self.starts: Indices = np.concatenate([[0], np.cumsum(ends - firsts)]).astype(np.int64)

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.starts[-1])

    def rows(self, positions: Indices) -> tuple[Indices, Flags]:
        """Return the rows at these positions, and whether each is the first of its range; of the same shape."""
        ranges = np.searchsorted(self.starts, positions, "right") - 1
        within = positions - self.starts[ranges]
        return self._firsts[ranges] + within, within == 0

    def blocks(self) -> Iterator[tuple[slice, Indices]]:
        """Yield slices of positions, and the rows there."""
        for block in blocks(len(self)):
            first, last = np.searchsorted(self.starts, [block.start, block.stop - 1], "right") - 1
            ranges = slice(first, last + 1)
            begins = np.maximum(self.starts[ranges], block.start)
            lengths = np.minimum(self.starts[first + 1 : last + 2], block.stop) - begins
            offsets = self._firsts[ranges] - self.starts[ranges]
            rows: Indices = np.repeat(offsets, lengths)
            rows += np.arange(block.start, block.stop)
            yield block, rows


def concatenated_ranges(firsts: Indices, ends: Indices) -> Indices:
    """Return the rows of `Ranges(firsts, ends)`, all in memory."""
    lengths = ends - firsts
    before = np.cumsum(lengths) - lengths
    rows: Indices = np.repeat(firsts - before, lengths)
    rows += np.arange(len(rows))
    return rows
