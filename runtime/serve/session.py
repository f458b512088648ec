"""Answer lines one by one, each with the stream of its key, and count them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from ..common.errors import (
    FeatureMismatchError,
    InputError,
    OptionError,
    SavedStateError,
    StepcellError,
    UnknownSymbolError,
)
from ..common.printable import counted, printable_json
from ..data.events import CSV
from ..data.live_symbol import live_symbol_reader
from ..streams.model import Model
from ..streams.saved_state import SavedStreams
from ..tasks.anomaly import Threshold
from ..tasks.residuals import ResidualThreshold
from .answer import Answer
from .chunks import SOUND_FORMATS, Chunks
from .input_line import Event, parse_json_line, parse_line
from .input_offset import InputOffset
from .keyed_streams import KeyedStreams
from .lines import Line
from .residual_watch import ResidualWatch
from .rows import RowLines, reader_of_rows
from .stepper import Stepper
from .tally import Tally

_ALONE = ""  # the key of a stream without keys, also in files that Python saved
_NOTE = "predict"  # the name of a session's note in a file of saved streams
_SHOWN = 80  # characters of a line in an answer
STOP, SKIP, USE = "stop", "skip", "use"


@dataclass(frozen=True)
class LineOptions:
    """How lines are parsed and answered.

    Attributes:
        symbol_field: Lines are JSON objects with the symbol in this field; None: in "symbol", if they are objects.
        key_field: Lines are JSON objects, with a stream for each value of this field; None: one stream.
        unknown: At an unknown symbol "stop", "skip" it with an empty answer, or "use" the unknown symbol of the
            vocabulary; None: "use" where there is such a symbol, else "stop".
        bad_lines: At a line that cannot be read "stop", or "skip" it.
        format: "csv" or "jsonl": lines are rows of a table like that of the training; "f32" or "wav": chunks of samples
            in place of lines; None: as above, but a first line that names all columns of the training makes it CSV.
        reset_on: Symbol after which a stream is reset; None: there is none.
        middle: Fresh streams begin in the middle of a sequence.
        top: How many of the likeliest symbols to name.
        offer_unknown: Name the unknown symbol, and the end symbol of a text, among them.
        as_json: Answer with JSON objects.
        threshold: Marks surprising symbols, or rows whose value is far from the answer; None: none does.
        alert_below: Mark symbols that come with a probability below this; None: none is.
        rate: Samples per second of chunks; None: that of the model.
        overlap: Samples of the chunk before that begin each chunk.
    """

    symbol_field: str | None = None
    key_field: str | None = None
    unknown: str | None = None
    bad_lines: str = STOP
    format: str | None = None
    reset_on: str | None = None
    middle: bool = False
    top: int = 1
    offer_unknown: bool = False
    as_json: bool = False
    threshold: Threshold | ResidualThreshold | None = None
    rate: int | None = None
    overlap: int = 0
    alert_below: float | None = None


class Session:
    """Streams of a model that answer lines.

    Attributes:
        chunks: Reads chunks of samples in place of lines; None: lines are read.
    """

    def __init__(self, model: Model, options: LineOptions, max_streams: int, tell: Callable[[str], None]) -> None:
        """Begin with nothing read.

        Args:
            model: The model.
            options: How lines are parsed and answered.
            max_streams: How many streams to keep, if lines have keys.
            tell: Takes remarks for the user.

        Raises:
            OptionError: The options do not fit the model, or one another.
            TargetError: The model does not predict its next symbol, and symbols are to be marked.
        """
        self._model, self._options, self._tell, self._vocabulary = model, options, tell, model.vocabulary
        self._policy, limit = _checked(options, model), options.threshold
        self._residuals = ResidualWatch(model.manifest, limit) if isinstance(limit, ResidualThreshold) else None
        self._right = () if self._residuals is None else self._residuals.columns
        sound = options.format if options.format in SOUND_FORMATS else None
        self.chunks = Chunks(model.manifest, sound, options.rate, options.overlap) if sound else None
        is_table = options.format is not None and not sound
        self._rows = self._rows_of(str(options.format), options.key_field) if is_table else None
        self._live_symbol = live_symbol_reader(model.manifest)
        self._may_be_table = options.format is options.symbol_field is options.key_field is None
        self._key = options.key_field if self._rows is None else self._rows.key_name
        self._max_streams = max_streams
        self._stepper = self._new_stepper()
        self._unknown, self._bad = Tally(tell), Tally(tell)
        self._lines = 0

    @property
    def skips_bad_lines(self) -> bool:
        """Whether a line that cannot be read is skipped."""
        return self._options.bad_lines == SKIP

    def answer(self, line: Line) -> str | None:
        """Step the stream of a line and return the answer; None: there is none to an empty line or a header.

        Raises:
            InputError: The line cannot be parsed. No state has moved; the same holds for all errors.
            UnknownSymbolError: It has an unknown symbol, at which to stop.
            FeatureMismatchError, BackendError, NotFiniteError: As `Stream.step` does.
        """
        try:
            answer = self._answer(line)
        except (InputError, FeatureMismatchError) as error:
            if not self.skips_bad_lines:
                raise type(error)(_numbered(line.number, error)) from error
            answer = self.skip_bad(line.number, str(error))
        except StepcellError as error:
            raise type(error)(_numbered(line.number, error)) from error
        self._lines += 1
        return answer

    def skip_bad(self, number: int, why: str) -> str:
        """Count a line that cannot be read and return its answer."""
        self._bad.count(number, "is skipped", why)
        return printable_json({"error": _numbered(number, why)}) if self._options.as_json else ""

    def skip_unread(self, number: int, why: str) -> str:
        """Count a line whose content was not kept, and return its answer."""
        self._lines += 1
        return self.skip_bad(number, why)

    def tell_totals(self) -> None:
        """Say how many lines of this run were unknown or could not be read."""
        use = f"read as {self._vocabulary.unknown!r}" if self._policy == USE else "skipped"
        self._unknown.tell_total(f"Symbols that {self._model.file.name} does not know: {{}}, {use}.")
        self._bad.tell_total("Lines that could not be read: {}, skipped.")

    @property
    def can_be_saved(self) -> bool:
        """Whether there is a state to save; not before the first line if that has the static inputs of the stream."""
        return self._key is not None or self._stepper.streams.has_begun

    def saved(self, offset: InputOffset | None) -> SavedStreams:
        """Return the states and counts to go on from later.

        Args:
            offset: Where to go on in the input; None: the input cannot be read again.
        """
        streams = self._stepper.streams
        note: dict[str, Any] = {
            "lines": self._lines, "symbols": self._stepper.symbols, "unknown": self._unknown.total,
            "bad": self._bad.total, "stream": self._key, "forgotten": streams.forgotten,
            "input": None if offset is None else asdict(offset),
        }  # fmt: skip
        if self._rows is not None:
            note |= {"header": self._rows.header, "times": streams.times}
        if self.chunks is not None:
            note["samples"] = self.chunks.to_note()
        if self._residuals is not None:
            note["pending"] = streams.pending
        snapshots = streams.snapshots()
        if self._key is None and not snapshots:
            snapshots = {_ALONE: streams.alone()}
        return SavedStreams.of(self._model.manifest, snapshots, {_NOTE: note})

    def go_on(self, saved: SavedStreams, name: str, *, ignore_fingerprint: bool) -> InputOffset | None:
        """Go on from `saved`; return the offset in the input, if it has one.

        Args:
            saved: What `saved` returned, or a stream saved from Python.
            name: Its file, for messages.
            ignore_fingerprint: Accept the states of another model file with the same names and shapes.

        Raises:
            SavedStateError: They belong to another model, to one stream and not to keys, or to keys and not to one.
            StateMismatchError: Names or shapes are not those of the model.
        """
        snapshots = saved.checked(self._model.file, name, ignore_fingerprint=ignore_fingerprint)
        found = saved.note.get(_NOTE)
        note: dict[str, Any] = found if isinstance(found, dict) else {}
        if self._may_be_table and isinstance(note.get("header"), str):
            self._read_rows(self._rows_of(CSV))
        field, expected = note.get("stream"), self._key
        is_alone = field is None and set(snapshots) == {_ALONE}
        if is_alone != (expected is None):
            has = "one stream without keys" if is_alone else f"{len(snapshots)} streams by key"
            remedy = "leave out --key" if is_alone else f"add --key {field or 'FIELD'}"
            raise SavedStateError(f"{name} holds {has}: {remedy}, or use another file.")
        if field is not None and field != expected:
            raise SavedStateError(
                f"{name} holds a stream for each {field!r}, not for each {expected!r}: use another file."
            )
        seen = sum(snapshot.symbols_seen for snapshot in snapshots.values())
        streams = self._stepper.streams
        self._stepper.symbols, self._lines = _count(note, "symbols", seen), _count(note, "lines", seen)
        self._unknown.total, self._bad.total = _count(note, "unknown", 0), _count(note, "bad", 0)
        streams.forgotten = _count(note, "forgotten", 0)
        streams.restore(snapshots)
        times = note.get("times")
        if isinstance(times, dict):
            streams.times = {key: time for key, time in times.items() if type(time) in (int, float)}
        pending = note.get("pending")
        if isinstance(pending, dict) and self._residuals is not None:
            streams.pending = {key: found for key, found in pending.items() if _are_forecasts(found, len(self._right))}
        if self._rows is not None:
            self._rows.restore_header(str(note.get("header", "")))
        if self.chunks is not None:
            self.chunks.restore(note.get("samples"))
        return InputOffset.from_json(note.get("input"))

    def progress(self) -> str:
        """Return the counts in words."""
        streams = self._stepper.streams
        parts = [f"{self._stepper.symbols} symbols seen", f"{self._lines} lines read"]
        parts += [f"{self._unknown.total} of them unknown"] if self._unknown.total else []
        parts += [f"{self._bad.total} not readable"] if self._bad.total else []
        parts += [counted(len(streams), "stream")] if self._key is not None else []
        parts += [f"{streams.forgotten} forgotten"] if streams.forgotten else []
        return ", ".join(parts)

    def _answer(self, line: Line) -> str | None:
        if self.chunks is not None:
            chunk = self.chunks.event(line)
            answer = self._stepper.answer(chunk, str(line.number), None)
            self.chunks.keep(chunk)
            return self._written(answer)
        text, options = line.text(), self._options
        if not text:
            return None
        if self._may_be_table:
            self._look_for_header(text)
        if self._rows is not None:
            event = self._rows.parse(text)
            if event is None:
                return None
        elif options.symbol_field is None and options.key_field is None:
            event = parse_line(text, self._model.manifest, self._right)
        else:
            manifest = self._model.manifest
            event = parse_json_line(text, manifest, options.symbol_field, options.key_field, self._right)
        if event.symbol is not None:
            event = event._replace(symbol=self._live_symbol(event.symbol))
        given = _shown(text) if event.symbol is None else event.symbol
        if event.symbol is not None and event.symbol not in self._vocabulary and event.symbol != options.reset_on:
            if self._policy == SKIP:
                return self._skip_unknown(line.number, event)
            if self._policy == STOP:
                raise UnknownSymbolError(f"{self._unknown_text(event.symbol)} The stream has not moved.")
            if self._policy == USE:
                used = f"is read as {self._vocabulary.unknown!r}"
                answer = self._stepper.answer(event, _shown(given), self._rows)
                self._unknown.count(line.number, used, f"the symbol {_shown(event.symbol)!r} is unknown")
                answer.line = text
                return self._written(answer)
        answer = self._stepper.answer(event, given, self._rows)
        answer.line = text
        return self._written(answer)

    def _skip_unknown(self, number: int, event: Event) -> str:
        symbol = str(event.symbol)
        self._unknown.count(number, "is skipped", self._unknown_text(symbol))
        answer = Answer(_shown(symbol), unknown=True, stream=self._stepper.skip(event), fields=event.fields)
        return self._written(answer)

    def _unknown_text(self, symbol: str) -> str:
        shown = repr(symbol)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}... ({len(shown):,} characters)"
        return f"Symbol {shown} is not in the vocabulary of {self._model.file.name} ({self._vocabulary.describe()})."

    def _written(self, answer: Answer) -> str:
        options = self._options
        write = answer.to_json if options.as_json else answer.to_text
        return write(options.top, offer_unknown=options.offer_unknown)

    def _look_for_header(self, text: str) -> None:
        """Read CSV from now on if the first line names the columns of the training."""
        self._may_be_table = False
        if self._lines or text in self._vocabulary or reader_of_rows(self._model.manifest, CSV) is None:
            return
        rows = self._rows_of(CSV)
        if rows.is_header(text):
            self._read_rows(rows)
            self._tell("Line 1 names the columns of the training: the input is read as CSV (--format csv).")

    def _read_rows(self, rows: RowLines) -> None:
        """Read rows of a table from now on."""
        self._rows, self._key, self._may_be_table = rows, rows.key_name, False
        self._stepper = self._new_stepper()

    def _rows_of(self, format: str, key_field: str | None = None) -> RowLines:
        return RowLines(self._model.manifest, format, key_field, self._right)

    def _new_stepper(self) -> Stepper:
        options = self._options
        surprising = options.threshold if isinstance(options.threshold, Threshold) else None
        streams = KeyedStreams(self._model, 1 if self._key is None else self._max_streams, self._tell)
        return Stepper(
            self._model, streams, threshold=surprising,
            alert_below=options.alert_below, residuals=self._residuals, reset_on=options.reset_on,
            middle=options.middle, top=options.top, offer_unknown=options.offer_unknown, keyed=self._key is not None,
        )  # fmt: skip


def _checked(options: LineOptions, model: Model) -> str:
    """Check options against the model, and return what is done at an unknown symbol."""
    vocabulary, name = model.vocabulary, model.file.name
    if options.symbol_field is not None and not len(vocabulary):
        raise OptionError(f"{name} reads no symbols but features: leave out --symbol-field.")
    if options.symbol_field is not None and options.format is not None:
        raise OptionError("--format reads the columns of the training: leave out --symbol-field.")
    marks = options.threshold is not None or options.alert_below is not None
    if options.format in SOUND_FORMATS and (options.key_field or marks):
        raise OptionError(
            "Chunks of samples are one stream without marks: leave out --key, --threshold and --alert-below."
        )
    if options.alert_below is not None and model.manifest.labels is not None:
        raise OptionError(
            f"--alert-below is about the probability of the symbol that comes; {name} answers with "
            f"{'values' if model.manifest.output == 'linear' else 'labels'}."
        )
    if options.overlap and options.format not in SOUND_FORMATS:
        raise OptionError("--overlap is for chunks of samples: it needs --format f32 or --format wav.")
    if options.unknown == USE and vocabulary.unknown is None:
        raise OptionError(f"{name} has no unknown symbol to use: --unknown stop or --unknown skip.")
    return options.unknown or (STOP if vocabulary.unknown is None else USE)


def _numbered(number: int, why: object) -> str:
    """Return a message with the number of its line, unless it has it."""
    return str(why) if str(why).startswith(f"Line {number} ") else f"Line {number}: {why}"


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _are_forecasts(found: Any, count: int) -> bool:
    """Tell whether a note holds forecasts of `count` values each, or of none."""
    return isinstance(found, list) and all(
        isinstance(each, list)
        and len(each) in (0, count)
        and all(type(value) is float and isfinite(value) for value in each)
        for each in found
    )


def _count(note: dict[str, Any], name: str, default: int) -> int:
    value = note.get(name)
    return value if type(value) is int and value >= 0 else default
