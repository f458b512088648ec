"""Turn a row into an event: for the rows of files and for live lines alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from .columns import Columns, feature_of, symbol_of
from .templates import template_matcher
from .timestamps import TimeReader


class RowReader(Protocol):
    """The part of `EventsReader` that says how rows are read."""

    @property
    def columns(self) -> Columns:
        """The columns that are read."""

    @property
    def templates(self) -> Sequence[str]:
        """Templates of messages; none: symbols are taken as they are."""

    def new_time_reader(self) -> TimeReader | None:
        """Return a reader of the order column; None: there is no such column."""


class EventRow(NamedTuple):
    """An event.

    Attributes:
        symbol: Its symbol, joined of several columns if they are named; None: the row has none. "" in a table without
            symbols.
        sequence: The sequence it belongs to; None: there is no such column, or the row has none.
        time: Its time in nanoseconds since 1970, or the number in its order column; None: there is no such column.
        features: Its numbers, in the order of the reader's `features`, as they are in the row.
        missing: What the row lacks, in words, if it is no event: "symbol", "sequence"; else "".
    """

    symbol: str | None
    sequence: str | None = None
    time: int | float | None = None
    features: tuple[float, ...] = ()
    missing: str = ""


class RowParser:
    """Turns rows into events by the columns that an `EventsReader` names.

    >>> from stepcell.runtime.data import EventsReader
    >>> parser = RowParser.of(EventsReader(symbol=("entity", "state"), order="time"))
    >>> parser.parse_mapping({"entity": "lamp", "state": "on", "time": "1970-01-01T00:00:01Z"})
    EventRow(symbol='lamp=on', sequence=None, time=1000000000, features=(), missing='')
    """

    def __init__(
        self, columns: Columns, times: TimeReader | None = None, template_of: Callable[[str], str] | None = None
    ) -> None:
        """Begin without rows.

        Args:
            columns: The columns to read.
            times: Reads the order column; None: it is not read.
            template_of: Returns the symbol of a message; None: symbols are taken as they are.
        """
        self._template_of = template_of
        self.columns, self.times = columns, times
        self._symbols = 1 if columns.symbol is None else len(columns.symbols)  # cells of the symbol, the first ones
        self._has_sequence = columns.sequence is not None
        self._features = tuple(columns.features.values())

    @classmethod
    def of(cls, reader: RowReader) -> RowParser:
        """Return the parser of rows like those of the files that `reader` reads."""
        return cls(reader.columns, reader.new_time_reader(), template_matcher(reader.templates))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of an event, in order."""
        return tuple(self.columns.features)

    def parse(self, cells: Sequence[Any]) -> EventRow:
        """Return the event of a row.

        Args:
            cells: Values in the order of `Columns.select`: text as in CSV, or values of JSON.

        Raises:
            ValueError: A cell cannot be read; the text names all problems.
        """
        count = self._symbols
        symbol = symbol_of(cells[0]) if count == 1 else self._joined(cells[:count])
        sequence = symbol_of(cells[count]) or None
        if symbol and self._template_of is not None:
            symbol = self._template_of(symbol)
        if not symbol and count:
            return EventRow(None, sequence, missing=self._missing(cells))
        if self._has_sequence and sequence is None:
            return EventRow(symbol, missing="sequence")
        if self._features:
            return EventRow(symbol, sequence, *self._numbers(cells))
        return EventRow(symbol, sequence, None if self.times is None else self._time(cells[count + 1]))

    def parse_mapping(self, row: Mapping[str, Any]) -> EventRow:
        """Return the event of a live line: name of a field or column -> its value, text or a value of JSON.

        Raises:
            ValueError: A field is missing or cannot be read; the text names all problems.
        """
        names = self._names()
        if self.columns.symbol is None:
            if len(row) != 1:
                raise ValueError(f"{len(row)} fields where a symbol alone is expected: {list(row)[:10]}")
            names = [*row, *names]
        absent = dict.fromkeys(name for name in names if name is not None and name not in row)
        if absent:
            found = ", ".join(map(repr, list(row)[:10])) or "none"
            raise ValueError(f"no field {', '.join(map(repr, absent))}; its fields: {found}")
        return self.parse([None if name is None else row[name] for name in names])

    def gap(self, before: int | float, now: int | float) -> float:
        """Return the time between two events, in seconds, or in the unit of an order column of numbers without one."""
        return (now - before) / (1 if self.times is None else self.times.per_second)

    def _names(self) -> list[str | None]:
        columns = self.columns
        return [*columns.symbols, columns.sequence, columns.order, *columns.features.values()]

    def _joined(self, cells: Sequence[Any]) -> str | None:
        """Return the joined symbol, "" of no columns; None: a cell is empty."""
        if not cells:
            return ""
        values = [symbol_of(cell) for cell in cells]
        if not all(values):
            return None
        join = self.columns.join
        symbol = join.join(value for value in values if value)
        if symbol.split(join) != values:
            names = list(zip(self.columns.symbols, values, strict=True))
            name, value = next(((name, value) for name, value in names if value and join in value), names[-1])
            raise ValueError(
                f"{value!r} in the column {name!r} makes {symbol!r} ambiguous, because columns are joined with "
                f"{join!r}; join them with another text: --join TEXT"
            )
        return symbol

    def _missing(self, cells: Sequence[Any]) -> str:
        if self._symbols == 1:
            return "symbol"
        empty = (name for name, cell in zip(self.columns.symbols, cells, strict=False) if not symbol_of(cell))
        return f"symbol, with nothing in the column {next(empty)!r}"

    def _time(self, cell: Any) -> int | float:
        assert self.times is not None
        try:
            return self.times.read(cell)
        except ValueError as error:
            raise ValueError(f"{error} (column {self.columns.order!r})") from None

    def _numbers(self, cells: Sequence[Any]) -> tuple[int | float | None, tuple[float, ...]]:
        features, problems, time = [], [], None
        for cell, column in zip(cells[self._symbols + 2 :], self._features, strict=True):
            try:
                features.append(feature_of(cell, column))
            except ValueError as error:
                problems.append(str(error))
        if self.times is not None:
            try:
                time = self._time(cells[self._symbols + 1])
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(problems))
        return time, tuple(features)
