"""Read a record: its stream, its number, and the event to step."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ...common.errors import InputError
from ...data.live_symbol import live_symbol_reader
from ...format.manifest import Manifest
from ...format.vocabulary import read_symbol
from ..adapters.base import Incoming, Json
from ..input_line import Event, read_json, take_bounds, text_of
from ..rows import RowLines
from .options import ServeOptions

_MOST = 2**62  # of a number of a record
_SHOWN = 60  # characters of a line in a message


class Record(NamedTuple):
    """A record.

    Attributes:
        event: What to step, with the key of its stream.
        seq: Its number; None: it has none.
        line: The line it was read from.
    """

    event: Event
    seq: int | None
    line: str


class RecordError(InputError):
    """A record cannot be read; as far as it was: its stream and its number."""

    def __init__(self, message: str, stream: str | None = None, seq: int | None = None) -> None:
        """Keep what is known of the record."""
        super().__init__(message)
        self.stream, self.seq = stream, seq


class RecordReader:
    """Reads the records of one source.

    A line is a JSON object, or a symbol by itself; with a format it is a row of a table as in training.

    Attributes:
        rows: Reads rows of a table; None: there is no format.
    """

    def __init__(self, manifest: Manifest, options: ServeOptions, right: tuple[str, ...] = ()) -> None:
        """Begin at the first line of the source.

        Args:
            manifest: Manifest of the model.
            options: The names of the fields, and the format.
            right: Fields of the values that residuals are about.

        Raises:
            OptionError: The model was not trained on a table, and there is a format.
        """
        self._manifest, self._right = manifest, right
        self._stream, self._seq = options.stream_field, options.seq_field
        self._symbol = options.symbol_field
        self._has_symbols = len(manifest.vocabulary) > 0
        self._features = [feature.name for feature in manifest.features]
        self._static = [tensor.name for tensor in manifest.static]
        self._read = {*self._features, *self._static, self._stream, self._seq, self._symbol, *right}
        self._plain = self._has_symbols and not self._features
        self._live_symbol = live_symbol_reader(manifest)
        self.rows = None if options.format is None else RowLines(manifest, options.format, None, right)
        wanted = [self._stream, self._seq, *([self._symbol] if self._has_symbols else []), *self._features]
        self._expected = "expected is {" + ", ".join(f'"{name}": ...' for name in wanted) + "}."

    @property
    def note(self) -> Json:
        """What is needed to go on in the middle of the source; None: nothing."""
        return None if self.rows is None else self.rows.header

    def restore(self, note: Json) -> None:
        """Go on where `note` was taken."""
        if self.rows is not None and isinstance(note, str):
            self.rows.restore_header(note)

    def read(self, incoming: Incoming) -> Record | None:
        """Return the record; None: the line is empty, or the header of a table.

        Raises:
            RecordError: It cannot be read.
        """
        if incoming.error is not None:
            raise RecordError(incoming.error, incoming.stream)
        try:
            text = incoming.content.decode("utf-8-sig" if incoming.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(
                f"The record is not UTF-8: byte {error.start + 1} is 0x{incoming.content[error.start]:02x}.",
                incoming.stream,
            ) from None
        if not text or text.isspace():
            return None
        if self.rows is not None:
            return self._read_row(text, incoming.stream)
        if self._plain and (text[0] != "{" or text in self._manifest.vocabulary):
            symbol = self._normal(read_symbol(text, self._manifest.vocabulary))
            return Record(Event(symbol, key=incoming.stream or ""), None, text)
        return self._read_object(text, incoming.stream)

    def _read_object(self, text: str, named: str | None) -> Record:
        stream, seq = named, None
        try:
            found = read_json(text, self._expected)
            if not isinstance(found, dict):
                raise InputError(f"{text[:_SHOWN]!r} is not a JSON object; {self._expected}")
            start, end = take_bounds(found, self._read)
            stream, seq = self._taken(found, text, named)
            key = stream or ""
            symbol = found.pop(self._symbol, None) if self._has_symbols else None
            features = {name: found.pop(name) for name in self._features if name in found} if self._features else None
            static = {name: found.pop(name) for name in self._static if name in found} if self._static else {}
            right = self._right_of(found, features or {}) if self._right else ()
            if symbol is None and not features:
                if start or end:
                    event = Event(None, key=key, start=start, end=end, is_event=False, static=static)
                    return Record(event, seq, text)
                what = "no symbol" if self._has_symbols else f"none of {', '.join(self._features)}"
                raise InputError(f"{text[:_SHOWN]!r} has {what}; {self._expected}")
            if self._has_symbols:
                symbol = text_of(symbol, "its symbol", text, self._expected)
                if symbol is None:
                    raise InputError(f"{text[:_SHOWN]!r} has no symbol; {self._expected}")
            event = Event(
                self._normal(symbol), features or None, key, start, fields=found, static=static, right=right, end=end
            )
            return Record(event, seq, text)
        except RecordError:
            raise
        except InputError as error:
            raise RecordError(str(error), stream, seq) from error

    def _right_of(self, found: dict[str, Any], features: dict[str, Any]) -> tuple[Any, ...]:
        """Return the values that residuals are about; those that are no features leave the record."""
        return tuple(features[name] if name in features else found.pop(name, None) for name in self._right)

    def _taken(self, found: dict[str, Any], text: str, named: str | None) -> tuple[str | None, int | None]:
        """Take stream and number out of the fields of a record."""
        stream = text_of(found.pop(self._stream, None), "its stream", text, self._expected)
        if named is not None:
            if stream not in (None, named):
                raise RecordError(f"The record is of the stream {stream!r}, and was sent as one of {named!r}.", named)
            stream = named
        seq = found.pop(self._seq, None)
        if seq is not None and (type(seq) is not int or not 0 <= seq < _MOST):
            raise RecordError(
                f"{self._seq} is {json.dumps(seq)[:_SHOWN]}, and is the number of a record: an integer from 0 on.",
                stream,
            )
        return stream, seq

    def _read_row(self, text: str, named: str | None) -> Record | None:
        assert self.rows is not None, "the caller has looked"
        try:
            event = self.rows.parse(text, named)
        except InputError as error:
            raise RecordError(str(error), named) from error
        if event is None:
            return None
        fields = dict(event.fields)
        cell = fields.get(self._seq)
        if isinstance(cell, str) and cell.isascii() and cell.isdigit():
            fields[self._seq] = int(cell)
        stream, seq = self._taken(fields, text, event.key or None)
        return Record(event._replace(symbol=self._normal(event.symbol), key=stream or "", fields=fields), seq, text)

    def _normal(self, symbol: str | None) -> str | None:
        return None if symbol is None else self._live_symbol(symbol)
