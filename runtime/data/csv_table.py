"""Rows of CSV and TSV: the delimiter, and quotation marks that are not closed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import IO

from ..common.errors import CorpusError
from .columns import Columns
from .row_errors import Row, RowErrors
from .timestamps import TimeReader

_DELIMITERS = {",": "','", ";": "';'", "\t": r"'\t'", "|": "'|'"}
_PEEKED = 20  # lines in which the delimiter is looked for
_MAX_FIELD = 64 << 20  # characters
_LINE_END = re.compile(r"\r\n|\n|\r")
_EXCEL = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


def csv_rows(
    file: IO[str], columns: Columns, source: str, errors: RowErrors, delimiter: str | None, header: bool,
    times: TimeReader | None = None,
) -> tuple[str, Iterator[Row]]:  # fmt: skip
    """Return the delimiter, and the rows.

    A quoted field of a column that is read ends in its line. One of another column may span lines, unless these look
    like rows: then its quotation mark is open.

    Args:
        file: The text, its line ends unchanged.
        columns: Columns to read; without a header they are called "1", "2", ...
        source: The file, for messages.
        errors: Takes rows with more or fewer fields than the header.
        delimiter: Between columns; None: that of a first line `sep=;`, as Excel writes it, or detected.
        header: Whether the first line holds the names of the columns.
        times: Reads the order column, which tells delimiters apart.

    Raises:
        CorpusError: The file is empty, or lacks columns, or its delimiter is doubtful; later, while rows are read: a
            quotation mark is not closed.
    """
    csv.field_size_limit(max(_MAX_FIELD, csv.field_size_limit()))
    skipped, first = 0, file.readline()
    while first and (not first.strip() or (excel := _EXCEL.fullmatch(first))):
        if first.strip() and excel:
            delimiter = delimiter or excel[1]
        skipped, first = skipped + 1, file.readline()
    if not first:
        raise CorpusError(f"{source} is empty.")
    peeked = [first, *islice(iter(file.readline, ""), _PEEKED - 1)]
    separator = delimiter or find_delimiter(peeked, columns, header, times, source)
    if len(separator) != 1 or separator in '"\r\n':
        raise CorpusError(f"The delimiter is {separator!r}; give one character, or leave it out to have it detected.")
    reader = csv.reader(chain(peeked, file), delimiter=separator, strict=True)
    try:
        names = next(reader)
    except csv.Error as error:
        hint = _hint(first, 0, None, False) or _OPEN  # Python 3.10 reads no NUL
        raise CorpusError(f"The first line of {source} cannot be read: {error}.{hint}") from error
    width = len(names)
    if reader.line_num > 1:
        _check_lines(names, (), 1 + skipped, separator, source)
    existing = names if header else [str(number) for number in range(1, width + 1)]
    selected = columns.select(existing, source, _hint(first, width, delimiter, header))
    pick = itemgetter(*(width if name is None else existing.index(name) for name in selected))

    def rows() -> Iterator[Row]:
        line = before = reader.line_num + skipped if header else skipped
        try:
            for row in reader if header else chain([names], reader):
                line = reader.line_num + skipped
                if line > before + 1 and row:
                    _check_lines(row, pick((*row, None)) if len(row) == width else row, before + 1, separator, source)
                before = line
                if len(row) == width:
                    yield line, pick((*row, None))
                elif row:  # else the line is empty
                    errors.add(line, f"{len(row)} fields, {width} are expected")
        except csv.Error as error:
            raise CorpusError(f"{source} cannot be read from line {before + 1:,} on: {error}.{_OPEN}") from error

    return separator, rows()


_OPEN = (
    ' Is a quotation mark left open there? Close it; a quotation mark within a quoted field is doubled: "say ""hi""".'
)


def find_delimiter(
    lines: Sequence[str],
    columns: Columns,
    header: bool = True,
    times: TimeReader | None = None,
    source: str = "The file",
) -> str:
    r"""Return the delimiter of a table.

    With a header it is that with most of the named columns, or most columns at all. Without one it is the only one that
    cuts all lines into as many fields, or with which the order column can be read.

    Args:
        lines: First lines of the table.
        columns: Columns to read.
        header: Whether the first line holds their names.
        times: Reads the order column.
        source: The file, for messages.

    >>> find_delimiter(["case;time, local;event"], Columns("event"))
    ';'

    Raises:
        CorpusError: Several are possible.
    """
    tables = {one: _split(lines, one) for one in _DELIMITERS}
    if header:
        named = {name for _, name in columns.by_option}
        first = {one: table[0] if table else [] for one, table in tables.items()}
        return max(_DELIMITERS, key=lambda one: (len(named & set(first[one])), len(first[one])))
    asked = max([int(name) for _, name in columns.by_option if name.isdecimal()], default=1)
    widths = {one: {len(row) for row in table if row} for one, table in tables.items()}
    likely = [one for one in _DELIMITERS if len(widths[one]) == 1 and max(widths[one]) >= max(asked, 2)]
    if len(likely) > 1 and columns.order is not None and columns.order.isdecimal() and times is not None:
        index = int(columns.order) - 1
        kinds = {one: {_kind(row[index], times) for row in tables[one] if row} for one in likely}
        readable = [one for one in likely if "" not in kinds[one]] or likely
        likely = [one for one in readable if kinds[one] == {"time"}] or readable
    if len(likely) > 1:
        found = " and ".join(f"{max(widths[one])} by {_DELIMITERS[one]}" for one in likely)
        raise CorpusError(
            f"{source} has no header, and its lines have equally many fields with several delimiters: {found}. "
            f"Give the right one: --delimiter '{likely[0]}'."
        )
    return likely[0] if likely else max(_DELIMITERS, key=lambda one: max(widths[one], default=0))


def _kind(cell: str, times: TimeReader) -> str:
    """Return whether a cell of the order column is a "time", a "number", or "": neither."""
    reader = times.new()
    try:
        reader.read(cell)
    except ValueError:
        return ""
    return "time" if reader.are_times else "number"


def _check_lines(row: Sequence[str], read: Sequence[str | None], line: int, separator: str, source: str) -> None:
    """Refuse a row of several lines if a column that is read has them, or if they look like rows.

    Args:
        row: All fields.
        read: The fields that are read.
        line: The first line.
        separator: The delimiter.
        source: The file.

    Raises:
        CorpusError: A quotation mark is open.
    """
    first, *inner = _LINE_END.split(separator.join(row))
    if any(cell is not None and _LINE_END.search(cell) for cell in read):
        why = "a field of a column that is read begins there and ends in a later line"
    elif inner and {text.count(separator) for text in (first, *inner)} == {len(row) - 1} != {0}:
        why = f"a field that begins there holds {len(inner):,} lines that look like rows"
    else:
        return
    raise CorpusError(f"{source}, line {line:,}: {why}.{_OPEN}")


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return []


def _hint(header: str, width: int, delimiter: str | None, has_header: bool) -> str:
    """Return the likely reason for missing columns."""
    if "\0" in header:
        return " It looks like UTF-16: try --encoding utf-16."
    counts = {one: len(row) for one in _DELIMITERS for row in _split([header], one)[:1]}
    others = [] if delimiter is None else [one for one, count in counts.items() if count > width]
    if others:
        return f" Separated by {_DELIMITERS[others[0]]} it would have {counts[others[0]]}: leave out --delimiter."
    return " If the first line holds no names, add --no-header: columns are then 1, 2, ..." if has_header else ""
