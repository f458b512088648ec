"""Build a recording from the rows of a table."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..common.arrays import Flags, Ids, Times
from ..common.errors import CorpusError
from .columns import feature_of, symbol_of
from .recording import Recording, SymbolTable
from .tables import RowErrors
from .timestamps import OrderColumn

MAX_DIFFERENT = 1_000_000  # symbols; a column with more of them holds times, numbers or sentences


class RecordingBuilder:
    """Take rows in any order and sort them into sequences.

    A row needs 8 to 16 bytes whatever its text, and 8 more for each feature.
    """

    def __init__(
        self, source: str, errors: RowErrors, order: OrderColumn | None, *, has_sequences: bool,
        features: Sequence[str] = (), max_different: int = MAX_DIFFERENT,
    ) -> None:  # fmt: skip
        """Begin without rows.

        Args:
            source: The file.
            errors: Takes the errors of rows.
            order: Takes the values of the order column; None: rows stay in their order.
            has_sequences: Whether there is a sequence column; False: all rows are one sequence.
            features: The F columns of features.
            max_different: How many different symbols there may be.
        """
        self._source, self._errors, self._order, self._features = source, errors, order, features
        self._has_sequences, self._max_different = has_sequences, max_different
        self._symbols, self._sequences = SymbolTable(), SymbolTable()
        self._ids, self._sequence_ids, self._values = array("i"), array("i"), array("d")
        self._left_out: dict[str, tuple[int, int]] = {}  # what is missing -> number of rows, line of the first

    def add(self, line: int, cells: Sequence[Any]) -> None:
        """Take a row; without a symbol or a sequence it is left out and counted.

        Args:
            line: Its line in the file.
            cells: See `Columns.select`.

        Raises:
            CorpusError: There are too many different symbols, or too many errors.
        """
        values, problems = [], []
        try:
            symbol, sequence = symbol_of(cells[0]), symbol_of(cells[1])
        except ValueError as error:
            return self._errors.add(line, str(error))
        if not symbol or (self._has_sequences and not sequence):
            missing = "sequence" if symbol else "symbol"
            count, first = self._left_out.get(missing, (0, line))
            self._left_out[missing] = count + 1, first
            return None
        for cell, column in zip(cells[3:], self._features, strict=True):
            try:
                values.append(feature_of(cell, column))
            except ValueError as error:
                problems.append(str(error))
        if self._order is not None and not problems:
            try:
                self._order.add(cells[2])
            except ValueError as error:
                problems.append(str(error))
        if problems:
            return self._errors.add(line, "; ".join(problems))
        self._values.extend(values)
        self._ids.append(self._symbols[symbol])
        self._sequence_ids.append(self._sequences[sequence or ""])
        if len(self._symbols) > self._max_different:
            raise CorpusError(
                f"{self._source} has more than {self._max_different:,} different symbols by line {line:,}. "
                "Name another column with --symbol."
            )
        return None

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
        if not self._ids:
            raise CorpusError(f"{self._source} holds no events{'; ' if remarks else ''}{'; '.join(remarks)}.")
        ids, sequences = np.asarray(self._ids, np.int32), np.asarray(self._sequence_ids, np.int32)
        values = np.asarray(self._values, np.float64).reshape(len(ids), len(self._features))
        order = np.arange(len(ids)) if self._order is None else self._order.values()
        indices = np.lexsort((order, sequences))  # stable: rows of the same time stay in the order of the file
        moved = bool((np.diff(sequences) < 0).any())
        ids, sequences, order, values = ids[indices], sequences[indices], order[indices], values[indices]
        if self._order is not None:
            same = (np.diff(order) == 0) & (np.diff(sequences) == 0)
            remarks += _ties(same, ids, self._order.are_times)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(sequences)) + 1, [len(ids)]]).astype(np.int64)
        times = order.astype(np.float64) if self._order is not None or moved else None
        recording = Recording.whole(tuple(self._symbols), ids, starts, times, self._source)
        return replace(recording, remarks=tuple(remarks)), values


def _ties(same: Flags, ids: Ids, are_times: bool) -> list[str]:
    """Return a remark if rows have the time of the row before them; `same` is of shape (N - 1,)."""
    if not same.any():
        return []
    twice, what = int((same & (np.diff(ids) == 0)).sum()), "time" if are_times else "order"
    of_them = f", {twice:,} of them the same symbol too" if twice else ""
    return [
        f"{int(same.sum()):,} events have the same {what} as the one before in their sequence{of_them}; "
        "they stay in the order of the file"
    ]
