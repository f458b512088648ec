"""Step each record of a stream once, in the order of its numbers, and say what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...common.errors import (
    BackendError,
    DamagedStateError,
    FeatureMismatchError,
    InputError,
    NotFiniteError,
    OptionError,
    StateMismatchError,
    StepcellError,
    UnknownSymbolError,
)
from ...common.printable import printable_json
from ...format.manifest import Manifest
from ...format.vocabulary import Vocabulary
from ...streams.model import Model
from ...streams.prediction import Prediction
from ...streams.snapshot import Snapshot
from ...tasks.anomaly import Threshold
from ...tasks.residuals import ResidualThreshold
from ..adapters.base import (
    BACKEND,
    BAD_RECORD,
    GAP,
    NOT_FINITE,
    NOT_STARTED,
    REFUSED,
    REPEATED,
    SKIPPED,
    STEPPED,
    TOO_LONG,
    UNKNOWN_SYMBOL,
    Incoming,
    Outcome,
)
from ..answer import Answer
from ..residual_watch import ResidualWatch
from ..stepper import Input, OnStep, Stepper
from .options import RESET, WAIT, ServeOptions
from .recent import recent_of
from .record import Record, RecordError, RecordReader
from .store import ServiceStore, Statement
from .streams import StoredStreams, StreamNote

STOP, SKIP, USE = "stop", "skip", "use"
DAMAGED = "damaged"  # code of the error where the store does not hold what was put there
_LAST = 256  # streams whose last answers are remembered
_SHOWN = 80  # characters of a symbol or line in an answer


class Engine:
    """The streams of a service, and the records that move them.

    What has moved is in memory until the loop has kept it in the store; see `moved` and `settle`.

    Attributes:
        model: The model.
        streams: Its streams.
        steps: Number of records that were stepped.
        threshold: Marks surprising symbols or values; None: nothing is marked.
    """

    def __init__(
        self, model: Model, store: ServiceStore, options: ServeOptions,
        threshold: Threshold | ResidualThreshold | None, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Begin with nothing read.

        Args:
            model: The model.
            store: Its store.
            options: How records are read and answered.
            threshold: Marks surprising symbols, or rows whose value is far from the answer; None: nothing is marked.
            tell: Takes remarks for the user.

        Raises:
            OptionError: The options do not fit the model.
            TargetError: The model does not predict its next symbol, and symbols are to be marked.
        """
        self.model, self._options, self.steps, self.threshold = model, options, 0, threshold
        self._last: dict[str, Answer] = {}  # the answers of the streams that were stepped last
        self._vocabulary, self._policy = model.vocabulary, _policy(options, model)
        residuals = ResidualWatch(model.manifest, threshold) if isinstance(threshold, ResidualThreshold) else None
        self._right = () if residuals is None else tuple(residuals.columns)
        recent = recent_of(model, options.keep)
        self.streams = StoredStreams(model, store, options.max_streams, tell, self._head, recent)
        self._stepper = Stepper(
            model, self.streams, threshold=threshold if isinstance(threshold, Threshold) else None,
            alert_below=options.alert_below, residuals=residuals, reset_on=options.reset_on, middle=options.middle,
            top=max(options.top, 3 if options.home_assistant else 1), offer_unknown=options.offer_unknown,
        )  # fmt: skip
        self._stepper.on_step = None if recent is None else self.streams.feed
        self._readers: dict[str, RecordReader] = {}
        self._tail = f', "model": "{model.manifest.fingerprint}"}}'
        self._gap_name = gap_name_of(model.manifest)

    def reader(self, source: str) -> RecordReader:
        """Return the reader of a source of records.

        Raises:
            OptionError: The model was not trained on a table, and there is a format.
        """
        found = self._readers.get(source)
        if found is None:
            found = self._readers[source] = RecordReader(self.model.manifest, self._options, self._right)
        return found

    def follow(self, function: OnStep | None) -> None:
        """Call a function behind each event that was stepped, as `Stepper.on_step` says; None: no longer."""
        feed = self.streams.feed

        def both(key: str, inputs: Sequence[Input], prediction: Prediction | None) -> None:
            feed(key, inputs, prediction)
            if function is not None:
                function(key, inputs, prediction)

        self._stepper.on_step = feed if function is None else both

    def take_from(self, other: Engine) -> None:
        """Go on where another engine is, whose streams are in the store: its readers and counts."""
        self.steps = other.steps
        for source, reader in other._readers.items():
            self.reader(source).restore(reader.note)

    def answer(self, reader: RecordReader, incoming: Incoming) -> Outcome | None:
        """Step a record, or say why not. Where it is not stepped its stream has not moved.

        Args:
            reader: That of its source.
            incoming: The record.

        Returns:
            What became of it; None: the line is no record (empty, or the header of a table).

        Raises:
            InputError, UnknownSymbolError: At such a record the service is to stop.
            OutputError: The store cannot be read. The same record may be answered later.
        """
        try:
            record = reader.read(incoming)
        except RecordError as error:
            return self._bad(
                incoming, error, error.stream, error.seq, BAD_RECORD if incoming.error is None else TOO_LONG
            )
        if record is None:
            return None
        key = record.event.key
        try:
            note = self.streams.note(key)
        except DamagedStateError as error:
            return self._error(REFUSED, incoming, DAMAGED, str(error), key, record.seq)
        missed, seq, is_started = 0, record.seq, record.event.start
        if seq is not None and note.next_seq is not None and seq != note.next_seq:
            if seq < note.next_seq:
                last = note.answer if seq == note.next_seq - 1 else None
                return Outcome(incoming, REPEATED, last, key, seq)
            missed, event = seq - note.next_seq, record.event
            if not event.start and self._options.on_gap == WAIT:
                return self._gap(incoming, key, seq, note.next_seq)
            if self._options.on_gap == RESET:
                record = record._replace(event=event._replace(start=True))
        if self._options.require_start and not note.is_open and not is_started:
            message = 'no sequence has been started: begin it with {"start": true} (--require-start)'
            return self._error(REFUSED, incoming, NOT_STARTED, message, key, seq)
        return self._step(reader, incoming, record, note, missed)

    def last_answer(self, stream: str) -> Answer | None:
        """Return the last answer of a stream; None: it is not one of those that were stepped last."""
        return self._last.get(stream)

    @property
    def statements(self) -> Sequence[Statement]:
        """What the transaction that keeps `moved` is to do beside that."""
        return self.streams.statements

    def moved(self) -> dict[str, tuple[Snapshot, dict[str, Any]]]:
        """Return the streams that have moved since `settle`, with their notes as JSON."""
        return self.streams.moved()

    def settle(self) -> None:
        """Say that what has moved is kept."""
        self.streams.settle()

    def _step(self, reader: RecordReader, incoming: Incoming, record: Record, note: StreamNote, missed: int) -> Outcome:
        event, seq = record.event, record.seq
        key, symbol = event.key, event.symbol
        shown = _shown(record.line) if symbol is None else symbol
        if symbol is not None and symbol not in self._vocabulary and symbol != self._options.reset_on:
            shown = _shown(symbol)
            if self._policy != USE:
                message = _unknown(symbol, self._vocabulary, self.model.file.name)
                if self._policy == STOP:
                    raise UnknownSymbolError(f"{_where(incoming)}{message} The stream {key!r} has not moved.")
                if event.start or event.end:  # the sequence does all the same
                    self._stepper.skip(event)
                    note.is_open = not event.end
                return self._skip(incoming, UNKNOWN_SYMBOL, message, key, seq, moves=event.start or event.end)
        try:
            answer = self._stepper.answer(event, shown, reader.rows)
        except NotFiniteError as error:
            return self._skip(incoming, NOT_FINITE, str(error), key, seq)
        except (InputError, FeatureMismatchError, StateMismatchError, UnknownSymbolError) as error:
            return self._bad(incoming, error, key, seq, BAD_RECORD)
        except BackendError as error:
            return self._error(REFUSED, incoming, BACKEND, str(error), key, seq)
        self.steps += 1
        last = self._last
        last.pop(key, None)
        last[key] = answer
        if len(last) > _LAST:
            del last[next(iter(last))]
        answer.line = record.line
        text = self._written(
            note, seq, missed, answer.to_json(self._options.top, offer_unknown=self._options.offer_unknown)
        )
        note.is_open = not (event.end or (self._options.reset_on is not None and symbol == self._options.reset_on))
        if seq is not None:
            note.next_seq, note.answer = seq + 1, text
        return Outcome(incoming, STEPPED, text, key, seq, content=answer)

    def _written(self, note: StreamNote, seq: int | None, missed: int, answer: str) -> str:
        number = "" if seq is None else f', "seq": {seq}'
        gap = "" if not missed else f', "{self._gap_name}": {missed}'
        return f"{note.head}{number}, {answer[1:-1]}{gap}{self._tail}"

    def _bad(self, incoming: Incoming, error: StepcellError, stream: str | None, seq: int | None, code: str) -> Outcome:
        if self._options.bad_lines == STOP:
            raise InputError(f"{_where(incoming)}{error}") from error
        return self._skip(incoming, code, str(error), stream, seq)

    def _skip(
        self, incoming: Incoming, code: str, message: str, stream: str | None, seq: int | None, *, moves: bool = False
    ) -> Outcome:
        """Acknowledge a record that is not stepped; if its number is the one that is expected, the next one follows.

        So it does behind a gap if the record has started or ended a sequence: see `moves`.
        """
        outcome = self._error(SKIPPED, incoming, code, message, stream, seq)
        if stream is None or seq is None:
            return outcome
        try:
            note = self.streams.note(stream)
            expected = seq if note.next_seq is None else note.next_seq
            if seq < expected:
                return Outcome(incoming, REPEATED, note.answer if seq == expected - 1 else None, stream, seq)
            if seq > expected and not moves:  # the next record that is stepped has the gap
                return self._gap(incoming, stream, seq, expected) if self._options.on_gap == WAIT else outcome
            if seq > expected:
                outcome = self._error(SKIPPED, incoming, code, message, stream, seq, missed=seq - expected)
            self.streams.touch(stream)
            note.next_seq, note.answer = seq + 1, outcome.answer
        except (DamagedStateError, StateMismatchError):  # there is no state to keep the number with
            pass
        return outcome

    def _gap(self, incoming: Incoming, stream: str, seq: int, expected: int) -> Outcome:
        message = f"expected is the record {expected}, and this is {seq}: {seq - expected} missing"
        return self._error(REFUSED, incoming, GAP, message, stream, seq, expected)

    def _error(
        self, kind: str, incoming: Incoming, code: str, message: str, stream: str | None, seq: int | None,
        expected: int | None = None, *, missed: int = 0,
    ) -> Outcome:  # fmt: skip
        found: dict[str, Any] = {} if stream is None else {"stream": stream}
        if seq is not None:
            found["seq"] = seq
        found |= {"error": f"{_where(incoming)}{message}", "code": code}
        if expected is not None:
            found["expected"] = expected
        if missed:
            found[self._gap_name] = missed
        return Outcome(incoming, kind, printable_json(found), stream, seq, code, expected)

    @staticmethod
    def _head(stream: str) -> str:
        return f'{{"stream": {printable_json(stream)}'


def gap_name_of(manifest: Manifest) -> str:
    """Return the field of an answer with the count of records that are missing before it."""
    outputs = {output.name for output in manifest.extra_outputs}
    is_taken = "gaps" in manifest.trained_data.reading or "gap" in outputs  # an answer has a gap of its own
    return "seq_gap" if is_taken else "gap"


def _policy(options: ServeOptions, model: Model) -> str:
    """Return what is done at an unknown symbol; check the options against the model."""
    unknown, name = model.vocabulary.unknown, model.file.name
    if options.unknown == USE and unknown is None:
        raise OptionError(f"{name} has no unknown symbol to use: --unknown stop or --unknown skip.")
    if options.alert_below is not None and model.manifest.labels is not None:
        raise OptionError(
            f"--alert-below is about the probability of the symbol that comes; {name} predicts no symbols."
        )
    return options.unknown or (SKIP if unknown is None else USE)


def _unknown(symbol: str, vocabulary: Vocabulary, name: str) -> str:
    return f"symbol {_shown(symbol)!r} is not in the vocabulary of {name} ({vocabulary.describe()})."


def _where(incoming: Incoming) -> str:
    return f"line {incoming.number}: " if incoming.number else ""


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
