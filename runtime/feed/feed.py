"""Answers lines one by one, each from the stream it belongs to, and knows how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError, SavedStateError, StepcellError, UnknownSymbolError
from ..model import Model
from ..observation import read_observation, read_record
from ..saved_streams import SavedStreams
from ..threshold import Threshold
from ..watch import Watch
from .answer import format_answer
from .input_place import InputPlace
from .keyed_streams import KeyedStreams
from .line import Line

_ALONE = ""  # the key of the stream where there are no keys; that of a stream that is saved by itself
_NOTE = "predict"  # what the note of a saved feed is called


@dataclass(frozen=True)
class Manner:
    """How lines are read and answered.

    Attributes:
        symbol_field: Lines are JSON objects, and this field is the symbol; None: "symbol" if they are.
        stream_field: Lines are JSON objects, and there is a stream for each value of this field; None: for all of them.
        skip_unknown: Answer unknown symbols with nothing and go on; else they are refused.
        top: How many of the likeliest symbols to name.
        as_json: Answer with JSON objects.
        threshold: What is surprising; None: nobody wants to know.
    """

    symbol_field: str | None = None
    stream_field: str | None = None
    skip_unknown: bool = False
    top: int = 1
    as_json: bool = False
    threshold: Threshold | None = None


class Feed:
    """Lines on their way through streams of a model."""

    def __init__(self, model: Model, manner: Manner, most_streams: int, tell: Callable[[str], None]) -> None:
        """Begin with nothing read.

        Args:
            model: The model.
            manner: How lines are read and answered.
            most_streams: How many streams to keep where there are several.
            tell: Takes remarks for the user.

        Raises:
            OptionError: The model reads no symbols, and a field of them is named.
            TargetError: The model does not predict its next symbol, and there is a threshold.
        """
        if manner.symbol_field is not None and not len(model.vocabulary):
            raise OptionError(f"{model.file.name} reads no symbols but features: leave out --symbol.")
        if manner.threshold is not None:
            Watch(model.stream(), manner.threshold)
        self._model, self._manner, self._tell = model, manner, tell
        self._streams = KeyedStreams(model, 1 if manner.stream_field is None else most_streams, tell)
        self._symbols = self._lines = self._unknown = 0

    def answer(self, line: Line) -> str:
        """Feed a line to its stream and return what to print.

        Raises:
            InputError: The line cannot be understood. Nothing has moved.
            UnknownSymbolError: It holds an unknown symbol, and these are not to be skipped. Nothing has moved.
            FeatureMismatchError, BackendError, NotFiniteError: As `Stream.step` does. Nothing has moved.
        """
        text = line.text()
        try:
            answer = self._answer(text, line.number)
        except StepcellError as error:
            raise type(error)(f"Line {line.number}: {error}") from error
        self._lines += 1
        return answer

    def saved(self, place: InputPlace | None) -> SavedStreams:
        """Return all that is needed to go on later: the streams, and what has been read.

        Args:
            place: Where to go on in the input; None: that is for whoever feeds to know.
        """
        note = {
            "lines": self._lines, "symbols": self._symbols, "unknown": self._unknown,
            "stream": self._manner.stream_field, "forgotten": self._streams.forgotten,
            "input": None if place is None else place.to_json(),
        }  # fmt: skip
        snapshots = self._streams.snapshots()
        if self._manner.stream_field is None and not snapshots:
            snapshots = {_ALONE: self._model.stream().snapshot()}
        return SavedStreams.of(self._model.manifest, snapshots, {_NOTE: note})

    def go_on(self, saved: SavedStreams, name: str, *, other_model: bool) -> InputPlace | None:
        """Go on where `saved` was; return where in the input, if it says so.

        Args:
            saved: What `saved` returned, or a stream saved from Python.
            name: What it was read from, for messages.
            other_model: Take it from another model file too, if that has the same names and shapes.

        Raises:
            SavedStateError: It is of another model, or of one stream where there are keys, or the other way round.
            StateMismatchError: Names or shapes are not those of the model.
        """
        snapshots = saved.checked(self._model.file, name, other_model=other_model)
        found = saved.note.get(_NOTE)
        note: dict[str, Any] = found if isinstance(found, dict) else {}
        field, wanted = note.get("stream"), self._manner.stream_field
        is_alone = field is None and set(snapshots) == {_ALONE}
        if is_alone != (wanted is None):
            has = "one stream by itself" if is_alone else f"{len(snapshots)} streams by key"
            remedy = "leave out --stream" if is_alone else f"say --stream {field or 'FIELD'}"
            raise SavedStateError(f"{name} holds {has}: {remedy}, or use another file.")
        if field is not None and field != wanted:
            raise SavedStateError(
                f"{name} holds a stream for each {field!r}, not for each {wanted!r}: use another file."
            )
        seen = sum(snapshot.symbols_seen for snapshot in snapshots.values())
        self._symbols = _count(note, "symbols", seen)
        self._lines = _count(note, "lines", seen)
        self._unknown = _count(note, "unknown", 0)
        self._streams.forgotten = _count(note, "forgotten", 0)
        self._streams.restore(snapshots)
        return InputPlace.from_json(note.get("input"))

    def progress(self) -> str:
        """Return how far it has come, in words."""
        parts = [f"{self._symbols} symbols seen", f"{self._lines} lines read"]
        parts += [f"{self._unknown} of them unknown"] if self._unknown else []
        parts += [f"{len(self._streams)} streams"] if self._manner.stream_field is not None else []
        parts += [f"{self._streams.forgotten} forgotten"] if self._streams.forgotten else []
        return ", ".join(parts)

    def _answer(self, text: str, number: int) -> str:
        manner, manifest = self._manner, self._model.manifest
        key, given = _ALONE, text
        try:
            if manner.symbol_field is None and manner.stream_field is None:
                symbol, features = read_observation(text, manifest)
            else:
                key, symbol, features = read_record(text, manifest, manner.symbol_field, manner.stream_field)
            given = text if features or symbol is None else symbol
            stream, surprise = self._streams.of(key), None
            if manner.threshold is None:
                prediction = stream.step(symbol, features)
            else:
                surprise = Watch(stream, manner.threshold).step(symbol or "", features)
                prediction = surprise.prediction
        except UnknownSymbolError as error:
            if not manner.skip_unknown:
                raise
            return self._skip(key, given, number, error)
        self._streams.keep(key, stream)
        self._symbols += 1
        return format_answer(
            given, prediction, manner.top, as_json=manner.as_json, surprise=surprise,
            stream=None if manner.stream_field is None else (key, stream.symbols_seen),
        )  # fmt: skip

    def _skip(self, key: str, given: str, number: int, error: UnknownSymbolError) -> str:
        """Return the answer to an unknown symbol; the first of them is told."""
        self._unknown += 1
        if str(self._unknown).strip("0") == "1":
            self._tell(f"Line {number} is skipped ({self._unknown:,} so far): {error}")
        stream = None if self._manner.stream_field is None else (key, self._streams.of(key).symbols_seen)
        return format_answer(given, None, self._manner.top, as_json=self._manner.as_json, stream=stream)


def _count(note: dict[str, Any], name: str, otherwise: int) -> int:
    value = note.get(name)
    return value if type(value) is int and value >= 0 else otherwise
