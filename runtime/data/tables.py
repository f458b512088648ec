"""Rows of CSV and TSV files, with the csv module of Python: quotes, line ends within them, any length of file.

Which columns of a table mean what, and what to say where they are not there.

What is wrong with a file, line by line, said all at once.

Rows of JSON lines: one object per line, its keys are the columns.

Rows of files that hold a sequence on each line.

Rows of Parquet files, with pyarrow where that is installed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeAlias

from ..common.errors import CorpusError, MissingPackageError
from ..format.vocabulary import json_text

_COLUMNS_SHOWN = 30


@dataclass(frozen=True)
class ColumnPlaces:
    """Where the columns that are read are among all, counted from 0; see `Columns`."""

    symbol: int
    sequence: int | None
    order: int | None
    features: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read.

    Attributes:
        symbol: Of the symbol; None: the only column there is.
        sequence: Of what tells sequences apart; None: all is one sequence.
        order: Of the time or number that orders a sequence; None: as in the file.
        features: Name of a feature -> its column.
    """

    symbol: str | None
    sequence: str | None = None
    order: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Option and name of those that are given."""
        named = (("--symbol", self.symbol), ("--sequence", self.sequence), ("--order", self.order))
        features = [("--feature", column) for column in self.features.values()]
        return [*((option, name) for option, name in named if name is not None), *features]

    def find(self, existing: Sequence[str], source: str, hint: str = "") -> ColumnPlaces:
        """Return where they are among the `existing` columns.

        Raises:
            CorpusError: One is not there or there twice, or it is not said which is the symbol; all that is wrong is
                said, and the columns that exist, and `hint`.
        """
        problems = []
        for option, name in self.asked:
            if name not in existing:
                close = get_close_matches(name, existing, 1) if len(existing) > 1 else []
                problems.append(f"no column {name!r} ({option}){f', perhaps {close[0]!r}' if close else ''}")
            elif existing.count(name) > 1:
                problems.append(f"{existing.count(name)} columns {name!r} ({option})")
        if self.symbol is None and len(existing) != 1:
            problems.append(f"{len(existing)} columns; say which is the symbol, for example --symbol {existing[-1]!r}")
        if problems:
            shown = ", ".join(map(repr, existing[:_COLUMNS_SHOWN])) + (
                ", ..." if len(existing) > _COLUMNS_SHOWN else ""
            )
            raise CorpusError(f"{source} has {'; '.join(problems)}. Its columns: {shown}.{hint}")
        symbol = existing[0] if self.symbol is None else self.symbol
        return ColumnPlaces(
            existing.index(symbol),
            None if self.sequence is None else existing.index(self.sequence),
            None if self.order is None else existing.index(self.order),
            tuple(existing.index(column) for column in self.features.values()),
        )


_ROWS_SHOWN = 5
_ENOUGH = 10_000  # a file with more of them is not what its reader takes it for


class RowErrors:
    """Collects what is wrong with lines and refuses the file in the end."""

    def __init__(self, source: str) -> None:
        """Begin without any; `source` is the file."""
        self._source = source
        self._shown: list[str] = []
        self._count = 0

    def add(self, line: int, problem: str) -> None:
        """Note that `line` has a problem.

        Raises:
            CorpusError: There are so many that reading on is no use.
        """
        self._count += 1
        if len(self._shown) < _ROWS_SHOWN:
            self._shown.append(f"  line {line:,}: {problem}")
        if self._count >= _ENOUGH:
            self.raise_if_any("or more")

    def raise_if_any(self, more: str = "") -> None:
        """Raise where there are complaints.

        Raises:
            CorpusError: There are; the first are shown.
        """
        if not self._count:
            return
        lines = "1 line" if self._count == 1 else f"{self._count:,}{more and ' ' + more} lines"
        hidden = self._count - len(self._shown)
        tail = [f"  and {hidden:,} more"] if hidden else []
        raise CorpusError("\n".join([f"{self._source} cannot be used: {lines} wrong.", *self._shown, *tail]))


Cell: TypeAlias = "str | float | None"
# line, symbol, sequence, order, features
Row: TypeAlias = tuple[int, str | None, str | None, Cell, Sequence[Cell]]
_DELIMITERS = {",": "','", ";": "';'", "\t": r"'\t'", "|": "'|'"}


def find_delimiter(header: str, columns: Columns) -> str:
    r"""Return what separates the columns of `header`: what makes those that are asked for appear, or the most of them.

    >>> find_delimiter("case;time, local;event", Columns("event"))
    ';'
    """
    asked = {name for _, name in columns.asked}
    return max(_DELIMITERS, key=lambda one: (len(asked & set(_split(header, one))), len(_split(header, one))))


def csv_rows(
    file: IO[str], columns: Columns, source: str, complaints: RowErrors, delimiter: str | None, header: bool
) -> tuple[str, Iterator[Row]]:
    """Return what separates the columns, and the rows.

    Args:
        file: The text, with its line ends as they are.
        columns: What to read; without a header they are called "1", "2", ...
        source: The file, for messages.
        complaints: Takes rows with more or fewer fields than the header.
        delimiter: What separates the columns; None: it is found out.
        header: Whether the first line holds the names of the columns.

    Raises:
        CorpusError: The file is empty, or the columns are not there; later: a field without an end.
    """
    first = file.readline()
    while first and not first.strip():
        first = file.readline()
    if not first:
        raise CorpusError(f"{source} is empty.")
    separator = delimiter or find_delimiter(first, columns)
    if len(separator) != 1:
        raise CorpusError(f"The delimiter is {separator!r}; give one character, or leave it open to have it found.")
    reader = csv.reader(chain([first], file), delimiter=separator)
    try:
        names = next(reader)
    except csv.Error as error:
        raise CorpusError(f"The first line of {source} cannot be read: {error}.") from error
    width = len(names)
    existing = names if header else [str(number) for number in range(1, width + 1)]
    places = columns.find(existing, source, _hint(first, width, delimiter, header))
    return separator, _rows(reader, None if header else names, places, width, source, complaints)


def _rows(
    reader: Iterator[list[str]], first: list[str] | None, places: ColumnPlaces, width: int, source: str,
    complaints: RowErrors,
) -> Iterator[Row]:  # fmt: skip
    symbol, sequence, order = places.symbol, places.sequence, places.order
    line = 1
    try:
        for row in chain([first] if first else [], reader):
            line = reader.line_num  # type: ignore[attr-defined]
            if len(row) != width:
                if row:  # an empty line holds nothing
                    complaints.add(line, f"{len(row)} fields, {width} are expected")
                continue
            yield (
                line,
                row[symbol],
                None if sequence is None else row[sequence],
                None if order is None else row[order],
                [row[place] for place in places.features] if places.features else (),
            )
    except csv.Error as error:
        raise CorpusError(
            f"{source} cannot be read behind line {line:,}: {error}. A quotation mark left open does that."
        ) from error


def _split(header: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([header.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return []


def _hint(header: str, width: int, delimiter: str | None, has_header: bool) -> str:
    """Return what else may be wrong where columns are missing."""
    if "\0" in header:
        return " It looks like UTF-16: try --encoding utf-16."
    others = [] if delimiter is None else [one for one in _DELIMITERS if len(_split(header, one)) > width]
    if others:
        count = len(_split(header, others[0]))
        return f" Separated by {_DELIMITERS[others[0]]} it would have {count}: leave out --delimiter."
    return " If its first line holds no names, say --no-header: they are 1, 2, ... then." if has_header else ""


def json_rows(file: IO[str], columns: Columns, source: str, complaints: RowErrors) -> Iterator[Row]:
    """Yield the rows. FeatureColumns, true and false are symbols as they are written in JSON; null is none.

    A key that is missing from one object is nothing there; the first object must have all that are asked for.

    Raises:
        CorpusError: The first object has not the columns, or the file is a JSON array.
    """
    names: tuple[str, str | None, str | None] | None = None
    features = tuple(columns.features.values())
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        if names is None and text.lstrip().startswith("["):
            raise CorpusError(
                f"{source} is a JSON array. One object per line is read: jq -c '.[]' {source} > lines.jsonl"
            )
        try:
            row = json.loads(text)
        except ValueError as error:
            complaints.add(line, f"not JSON: {error}")
            continue
        if not isinstance(row, dict):
            complaints.add(line, "not a JSON object")
            continue
        if names is None:
            existing = list(row)
            names = existing[columns.find(existing, source).symbol], columns.sequence, columns.order
        symbol, sequence, order = names
        try:
            yield (
                line,
                _json_symbol(row.get(symbol)),
                _json_symbol(row.get(sequence)),
                _value(row.get(order)),
                [_value(row.get(column)) for column in features],
            )
        except ValueError as error:
            complaints.add(line, str(error))


def _json_symbol(value: Any) -> str | None:
    try:
        return json_text(value)
    except ValueError as error:
        raise ValueError(f"{error} where a symbol should be") from None


def _value(value: Any) -> Cell:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else _json_symbol(value)


def line_rows(file: IO[str], delimiter: str | None) -> Iterator[Row]:
    """Yield a row for each symbol; its sequence is its line. An empty line is left out like a row without a symbol.

    Args:
        file: The text.
        delimiter: Between the symbols; None: blanks, as many as there are.
    """
    for line, text in enumerate(file, start=1):
        symbols = text.rstrip("\n").split(delimiter)
        for symbol in symbols or [""]:
            yield line, symbol, str(line), None, ()


_ROWS = 65_536  # at once


def parquet_rows(path: Path, columns: Columns, source: str) -> Iterator[Row]:
    """Yield the rows, a few at a time; only the columns that are asked for are read.

    Raises:
        MissingPackageError: pyarrow is not installed.
        CorpusError: It is no Parquet file, or has not the columns.
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
        existing = list(file.schema_arrow.names)
        symbol_name = existing[columns.find(existing, source).symbol]
        names = [symbol_name, columns.sequence, columns.order, *columns.features.values()]
        line = 0
        for batch in file.iter_batches(_ROWS, columns=list({name for name in names if name is not None})):
            read = [_values(pyarrow, batch.column(name)) if name else [None] * len(batch) for name in names]
            for symbol, sequence, order, *features in zip(*read, strict=True):
                line += 1
                yield line, _parquet_symbol(symbol), _parquet_symbol(sequence), order, features
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{source} is no Parquet file that can be read: {str(error).splitlines()[0]}.") from error


def _values(pyarrow: Any, column: Any) -> list[Any]:
    """Return the values as Python has them; times as seconds."""
    if pyarrow.types.is_timestamp(column.type):
        whole = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False).cast(pyarrow.int64())
        return [None if value is None else value / 1e6 for value in whole.to_pylist()]
    as_they_are = (type(None), str, int, float)
    return [value if isinstance(value, as_they_are) else str(value) for value in column.to_pylist()]


def _parquet_symbol(value: Any) -> str | None:
    return None if value is None else str(value)
