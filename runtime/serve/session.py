"""Answer lines one by one, each with the stream of its key, and count them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

from ..common.errors import OptionError, SavedStateError, StepcellError, UnknownSymbolError
from ..common.printable import printable_json
from ..streams.model import Model
from ..streams.prediction import Prediction, prediction_to_json, prediction_to_text
from ..streams.saved_state import SavedStreams
from ..tasks.anomaly import Surprise, Threshold, Watch
from .input_line import parse_json_line, parse_line
from .keyed_streams import KeyedStreams
from .lines import InputOffset, Line

_ALONE = ""  # the key of a stream without keys, also in files that Python saved
_NOTE = "predict"  # the name of a session's note in a file of saved streams


@dataclass(frozen=True)
class LineOptions:
    """How lines are parsed and answered.

    Attributes:
        symbol_field: Lines are JSON objects with the symbol in this field; None: in "symbol", if they are objects.
        key_field: Lines are JSON objects, with a stream for each value of this field; None: one stream.
        skip_unknown: Give an unknown symbol an empty answer; else refuse it.
        top: How many of the likeliest symbols to name.
        as_json: Answer with JSON objects.
        threshold: Marks surprising symbols; None: no surprise in the answers.
    """

    symbol_field: str | None = None
    key_field: str | None = None
    skip_unknown: bool = False
    top: int = 1
    as_json: bool = False
    threshold: Threshold | None = None


class Session:
    """Streams of a model that answer lines."""

    def __init__(self, model: Model, options: LineOptions, max_streams: int, tell: Callable[[str], None]) -> None:
        """Begin with nothing read.

        Args:
            model: The model.
            options: How lines are parsed and answered.
            max_streams: How many streams to keep, if lines have keys.
            tell: Takes remarks for the user.

        Raises:
            OptionError: The model reads no symbols, and the options name their field.
            TargetError: The model does not predict its next symbol, and there is a threshold.
        """
        if options.symbol_field is not None and not len(model.vocabulary):
            raise OptionError(f"{model.file.name} reads no symbols but features: leave out --symbol-field.")
        self._model, self._options, self._tell = model, options, tell
        self._streams = KeyedStreams(model, 1 if options.key_field is None else max_streams, tell)
        self._watch = None if options.threshold is None else Watch(self._streams.stream, options.threshold)
        self._symbols = self._lines = self._unknown = 0

    def answer(self, line: Line) -> str:
        """Step the stream of a line and return the answer.

        Raises:
            InputError: The line cannot be parsed. No state has moved; the same holds for all errors.
            UnknownSymbolError: It has an unknown symbol that is not to be skipped.
            FeatureMismatchError, BackendError, NotFiniteError: As `Stream.step` does.
        """
        text = line.text()
        try:
            answer = self._answer(text, line.number)
        except StepcellError as error:
            raise type(error)(f"Line {line.number}: {error}") from error
        self._lines += 1
        return answer

    def saved(self, offset: InputOffset | None) -> SavedStreams:
        """Return the states and counts to go on from later.

        Args:
            offset: Where to go on in the input; None: the input cannot be read again.
        """
        note = {
            "lines": self._lines, "symbols": self._symbols, "unknown": self._unknown,
            "stream": self._options.key_field, "forgotten": self._streams.forgotten,
            "input": None if offset is None else asdict(offset),
        }  # fmt: skip
        snapshots = self._streams.snapshots()
        if self._options.key_field is None and not snapshots:
            snapshots = {_ALONE: self._streams.stream.snapshot()}
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
        field, expected = note.get("stream"), self._options.key_field
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
        self._symbols, self._lines = _count(note, "symbols", seen), _count(note, "lines", seen)
        self._unknown, self._streams.forgotten = _count(note, "unknown", 0), _count(note, "forgotten", 0)
        self._streams.restore(snapshots)
        return InputOffset.from_json(note.get("input"))

    def progress(self) -> str:
        """Return the counts in words."""
        parts = [f"{self._symbols} symbols seen", f"{self._lines} lines read"]
        parts += [f"{self._unknown} of them unknown"] if self._unknown else []
        parts += [f"{len(self._streams)} streams"] if self._options.key_field is not None else []
        parts += [f"{self._streams.forgotten} forgotten"] if self._streams.forgotten else []
        return ", ".join(parts)

    def _answer(self, text: str, number: int) -> str:
        options, manifest = self._options, self._model.manifest
        key, given, prediction, surprise = _ALONE, text, None, None
        try:
            if options.symbol_field is None and options.key_field is None:
                symbol, features = parse_line(text, manifest)
            else:
                key, symbol, features = parse_json_line(text, manifest, options.symbol_field, options.key_field)
            given = text if features or symbol is None else symbol
            stream = self._streams.select(key)
            if self._watch is None:
                prediction = stream.step(symbol, features)
            else:
                surprise = self._watch.step(symbol or "", features)
                prediction = surprise.prediction
        except UnknownSymbolError as error:
            if not options.skip_unknown:
                raise
            self._unknown += 1
            if str(self._unknown).strip("0") == "1":
                self._tell(f"Line {number} is skipped ({self._unknown:,} so far): {error}")
        else:
            self._streams.keep(key)
            self._symbols += 1
        seen = None if options.key_field is None else (key, self._streams.select(key).symbols_seen)
        return format_answer(given, prediction, options.top, as_json=options.as_json, surprise=surprise, stream=seen)


def format_answer(
    given: str, prediction: Prediction | None, top: int, *, as_json: bool, surprise: Surprise | None = None,
    stream: tuple[str, int] | None = None,
) -> str:  # fmt: skip
    """Return the answer to a line, on one line.

    Args:
        given: The symbol, or the line.
        prediction: The answer of the model; None: the symbol is unknown.
        top: How many of the likeliest symbols to name.
        as_json: Return a JSON object; else columns separated by tabs.
        surprise: The surprise of the symbol; None: there is no threshold.
        stream: Key of its stream and number of symbols it has seen; None: there are no keys.
    """
    is_known = surprise is not None and not isnan(surprise.bits)
    if as_json:
        answer: dict[str, Any] = {} if stream is None else {"stream": stream[0], "seen": stream[1]}
        answer |= {"input": given}
        answer |= {"unknown": True} if prediction is None else prediction_to_json(prediction, top)
        if surprise is not None:
            bits, rank = (round(surprise.bits, 4), surprise.rank) if is_known else (None, None)
            answer |= {"bits": bits, "rank": rank, "surprising": surprise.surprising, "alarm": surprise.alarm}
        return printable_json(answer)
    columns = []
    if stream is not None:
        columns.append(stream[0] if stream[0].isprintable() else printable_json(stream[0]))
    columns.append("" if prediction is None else prediction_to_text(prediction, top))
    if surprise is not None:
        mark = " alarm" if surprise.alarm else " surprising" if surprise.surprising else ""
        columns.append(f"{surprise.bits:.2f}{mark}" if is_known else "-")
    return "\t".join(columns)


def _count(note: dict[str, Any], name: str, default: int) -> int:
    value = note.get(name)
    return value if type(value) is int and value >= 0 else default
