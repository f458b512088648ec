"""The columns of a row as a worker gets it, and the record that is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.errors import OptionError
from ..common.printable import printable_json
from ..data.columns import symbol_of
from ..data.event_row import RowParser
from ..data.events import JSON_LINES
from ..data.live_symbol import live_symbol_reader, templates_of
from ..data.timestamps import Instant
from ..format.manifest import Manifest
from ..serve.adapters.base import Incoming
from ..serve.input_line import Event
from ..serve.rows import RowLines, reader_of_rows
from ..serve.service.options import ServeOptions
from ..serve.service.record import Record, RecordError, RecordReader

_LARGEST = 2**62  # of a number of a record, as in serve
_NANOSECONDS = 1000  # of a microsecond, in which Spark counts times


@dataclass(frozen=True)
class Layout:
    """The columns of a row, in this order; each is named as in the table of the user, for messages.

    Attributes:
        key: The key of the stream.
        seq: The number of the record; None: rows have none.
        order: The time or number that orders the rows; None: there is none.
        symbols: The columns of the symbol.
        features: Name of each feature of the model, and its column.
        static: Name of each static input of the model, and its column.
        start: Whether a sequence starts with the row; None: no column says it.
        end: Whether it ends with it; None: likewise.
        fields: Further columns, which stand in the answers.
        order_is_time: Whether the column `order` holds microseconds since 1970.
    """

    key: str
    seq: str | None = None
    order: str | None = None
    symbols: tuple[str, ...] = ()
    features: tuple[tuple[str, str], ...] = ()
    static: tuple[tuple[str, str], ...] = ()
    start: str | None = None
    end: str | None = None
    fields: tuple[str, ...] = ()
    order_is_time: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, as they stand in a row."""
        single = [name for name in (self.key, self.seq, self.order) if name is not None]
        inputs = [column for _, column in (*self.features, *self.static)]
        bounds = [name for name in (self.start, self.end) if name is not None]
        return (*single, *self.symbols, *inputs, *bounds, *self.fields)


def reads_time(manifest: Manifest) -> bool:
    """Return whether a model reads the time between two events."""
    reading = manifest.trained_data.reading
    return bool(reading.get("gaps") or reading.get("gap_feature"))


def symbol_reader(manifest: Manifest) -> Callable[[Any], str | None]:
    """Return the function that reads the symbol in a cell as in training; None or "": the cell is empty.

    Words are read in their normal form, and messages of a log as their templates. It raises ValueError as `symbol_of`.
    """
    read_text = live_symbol_reader(manifest)

    def read(cell: Any) -> str | None:
        symbol = symbol_of(cell)
        return read_text(symbol) if symbol else symbol

    return read


class RowReader(RecordReader):
    """Reads the record of a row of Spark, which is the token of what comes in.

    A model that reads the time between events, or whose symbol was joined of several columns, reads the row as one of
    the table that it was trained on.
    """

    def __init__(self, manifest: Manifest, layout: Layout, options: ServeOptions) -> None:
        """Read rows of a layout.

        Raises:
            OptionError: The columns are not those that the model needs; the message names all problems.
        """
        super().__init__(manifest, options)
        self.layout = layout
        positions = iter(range(len(layout.columns)))
        next(positions)  # the key
        self.seq = None if layout.seq is None else next(positions)
        self.order = None if layout.order is None else next(positions)
        self._symbols = [next(positions) for _ in layout.symbols]
        self._feature_columns = [(name, next(positions)) for name, _ in layout.features]
        self._static_columns = [(name, next(positions)) for name, _ in layout.static]
        self._start = None if layout.start is None else next(positions)
        self._end = None if layout.end is None else next(positions)
        self.fields = list(positions)
        self._symbol_in = symbol_reader(manifest)
        self._single = {feature.name for feature in manifest.features if feature.shape == (1,)}
        self._shows_line = not layout.symbols or bool(templates_of(manifest))
        reader = reader_of_rows(manifest, JSON_LINES)
        self._rows: RowParser | None = None
        problems = self._problems(manifest, layout)
        if reader is not None and (reads_time(manifest) or len(reader.columns.symbols) > 1):
            self.rows = RowLines(manifest, JSON_LINES, None)
            self._rows, columns = RowParser.of(reader), reader.columns
            if len(columns.symbols) != len(layout.symbols):
                problems.append(
                    f"its symbols are joined of {', '.join(columns.symbols) or 'no column'}: name as many columns"
                )
            if reads_time(manifest) and layout.order is None:
                problems.append("it reads the time between events: name the column with order=")
            self._cells = [
                *zip(columns.symbols, self._symbols, strict=False),
                *((columns.features[name], at) for name, at in self._feature_columns if name in columns.features),
                *([(columns.order, self.order)] if columns.order is not None and self.order is not None else []),
            ]
            self._empty = {columns.sequence: layout.key} if columns.sequence is not None else {}
            if columns.order is not None and layout.order is None:
                problems.append(f"its rows are ordered by {columns.order}: name the column with order=")
        elif len(layout.symbols) > 1:
            problems.append(f"its symbol is not joined of several columns, as {', '.join(layout.symbols)} would be")
        if problems:
            raise OptionError(f"{manifest.name} cannot read these rows: {'; '.join(dict.fromkeys(problems))}.")

    @staticmethod
    def _problems(manifest: Manifest, layout: Layout) -> list[str]:
        """Return where the named columns are not those that a model reads."""
        problems = []
        if bool(layout.symbols) != bool(len(manifest.vocabulary)):
            problems.append("it reads no symbols" if layout.symbols else "name the column of the symbol with symbol=")
        own = ["gap"] if manifest.trained_data.reading.get("gap_feature") else []
        wanted = {feature.name for feature in manifest.features} - set(own)
        given = {name for name, _ in layout.features}
        problems += [f"name the column of the feature {name}: features={{{name!r}: ...}}" for name in wanted - given]
        problems += [f"it reads no feature {name}" for name in given - wanted]
        static = {tensor.name for tensor in manifest.static}
        problems += [f"it has no static input {name}" for name in {name for name, _ in layout.static} - static]
        return sorted(problems)

    def read(self, incoming: Incoming) -> Record:
        """Return the record of a row.

        Raises:
            RecordError: It cannot be read.
        """
        row: Sequence[Any] = incoming.token
        stream, seq = incoming.stream, None
        if self.seq is not None:
            seq = row[self.seq]
            if seq is None or not 0 <= seq < _LARGEST:
                what = "null" if seq is None else str(seq)
                raise RecordError(
                    f"{self.layout.seq} is {what}, and numbers the records of a stream: an integer from 0 on.", stream
                )
        try:
            return self._read_row(row, stream or "", seq)
        except ValueError as error:
            raise RecordError(str(error), stream, seq) from error

    def _read_row(self, row: Sequence[Any], key: str, seq: int | None) -> Record:  # type: ignore[override]
        start = self._start is not None and row[self._start] is True
        end = self._end is not None and row[self._end] is True
        static = {name: row[at] for name, at in self._static_columns if row[at] is not None}
        cells = [row[at] for at in (*self._symbols, *(at for _, at in self._feature_columns))]
        if (start or end) and all(cell is None for cell in cells):
            return Record(Event(None, key=key, start=start, end=end, is_event=False, static=static), seq, "")
        line = self._shown(cells) if self._shows_line else ""
        if self._rows is not None:
            return Record(
                self._table_event(self._rows, row, key)._replace(start=start, end=end, static=static), seq, line
            )
        symbol = None
        if self._symbols:
            symbol = self._symbol_in(row[self._symbols[0]])
            if symbol is None:
                raise ValueError(f"{self.layout.symbols[0]} is null, where a symbol is expected")
        features = {name: self._feature(row[at], name) for name, at in self._feature_columns}
        return Record(Event(symbol, features or None, key, start, static=static, end=end), seq, line)

    def _shown(self, cells: Sequence[Any]) -> str:
        """Return a row as an answer quotes it: the message, or all numbers."""
        return str(cells[0]) if self._symbols else printable_json([str(cell) for cell in cells])

    def _feature(self, cell: Any, name: str) -> Any:
        if cell is None:
            raise ValueError(f"the feature {name} is null")
        return [cell] if name in self._single and not isinstance(cell, (list, tuple)) else cell

    def _table_event(self, rows: RowParser, row: Sequence[Any], key: str) -> Event:
        cells: dict[str, Any] = dict(self._empty)
        cells.update((name, row[at]) for name, at in self._cells)
        if self.order is not None and self.layout.order_is_time and rows.columns.order is not None:
            time = row[self.order]
            cells[rows.columns.order] = None if time is None else Instant(time * _NANOSECONDS)
        found = rows.parse_mapping(cells)
        if found.missing:
            raise ValueError(f"there is no {found.missing}")
        features: Mapping[str, Any] = {
            name: [value] for name, value in zip(rows.feature_names, found.features, strict=True)
        }
        return Event(found.symbol or None, features or None, key, time=found.time)
