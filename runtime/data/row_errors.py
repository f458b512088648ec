"""Rows of a table, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ..common.errors import CorpusError

Row: TypeAlias = tuple[int, Sequence[Any]]  # line, cells in the order of `Columns.select`
_ROWS_SHOWN = 5
_MAX_ERRORS = 10_000  # a file with more of them has another format


class RowErrors:
    """Collect the errors of rows, to refuse the file with all of them, or to skip these rows."""

    def __init__(self, source: str, *, skip: bool = False) -> None:
        """Begin without errors.

        Args:
            source: The file.
            skip: Rows with errors are left out of the data, and no error is raised.
        """
        self._source, self._skip = source, skip
        self._shown: list[str] = []
        self._count = 0

    def add(self, line: int, problem: str) -> None:
        """Note that `line` has a problem.

        Raises:
            CorpusError: There are too many to read on.
        """
        self._count += 1
        if len(self._shown) < _ROWS_SHOWN:
            self._shown.append(f"  line {line:,}: {problem}")
        if self._count >= _MAX_ERRORS and not self._skip:
            self.raise_if_any(" or more")

    def raise_if_any(self, more: str = "") -> None:
        """Refuse the file if there are errors.

        Raises:
            CorpusError: There are; the message shows the first.
        """
        if self._count and not self._skip:
            lines = "1 line" if self._count == 1 else f"{self._count:,}{more} lines"
            hidden = self._count - len(self._shown)
            tail = [f"  and {hidden:,} more"] if hidden else []
            raise CorpusError("\n".join([f"{self._source} cannot be used: {lines} wrong.", *self._shown, *tail]))

    def remarks(self) -> list[str]:
        """Return how many rows were skipped, and why the first one."""
        if not self._count:
            return []
        rows = "1 row that cannot be read was" if self._count == 1 else f"{self._count:,} rows that cannot be read were"
        return [f"{rows} skipped (--bad-lines skip), the first:{self._shown[0][1:]}"]
