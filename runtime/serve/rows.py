"""Parse lines of a table, CSV or JSON, by the columns that the model was trained on."""

from __future__ import annotations

import csv
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.errors import CorpusError, InputError, OptionError
from ..data.columns import GAP
from ..data.csv_table import find_delimiter
from ..data.event_row import EventRow, RowParser
from ..data.events import CSV, JSON_LINES, EventsReader
from ..data.for_model import reader_for_model
from ..data.time_bins import TimeBins
from ..format.manifest import Manifest
from .input_line import Event, read_json, take_bounds

ROW_FORMATS = (CSV, JSON_LINES)
_SHOWN = 60


class RowLines:
    """Turns lines of a table into events: columns joined, times read, features taken, as in training.

    The first line of CSV names the columns, and every line equal to it is skipped (each file of a rotated log may have
    one). A row stands on one line.

    Attributes:
        key_name: The field of the key of a stream: that of the options, or the column of the sequence; None: there is
            one stream.
        header: The line that names the columns; "": none has come. It is saved with the state.
    """

    def __init__(self, manifest: Manifest, format: str, key_field: str | None, right: Sequence[str] = ()) -> None:
        """Parse lines of rows.

        Args:
            manifest: Manifest of the model.
            format: "csv" or "jsonl".
            key_field: The field of the key; None: as in training.
            right: Columns of the values that residuals are about.

        Raises:
            OptionError: The model was not trained on a table.
        """
        self._manifest, self._is_csv, self.header, self._right = manifest, format == CSV, "", right
        reader = reader_of_rows(manifest, format)
        if reader is None:
            raise OptionError(
                f"{manifest.name} was not trained on a table, so there are no columns to read: leave out --format."
            )
        self._reader, self._rows = reader, RowParser.of(reader)
        self.key_name = key_field or reader.sequence
        gaps = None if reader.gaps is None else TimeBins.parse(reader.gaps)
        self._limits = [] if gaps is None else gaps.seconds
        self._gap_symbols = () if gaps is None else gaps.symbols
        self._names: list[str] = []
        self._selected: list[int | None] = []
        self._delimiter = reader.delimiter or ","
        self._has_own_key = self.key_name not in (None, reader.sequence)
        self._key_index: int | None = None
        self._others: list[tuple[str, int]] = []
        self._right_indices: list[int] = []
        self._read = {self.key_name, *(name for _, name in reader.columns.by_option), *right}
        self._left_out = {*reader.columns.symbols, self.key_name}  # of the other fields: the answer has them

    def parse(self, line: str, named: str | None = None) -> Event | None:
        """Return the event of a line; None: it is the header.

        Args:
            line: The line.
            named: The key of its stream, from where the line comes from; None: the row says it.

        Raises:
            InputError: It cannot be read, or lacks a column.
        """
        if not self._is_csv:
            return self._parse_json(line, named)
        if not self._names and self._take_header(line):
            return None
        if line == self.header:
            return None
        cells = self._split(line)
        if len(cells) != len(self._names):
            raise InputError(
                f"{line[:_SHOWN]!r} has {len(cells)} cells; expected are {len(self._names)}: {', '.join(self._names)}"
            )
        try:
            row = self._rows.parse([None if index is None else cells[index] for index in self._selected])
        except ValueError as error:
            raise InputError(str(error)) from None
        key = row.sequence if self._key_index is None else cells[self._key_index]
        event = self._event(row, self._same(key, named), {name: cells[index] for name, index in self._others})
        return event._replace(right=[cells[index] for index in self._right_indices]) if self._right else event

    def is_header(self, line: str) -> bool:
        """Return whether a line names all columns that are read."""
        names = next(csv.reader([line], delimiter=self._delimiter_of(line)), [])
        needed = [name for _, name in self._reader.columns.by_option]
        return bool(needed) and all(names.count(name) == 1 for name in needed)

    def gap(self, before: int | float | None, now: int | float | None) -> float | None:
        """Return the time between two events, in the unit of training; None: one of them is not known."""
        return None if before is None or now is None else max(0.0, self._rows.gap(before, now))

    def gap_symbol(self, gap: float | None) -> str | None:
        """Return the symbol of a gap, which is fed behind its event; None: the model reads none."""
        if gap is None or not self._limits:
            return None
        return self._gap_symbols[bisect_right(self._limits, gap)]

    def features(self, event: Event, gap: float | None) -> Mapping[str, Any] | None:
        """Return the features of an event, with the time since the one before if the model reads it."""
        if not self._reader.gap_feature:
            return event.features
        return {**(event.features or {}), GAP: [0.0 if gap is None else gap]}

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
        if self._has_own_key and self.key_name not in names:
            raise InputError(f"There is no column {self.key_name!r} (--key); there are {', '.join(names)}")
        if self._right and (missing := [name for name in self._right if name not in names]):
            raise InputError(
                f"There is no column {', '.join(map(repr, missing))}, which --threshold is about; there are "
                f"{', '.join(names)}"
            )
        self._right_indices = [names.index(name) for name in self._right]
        self._key_index = names.index(str(self.key_name)) if self._has_own_key else None
        self._others = [(name, index) for index, name in enumerate(names) if name not in self._left_out]
        self._selected = [None if name is None else names.index(name) for name in selected]
        self.header = line if has_header else ""
        return has_header

    def _delimiter_of(self, line: str) -> str:
        reader = self._reader
        if reader.delimiter is not None:
            return reader.delimiter
        try:
            return find_delimiter([line], reader.columns, reader.header, reader.new_time_reader(), "Line 1")
        except CorpusError as error:
            raise InputError(str(error)) from None

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

    def _parse_json(self, line: str, named: str | None) -> Event:
        expected = f"expected is an object with {', '.join(name for _, name in self._reader.columns.by_option)}."
        found = read_json(line, expected)
        if not isinstance(found, dict):
            raise InputError(f"{line[:_SHOWN]!r} is not a JSON object; {expected}")
        start, end = take_bounds(found, self._read)
        given = found.get(self.key_name) if self.key_name is not None else None
        key = self._same(given if given is None or isinstance(given, str) else json.dumps(given), named)
        if named is not None and self.key_name is not None:
            found.setdefault(self.key_name, named)
        columns = self._reader.columns
        if (start or end) and not any(name in found for name in columns.symbols or columns.features.values()):
            return Event(None, key=key or "", start=start, end=end, is_event=False)
        try:
            row = self._rows.parse_mapping(found)
        except ValueError as error:
            raise InputError(f"{line[:_SHOWN]!r}: {error}") from None
        for text in (key or "", row.symbol or ""):
            _require_unicode(text)
        others = {name: value for name, value in found.items() if name not in self._left_out}
        event = self._event(row, key if self._has_own_key or named is not None else row.sequence, others)
        return event._replace(start=start, end=end, right=[found.get(name) for name in self._right])

    @staticmethod
    def _same(key: str | None, named: str | None) -> str | None:
        """Return the key of a row, which is not that of another stream than the line was sent to."""
        if key and named is not None and key != named:
            raise InputError(f"The row is of the stream {key!r}, and was sent as one of {named!r}")
        return key or named

    def _event(self, row: EventRow, key: str | None, others: Mapping[str, Any]) -> Event:
        if row.missing:
            raise InputError(f"There is no {row.missing}")
        if self.key_name is not None and not key:
            raise InputError(f"There is no {self.key_name!r}, the key of a stream")
        features = {name: [value] for name, value in zip(self._rows.feature_names, row.features, strict=True)}
        return Event(row.symbol or None, features or None, key or "", time=row.time, fields=others)


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
