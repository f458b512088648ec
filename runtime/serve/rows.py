"""Parse lines of a table, CSV or JSON, by the columns that the model was trained on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.errors import CorpusError, InputError, OptionError
from ..data.columns import GAP
from ..data.event_row import EventRow, RowParser
from ..data.events import CSV, JSON_LINES, EventsReader
from ..data.for_model import reader_for_model
from ..data.time_bins import TimeBins
from ..format.manifest import Manifest
from .input_line import RESET, Event, read_json, takes_reset

ROW_FORMATS = (CSV, JSON_LINES)
_DELIMITERS = ",;\t|"
_SHOWN = 60


class RowLines:
    """Turns lines of a table into events: columns joined, times read, features taken, as in training.

    The first line of CSV names the columns, and every line equal to it is skipped (each file of a rotated log may have
    one). A row stands on one line.

    Attributes:
        key_name: The field of the key of a stream: that of the options, or the column of the sequence; None: there is
            one stream.
        gaps: Bins of the gaps that are symbols; None: there are none.
        header: The line that names the columns; "": none has come. It is saved with the state.
    """

    def __init__(self, manifest: Manifest, format: str, key_field: str | None) -> None:
        """Parse lines of `format`, "csv" or "jsonl"; `key_field`: the field of the key, None: as in training.

        Raises:
            OptionError: The model was not trained on a table.
        """
        self._manifest, self._is_csv, self.header = manifest, format == CSV, ""
        reader = reader_of_rows(manifest, format)
        if reader is None:
            raise OptionError(
                f"{manifest.name} was not trained on a table, so there are no columns to read: leave out --format."
            )
        self._reader, self._rows = reader, RowParser.of(reader)
        self.key_name = key_field or reader.sequence
        self.gaps = None if reader.gaps is None else TimeBins.parse(reader.gaps)
        self._names: list[str] = []
        self._selected: list[int | None] = []
        self._delimiter = reader.delimiter or ","
        columns = reader.columns
        self._of_symbol = {*columns.symbols, self.key_name}

    def parse(self, line: str) -> Event | None:
        """Return the event of a line; None: it is the header.

        Raises:
            InputError: It cannot be read, or lacks a column.
        """
        if not self._is_csv:
            return self._parse_json(line)
        if not self._names and self._take_header(line):
            return None
        if line == self.header:
            return None
        cells = self._split(line)
        if len(cells) != len(self._names):
            raise InputError(
                f"{line[:_SHOWN]!r} has {len(cells)} cells; expected are {len(self._names)}: {', '.join(self._names)}"
            )
        selected = [None if index is None else cells[index] for index in self._selected]
        return self._event(self._read(selected), dict(zip(self._names, cells, strict=True)))

    def is_header(self, line: str) -> bool:
        """Return whether a line names all columns that are read."""
        names = next(csv.reader([line], delimiter=self._delimiter_of(line)), [])
        needed = [name for _, name in self._reader.columns.by_option]
        return bool(needed) and all(names.count(name) == 1 for name in needed)

    def gap(self, before: int | float | None, now: int | float | None) -> float | None:
        """Return the time between two events, in the unit of training; None: one of them is not known."""
        return None if before is None or now is None else max(0.0, self._rows.gap(before, now))

    def features(self, event: Event, gap: float | None) -> dict[str, Any] | None:
        """Return the features of an event, with the time since the one before if the model reads it."""
        features = dict(event.features or {})
        if self._reader.gap_feature:
            features[GAP] = [0.0 if gap is None else gap]
        return features or None

    def restore_header(self, header: str) -> None:
        """Take the header of an earlier run, for lines that go on in the middle of a file."""
        if self._is_csv and header and not self._names:
            self._take_header(header)

    def _take_header(self, line: str) -> bool:
        """Take the names of the columns from the first line; return whether it is a header."""
        self._delimiter = self._delimiter_of(line)
        cells = self._split(line)
        has_header = self._reader.header
        names = cells if has_header else [str(number) for number in range(1, len(cells) + 1)]
        try:
            selected = self._reader.columns.select(names, f"The header {line[:_SHOWN]!r}" if has_header else "Line 1")
        except CorpusError as error:
            raise InputError(str(error)) from None
        self._names = names
        self._selected = [None if name is None else names.index(name) for name in selected]
        self.header = line if has_header else ""
        return has_header

    def _delimiter_of(self, line: str) -> str:
        if self._reader.delimiter is not None:
            return self._reader.delimiter
        return max(_DELIMITERS, key=lambda one: (len(next(csv.reader([line], delimiter=one), [])), one == ","))

    def _split(self, line: str) -> list[str]:
        if '"' not in line:
            return line.split(self._delimiter)
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise InputError(
                f"{line[:_SHOWN]!r} is not a row of CSV ({error}); a quotation mark that is opened is closed on the "
                "same line, and within a field it is doubled"
            ) from None

    def _parse_json(self, line: str) -> Event:
        expected = f"expected is an object with {', '.join(name for _, name in self._reader.columns.by_option)}."
        found = read_json(line, expected)
        if not isinstance(found, dict):
            raise InputError(f"{line[:_SHOWN]!r} is not a JSON object; {expected}")
        reset = RESET not in self._of_symbol and takes_reset(found, self._manifest)
        if reset and not any(name in found for name in self._reader.columns.symbols):
            key = "" if self.key_name is None else str(found.get(self.key_name, ""))
            return Event(None, key=key, reset=True, is_event=False)
        try:
            row = self._rows.parse_mapping(found)
        except ValueError as error:
            raise InputError(f"{line[:_SHOWN]!r}: {error}") from None
        return self._event(row, found)._replace(reset=reset)

    def _read(self, cells: Sequence[Any]) -> EventRow:
        try:
            return self._rows.parse(cells)
        except ValueError as error:
            raise InputError(str(error)) from None

    def _event(self, row: EventRow, fields: Mapping[str, Any]) -> Event:
        if row.missing:
            raise InputError(f"There is no {row.missing}")
        key = "" if self.key_name is None else row.sequence
        if self.key_name is not None and self.key_name != self._reader.sequence:
            given = fields.get(self.key_name)
            key = None if given is None else given if isinstance(given, str) else str(given)
        if key is None:
            raise InputError(f"There is no {self.key_name!r} (--key)")
        for text in (key, row.symbol or ""):
            _require_unicode(text)
        features = {name: [value] for name, value in zip(self._rows.feature_names, row.features, strict=True)}
        others = {name: value for name, value in fields.items() if name not in self._of_symbol}
        return Event(row.symbol, features or None, key, time=row.time, fields=others)


def reader_of_rows(manifest: Manifest, format: str) -> EventsReader | None:
    """Return the reader of a table for a model; None: it was not trained on one."""
    reading = manifest.trained_data.reading
    if manifest.trained_data.kind != EventsReader.kind or reading.get("format") == "lines":
        return None
    same = reading.get("format") == format
    reader = reader_for_model(manifest, {} if same else {"format": format}).reader
    return reader if isinstance(reader, EventsReader) else None


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text[:_SHOWN]!r} has half of a surrogate pair, which is no Unicode text") from None
