"""Rows of CSV and TSV files, with the csv module of Python: quotes, line ends within them, any length of file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import IO, TypeAlias

from ..errors import CorpusError
from .columns import ColumnPlaces, Columns
from .complaints import Complaints

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
    file: IO[str], columns: Columns, source: str, complaints: Complaints, delimiter: str | None, header: bool
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
    complaints: Complaints,
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
