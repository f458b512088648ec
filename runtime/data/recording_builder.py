"""Build a recording from the rows of a table."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..common.arrays import Keys, Times
from ..common.errors import CorpusError
from . import storage
from .event_row import RowParser
from .learned import keys_by_content, keys_by_name
from .recording import Recording, SymbolTable
from .row_errors import RowErrors
from .sorted_rows import Rows, RowSorter
from .storage import new_array, release
from .timestamps import OrderColumn

MAX_DIFFERENT = 1_000_000  # symbols; a column with more of them holds times, numbers or sentences


class RecordingBuilder:
    """Take rows in any order and sort them into sequences.

    A row needs 16 bytes whatever its text, and 8 more for each feature, and on disk if there are many.
    """

    def __init__(
        self, source: str, errors: RowErrors, parser: RowParser, *, max_different: int = MAX_DIFFERENT,
        lines: bool = False, end: str | None = None,
    ) -> None:  # fmt: skip
        """Begin without rows.

        Args:
            source: The file.
            errors: Takes the errors of rows.
            parser: Turns rows into events.
            max_different: How many different symbols there may be.
            lines: Whether sequences are lines, which have no names.
            end: The end symbol; an empty line is a sequence then, and without one it is left out.
        """
        self._keep_empty, self._has_names = lines and end is not None, not lines
        self._has_sequences = parser.columns.sequence is not None
        self._has_symbols = parser.columns.symbol != ()
        self._source, self._errors, self._parse, self._times = source, errors, parser.parse, parser.times
        self._features, self._max_different = len(parser.feature_names), max_different
        self._symbols, self._sequences = SymbolTable(), SymbolTable()
        self._sorter, self._moved, self._last = RowSorter(self._features), False, 0
        self._begin_block()
        self._left_out: dict[str, tuple[int, int]] = {}  # what is missing -> number of rows, line of the first

    def add(self, line: int, cells: Sequence[Any]) -> None:
        """Take a row; without a symbol or a sequence it is left out and counted.

        Args:
            line: Its line in the file.
            cells: See `Columns.select`.

        Raises:
            CorpusError: There are too many different symbols, or too many errors.
        """
        try:
            symbol, sequence, time, features, missing = self._parse(cells)
        except ValueError as error:
            return self._errors.add(line, str(error))
        if symbol is None and self._keep_empty and sequence and cells[0] is None:
            _ = self._sequences[sequence]
            return None
        if symbol is None or missing:
            count, first = self._left_out.get(missing, (0, line))
            self._left_out[missing] = count + 1, first
            return None
        if time is not None:
            self._order.append(time)
        if features:
            self._values.extend(features)
        self._ids.append(self._symbols[symbol])
        self._sequence_ids.append(self._sequences[sequence or ""])
        if len(self._symbols) > self._max_different:
            raise CorpusError(
                f"{self._source} has more than {self._max_different:,} different symbols by line {line:,}. "
                "Name another column with --symbol."
            )
        if len(self._ids) >= storage.BLOCK:
            self._end_block()
        return None

    def _begin_block(self) -> None:
        self._ids, self._sequence_ids, self._values = array("i"), array("i"), array("d")
        self._order = OrderColumn()

    def _end_block(self) -> None:
        """Give the rows since the last block to the sorter."""
        ids, sequences = np.asarray(self._ids, np.int32), np.asarray(self._sequence_ids, np.int32)
        values = np.asarray(self._values, np.float64).reshape(len(ids), self._features)
        positions = np.arange(len(self._sorter), len(self._sorter) + len(ids))
        order = positions if self._times is None else self._order.values()
        self._moved |= bool((np.diff(sequences, prepend=np.int32(self._last)) < 0).any())
        self._last = int(sequences[-1]) if len(sequences) else self._last
        self._sorter.add(Rows(sequences, order, ids, values))
        self._begin_block()

    def finish(self) -> tuple[Recording, Times]:
        """Return the recording, its sequences in the order of their first rows, and the values of its features.

        Returns:
            The recording of N symbols, without features, and their values, float64 of shape (N, F).

        Raises:
            CorpusError: There were errors, or there are no rows.
        """
        self._errors.raise_if_any()
        remarks = [
            f"left out: {count:,} without a {missing} (the first in line {first:,})"
            for missing, (count, first) in self._left_out.items()
        ]
        remarks += self._errors.remarks()
        if self._ids or not len(self._sorter):
            self._end_block()
        if not len(self._sorter):
            raise CorpusError(f"{self._source} holds no events{'; ' if remarks else ''}{'; '.join(remarks)}.")
        times, sorter, ties = self._times, self._sorter, _Ties()
        lengths = np.append(sorter.lengths, np.zeros(len(self._sequences) - len(sorter.lengths), np.int64))
        ids, values = new_array((len(sorter),), np.int32), new_array((len(sorter), self._features), np.float64)
        order = new_array((len(sorter),), sorter.order_type) if times is not None or self._moved else None
        first = 0
        for rows in sorter.merged():
            block = slice(first, first + len(rows.ids))
            ids[block], values[block] = rows.ids, rows.values
            if order is not None:
                order[block] = rows.order
            ties.add(rows)
            first = block.stop
            release(ids, values, order)
        if times is not None:
            remarks += [*ties.remarks(has_symbols=self._has_symbols, are_times=times.are_times), *times.remarks()]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        empty = int((lengths == 0).sum())
        if empty:
            remarks.append(f"{empty:,} of {len(lengths):,} sequences are empty: they end at once")
        recording = Recording.whole(tuple(self._symbols), ids, starts, order, self._source)
        per_second = 1 if times is None else times.per_second
        keys = (
            None if len(self._sequences) == 1 and not self._has_sequences else self._keys(recording, per_second, values)
        )
        return replace(recording, remarks=tuple(remarks), per_second=per_second, keys=keys), values

    def _keys(self, recording: Recording, per_second: int, values: Times) -> Keys:
        """Return the keys of the sequences: by name, first symbol and first time if there are times, else content."""
        if recording.times is None or per_second == 1 or not recording.lengths.all():
            names = self._sequences if self._has_names else None
            return keys_by_content(recording, values, names)
        firsts = recording.starts[:-1]
        return keys_by_name(self._sequences, [keys_by_name(recording.symbols, [])[recording.ids[firsts]],
                                              recording.times[firsts]])  # fmt: skip


class _Ties:
    """Count the rows that have the time of the row before them in their sequence."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._same = self._twice = 0
        self._last: Rows | None = None

    def add(self, rows: Rows) -> None:
        """Take the next rows in order."""
        with_last = rows if self._last is None else Rows(*map(np.concatenate, zip(self._last, rows, strict=True)))
        same = (np.diff(with_last.order) == 0) & (np.diff(with_last.sequences) == 0)
        self._same += int(same.sum())
        self._twice += int((same & (np.diff(with_last.ids) == 0)).sum())
        self._last = rows.at(slice(len(rows.ids) - 1, None))

    def remarks(self, *, has_symbols: bool, are_times: bool) -> list[str]:
        """Return a remark if there are such rows."""
        if not self._same:
            return []
        noun, what = "events" if has_symbols else "rows", "time" if are_times else "order"
        of_them = f", {self._twice:,} of them the same symbol too" if has_symbols and self._twice else ""
        return [
            f"{self._same:,} {noun} have the same {what} as the one before in their sequence{of_them}; "
            "they stay in the order of the file"
        ]
