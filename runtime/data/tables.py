"""Rows of CSV, TSV, JSON lines, plain lines and Parquet: a line number, and the cells that are read.

The cells are those of `Columns.select`: symbol, sequence, order, then each feature; None where a column is not read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, TypeAlias

from ..common.errors import CorpusError, MissingPackageError
from .columns import Columns

Row: TypeAlias = tuple[int, Sequence[Any]]  # line, cells
_DELIMITERS = {",": "','", ";": "';'", "\t": r"'\t'", "|": "'|'"}
_ROWS = 65_536  # of Parquet, at once
_ROWS_SHOWN = 5
_MAX_ERRORS = 10_000  # a file with more of them has another format


class RowErrors:
    """Collect the errors of rows, to refuse the file with all of them."""

    def __init__(self, source: str) -> None:
        """Begin without errors; `source` is the file."""
        self._source = source
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
        if self._count >= _MAX_ERRORS:
            self.raise_if_any(" or more")

    def raise_if_any(self, more: str = "") -> None:
        """Refuse the file if there are errors.

        Raises:
            CorpusError: There are; the message shows the first.
        """
        if self._count:
            lines = "1 line" if self._count == 1 else f"{self._count:,}{more} lines"
            hidden = self._count - len(self._shown)
            tail = [f"  and {hidden:,} more"] if hidden else []
            raise CorpusError("\n".join([f"{self._source} cannot be used: {lines} wrong.", *self._shown, *tail]))


def find_delimiter(header: str, columns: Columns) -> str:
    r"""Return the delimiter with which `header` has most of the named columns, or most columns at all.

    >>> find_delimiter("case;time, local;event", Columns("event"))
    ';'
    """
    named = {name for _, name in columns.by_option}
    return max(_DELIMITERS, key=lambda one: (len(named & set(_split(header, one))), len(_split(header, one))))


def csv_rows(
    file: IO[str], columns: Columns, source: str, errors: RowErrors, delimiter: str | None, header: bool
) -> tuple[str, Iterator[Row]]:
    """Return the delimiter, and the rows.

    Args:
        file: The text, its line ends unchanged.
        columns: Columns to read; without a header they are called "1", "2", ...
        source: The file, for messages.
        errors: Takes rows with more or fewer fields than the header.
        delimiter: Between columns; None: it is detected.
        header: Whether the first line holds the names of the columns.

    Raises:
        CorpusError: The file is empty, or lacks columns; later, while rows are read: a quote is not closed.
    """
    first = next((line for line in iter(file.readline, "") if line.strip()), None)
    if first is None:
        raise CorpusError(f"{source} is empty.")
    separator = delimiter or find_delimiter(first, columns)
    if len(separator) != 1:
        raise CorpusError(f"The delimiter is {separator!r}; give one character, or leave it out to have it detected.")
    reader = csv.reader(chain([first], file), delimiter=separator)
    try:
        names = next(reader)
    except csv.Error as error:
        hint = _hint(first, 0, None, False)  # Python 3.10 reads no NUL
        raise CorpusError(f"The first line of {source} cannot be read: {error}.{hint}") from error
    width = len(names)
    existing = names if header else [str(number) for number in range(1, width + 1)]
    selected = columns.select(existing, source, _hint(first, width, delimiter, header))
    pick = itemgetter(*(width if name is None else existing.index(name) for name in selected))

    def rows() -> Iterator[Row]:
        line = 1
        try:
            for row in reader if header else chain([names], reader):
                line = reader.line_num
                if len(row) == width:
                    yield line, pick((*row, None))
                elif row:  # else the line is empty
                    errors.add(line, f"{len(row)} fields, {width} are expected")
        except csv.Error as error:
            why = f"{error}. Is a quotation mark left open?"
            raise CorpusError(f"{source} cannot be read after line {line:,}: {why}") from error

    return separator, rows()


def _split(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return []


def _hint(header: str, width: int, delimiter: str | None, has_header: bool) -> str:
    """Return the likely reason for missing columns."""
    if "\0" in header:
        return " It looks like UTF-16: try --encoding utf-16."
    others = [] if delimiter is None else [one for one in _DELIMITERS if len(_split(header, one)) > width]
    if others:
        count = len(_split(header, others[0]))
        return f" Separated by {_DELIMITERS[others[0]]} it would have {count}: leave out --delimiter."
    return " If the first line holds no names, add --no-header: columns are then 1, 2, ..." if has_header else ""


def json_rows(file: IO[str], columns: Columns, source: str, errors: RowErrors) -> Iterator[Row]:
    """Yield the rows of a file with a JSON object on each line.

    The first object must have all columns; a key that a later one lacks is an empty cell.

    Raises:
        CorpusError: The first object lacks columns, or the file is a JSON array.
    """
    selected: list[str | None] = []
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        if not selected and text.lstrip().startswith("["):
            raise CorpusError(
                f"{source} is a JSON array, not one object per line: jq -c '.[]' {source} > lines.jsonl converts it."
            )
        try:
            row = json.loads(text)
        except ValueError as error:
            errors.add(line, f"not JSON: {error}")
            continue
        if isinstance(row, dict):
            selected = selected or columns.select(list(row), source)
            yield line, [row.get(name) for name in selected]
        else:
            errors.add(line, "not a JSON object")


def line_rows(file: IO[str], delimiter: str | None) -> Iterator[Row]:
    """Yield a row for each symbol; its sequence is its line. An empty line is a row without a symbol.

    Args:
        file: The text.
        delimiter: Between the symbols; None: any number of blanks.
    """
    for line, text in enumerate(file, start=1):
        for symbol in text.rstrip("\n").split(delimiter) or [""]:
            yield line, (symbol, str(line), None)


def parquet_rows(path: Path, columns: Columns, source: str) -> Iterator[Row]:
    """Yield the rows, some at a time; only the selected columns are read.

    Raises:
        MissingPackageError: pyarrow is not installed.
        CorpusError: The file is no Parquet, or lacks columns.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(
            f"{source} needs pyarrow ({error}). Install it: pip install 'stepcell[parquet]'"
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        selected = columns.select(list(file.schema_arrow.names), source)
        first = 1
        for batch in file.iter_batches(_ROWS, columns=list({name for name in selected if name is not None})):
            cells = [_cells(pyarrow, batch.column(name)) if name else [None] * len(batch) for name in selected]
            cells[:2] = [[None if cell is None else str(cell) for cell in column] for column in cells[:2]]
            yield from enumerate(zip(*cells, strict=True), start=first)
            first += len(batch)
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{source} is no Parquet file that can be read: {str(error).splitlines()[0]}.") from error


def _cells(pyarrow: Any, column: Any) -> list[Any]:
    """Return the cells as strings and numbers; times are seconds."""
    if pyarrow.types.is_timestamp(column.type):
        microseconds = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False).cast(pyarrow.int64())
        return [None if cell is None else cell / 1e6 for cell in microseconds.to_pylist()]
    return [cell if type(cell) in (str, int, float, type(None)) else str(cell) for cell in column.to_pylist()]
