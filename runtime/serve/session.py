"""Answers lines one by one, each from the stream it belongs to, and knows how far it has come.

Answers to lines, as a feed prints them.

Streams by key, as many as fit.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

from ..common.errors import OptionError, SavedStateError, StepcellError, UnknownSymbolError
from ..streams.model import Model
from ..streams.prediction import Prediction, prediction_to_json, prediction_to_text
from ..streams.saved_state import SavedStreams
from ..streams.snapshot import Snapshot
from ..streams.stream import Stream
from ..tasks.anomaly import Surprise, Threshold, Watch
from .file_lines import InputOffset
from .input_line import parse_json_line, parse_line
from .lines import Line


def format_answer(
    given: str, prediction: Prediction | None, top: int, *, as_json: bool, surprise: Surprise | None = None,
    stream: tuple[str, int] | None = None,
) -> str:  # fmt: skip
    """Return the answer to a line, on one line.

    Args:
        given: What stood in the line.
        prediction: The answer; None: the symbol is unknown, so there is none.
        top: How many of the likeliest symbols to name.
        as_json: As a JSON object; else in columns with tabs between them.
        surprise: How surprising the symbol was; None: nobody has asked.
        stream: Key of its stream, and how many symbols that has seen; None: there is one stream alone.
    """
    if as_json:
        answer: dict[str, Any] = {} if stream is None else {"stream": stream[0], "seen": stream[1]}
        answer["input"] = given
        answer.update({"unknown": True} if prediction is None else prediction_to_json(prediction, top))
        if surprise is not None:
            is_known = not isnan(surprise.bits)
            answer["bits"] = round(surprise.bits, 4) if is_known else None
            answer["rank"] = surprise.rank if is_known else None
            answer |= {"surprising": surprise.surprising, "alarm": surprise.alarm}
        return json.dumps(answer, ensure_ascii=False)
    columns = [] if stream is None else [_on_one_line(stream[0])]
    columns.append("" if prediction is None else prediction_to_text(prediction, top))
    if surprise is not None:
        columns.append(_in_words(surprise))
    return "\t".join(columns)


def _in_words(surprise: Surprise) -> str:
    if isnan(surprise.bits):
        return "-"
    return f"{surprise.bits:.2f}{' alarm' if surprise.alarm else ' surprising' if surprise.surprising else ''}"


def _on_one_line(key: str) -> str:
    return key if key.isprintable() else json.dumps(key, ensure_ascii=False)


class KeyedStreams:
    """Where the stream of each key is; of more than `most` keys the one asked for longest ago is forgotten.

    One stream with one interpreter steps them all: it goes to the snapshot of the key that is asked for.

    A `Fleet` moves many members in one call. Here lines come one by one and are answered at once, each by what a stream
    by itself answers, to the bit, with its features and how surprising it was.

    Attributes:
        forgotten: How many have been forgotten.
    """

    def __init__(self, model: Model, most: int, tell: Callable[[str], None], forgotten: int = 0) -> None:
        """Begin without streams.

        Args:
            model: The model.
            most: How many streams there may be.
            tell: Takes remarks for the user: of the 1st, 10th, 100th, ... stream that is forgotten.
            forgotten: How many have been forgotten before.
        """
        self._stream, self._most, self._tell = model.stream(), most, tell
        self._current: str | None = None  # the key whose stream `_stream` is; its snapshot is older
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()
        self.forgotten = forgotten

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._snapshots)

    def of(self, key: str) -> Stream:
        """Return the stream of `key`, a new one in the initial state, until the next call; then see `keep`."""
        if key != self._current:
            self._update()
            self._current = None
            if key in self._snapshots:
                self._stream.go_to(self._snapshots[key])
            else:
                self._stream.reset()
            self._current = key
        return self._stream

    def keep(self, key: str) -> None:
        """Keep the stream that `of(key)` returned as the last one asked for; forget another if there are too many."""
        if key not in self._snapshots:
            self._snapshots[key] = self._stream.snapshot()
        self._snapshots.move_to_end(key)
        if len(self._snapshots) > self._most:
            self._forget()

    def snapshots(self) -> dict[str, Snapshot]:
        """Return where all of them are, the one asked for longest ago first."""
        self._update()
        return dict(self._snapshots)

    def restore(self, snapshots: Mapping[str, Snapshot]) -> None:
        """Let the streams be where `snapshots` says, in its order."""
        self._current = None
        for key, snapshot in snapshots.items():
            self._snapshots[key] = snapshot
            self.keep(key)

    def _update(self) -> None:
        """Let the snapshot of the current key be where its stream is."""
        if self._current is not None and self._current in self._snapshots:
            self._snapshots[self._current] = self._stream.snapshot()

    def _forget(self) -> None:
        key, _ = self._snapshots.popitem(last=False)
        self.forgotten += 1
        if str(self.forgotten).strip("0") == "1":
            self._tell(
                f"There are more than {self._most:,} streams: {key!r}, not seen for the longest time, is forgotten and "
                f"starts anew if it comes back ({self.forgotten:,} so far). --max-streams keeps more of them."
            )


_ALONE = ""  # the key of the stream where there are no keys; that of a stream that is saved by itself
_NOTE = "predict"  # what the note of a saved feed is called


@dataclass(frozen=True)
class LineOptions:
    """How lines are read and answered.

    Attributes:
        symbol_field: Lines are JSON objects, and this field is the symbol; None: "symbol" if they are.
        key_field: Lines are JSON objects, and there is a stream for each value of this field; None: for all of them.
        skip_unknown: Answer unknown symbols with nothing and go on; else they are refused.
        top: How many of the likeliest symbols to name.
        as_json: Answer with JSON objects.
        threshold: What is surprising; None: nobody wants to know.
    """

    symbol_field: str | None = None
    key_field: str | None = None
    skip_unknown: bool = False
    top: int = 1
    as_json: bool = False
    threshold: Threshold | None = None


class Session:
    """Lines on their way through streams of a model."""

    def __init__(self, model: Model, options: LineOptions, max_streams: int, tell: Callable[[str], None]) -> None:
        """Begin with nothing read.

        Args:
            model: The model.
            options: How lines are read and answered.
            max_streams: How many streams to keep where there are several.
            tell: Takes remarks for the user.

        Raises:
            OptionError: The model reads no symbols, and a field of them is named.
            TargetError: The model does not predict its next symbol, and there is a threshold.
        """
        if options.symbol_field is not None and not len(model.vocabulary):
            raise OptionError(f"{model.file.name} reads no symbols but features: leave out --symbol-field.")
        if options.threshold is not None:
            Watch(model.stream(), options.threshold)
        self._model, self._options, self._tell = model, options, tell
        self._streams = KeyedStreams(model, 1 if options.key_field is None else max_streams, tell)
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

    def saved(self, offset: InputOffset | None) -> SavedStreams:
        """Return all that is needed to go on later: the streams, and what has been read.

        Args:
            offset: Where to go on in the input; None: that is for whoever feeds to know.
        """
        note = {
            "lines": self._lines, "symbols": self._symbols, "unknown": self._unknown,
            "stream": self._options.key_field, "forgotten": self._streams.forgotten,
            "input": None if offset is None else offset.to_json(),
        }  # fmt: skip
        snapshots = self._streams.snapshots()
        if self._options.key_field is None and not snapshots:
            snapshots = {_ALONE: self._model.stream().snapshot()}
        return SavedStreams.of(self._model.manifest, snapshots, {_NOTE: note})

    def go_on(self, saved: SavedStreams, name: str, *, ignore_fingerprint: bool) -> InputOffset | None:
        """Go on where `saved` was; return where in the input, if it says so.

        Args:
            saved: What `saved` returned, or a stream saved from Python.
            name: What it was read from, for messages.
            ignore_fingerprint: Take it from another model file too, if that has the same names and shapes.

        Raises:
            SavedStateError: It is of another model, or of one stream where there are keys, or the other way round.
            StateMismatchError: Names or shapes are not those of the model.
        """
        snapshots = saved.checked(self._model.file, name, ignore_fingerprint=ignore_fingerprint)
        found = saved.note.get(_NOTE)
        note: dict[str, Any] = found if isinstance(found, dict) else {}
        field, wanted = note.get("stream"), self._options.key_field
        is_alone = field is None and set(snapshots) == {_ALONE}
        if is_alone != (wanted is None):
            has = "one stream by itself" if is_alone else f"{len(snapshots)} streams by key"
            remedy = "leave out --key" if is_alone else f"say --key {field or 'FIELD'}"
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
        return InputOffset.from_json(note.get("input"))

    def progress(self) -> str:
        """Return how far it has come, in words."""
        parts = [f"{self._symbols} symbols seen", f"{self._lines} lines read"]
        parts += [f"{self._unknown} of them unknown"] if self._unknown else []
        parts += [f"{len(self._streams)} streams"] if self._options.key_field is not None else []
        parts += [f"{self._streams.forgotten} forgotten"] if self._streams.forgotten else []
        return ", ".join(parts)

    def _answer(self, text: str, number: int) -> str:
        options, manifest = self._options, self._model.manifest
        key, given = _ALONE, text
        try:
            if options.symbol_field is None and options.key_field is None:
                symbol, features = parse_line(text, manifest)
            else:
                key, symbol, features = parse_json_line(text, manifest, options.symbol_field, options.key_field)
            given = text if features or symbol is None else symbol
            stream, surprise = self._streams.of(key), None
            if options.threshold is None:
                prediction = stream.step(symbol, features)
            else:
                surprise = Watch(stream, options.threshold).step(symbol or "", features)
                prediction = surprise.prediction
        except UnknownSymbolError as error:
            if not options.skip_unknown:
                raise
            return self._skip(key, given, number, error)
        self._streams.keep(key)
        self._symbols += 1
        return format_answer(
            given, prediction, options.top, as_json=options.as_json, surprise=surprise,
            stream=None if options.key_field is None else (key, stream.symbols_seen),
        )  # fmt: skip

    def _skip(self, key: str, given: str, number: int, error: UnknownSymbolError) -> str:
        """Return the answer to an unknown symbol; the first of them is told."""
        self._unknown += 1
        if str(self._unknown).strip("0") == "1":
            self._tell(f"Line {number} is skipped ({self._unknown:,} so far): {error}")
        stream = None if self._options.key_field is None else (key, self._streams.of(key).symbols_seen)
        return format_answer(given, None, self._options.top, as_json=self._options.as_json, stream=stream)


def _count(note: dict[str, Any], name: str, otherwise: int) -> int:
    value = note.get(name)
    return value if type(value) is int and value >= 0 else otherwise
