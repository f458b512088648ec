"""Step the stream of an event: begin it, reset it, add the gap before it, and answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..format.tensor_specs import Features
from ..streams.model import Model
from ..streams.prediction import Prediction, main_field
from ..streams.stream import Stream
from ..tasks.anomaly import Surprise, Threshold, Watch
from ..tasks.begin import begin_sequence
from ..tasks.next_event import NextEvents, next_events_of
from .answer import Answer
from .input_line import Event
from .keyed_streams import KeyedStreams
from .residual_watch import ResidualWatch
from .rows import RowLines

Input: TypeAlias = "tuple[str | None, Features | None]"  # a symbol with its features
OnStep: TypeAlias = Callable[[str, Sequence[Input], Prediction | None], None]


class Stepper:
    """Streams of a model that answer events, one by one.

    Attributes:
        streams: The streams by key.
        symbols: Number of symbols that were given; those that begin a sequence, and gaps, are not counted.
        on_step: Called behind each event that was stepped, with its key, the inputs that were fed, those that begin a
            sequence and gaps among them, and the answer to the last one; None: nothing is.
    """

    def __init__(
        self, model: Model, streams: KeyedStreams, *, threshold: Threshold | None = None,
        alert_below: float | None = None, residuals: ResidualWatch | None = None, reset_on: str | None = None,
        middle: bool = False, top: int = 1, offer_unknown: bool = False, keyed: bool = False,
    ) -> None:  # fmt: skip
        """Begin with nothing read.

        Args:
            model: The model.
            streams: Its streams.
            threshold: Marks surprising symbols; None: none does.
            alert_below: Symbols are alerts below this probability; None: there is none. Without both there is no
                surprise in the answers.
            residuals: Compares the values of rows with the answers; None: nothing does.
            reset_on: Symbol after which a stream is reset; None: there is none.
            middle: Fresh streams begin in the middle of a sequence.
            top: How many of the likeliest events to name.
            offer_unknown: Name the unknown symbol among them.
            keyed: Answers name the key of their stream.

        Raises:
            TargetError: The model does not predict its next symbol, and its symbols are watched.
            OptionError: `alert_below` is no probability.
        """
        self.streams = streams
        self.symbols = 0
        self.on_step: OnStep | None = None
        self._vocabulary, self._boundary = model.vocabulary, model.manifest.trained_data.boundary or None
        self._watch = None
        if threshold is not None or alert_below is not None:
            self._watch = Watch(streams.stream, threshold, begin=not middle, alert_below=alert_below)
        self._residuals = residuals
        self._reset_on, self._begins, self._keyed = reset_on, not middle, keyed
        self._resets_unfed = reset_on is not None and reset_on not in model.vocabulary
        self._end = model.manifest.trained_data.end
        self._events = next_events_of(model.manifest)
        self._field = main_field(model.manifest)
        self._top, self._offer_unknown = top, offer_unknown

    def answer(self, event: Event, given: str, rows: RowLines | None) -> Answer:
        """Step the stream of an event and return the answer.

        Args:
            event: The event.
            given: Its symbol or line, for the answer.
            rows: Computes the gap before it; None: there is none.

        Raises:
            UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: As `Stream.step` does. No state has
                moved.
        """
        if not event.start:
            return self._answer(event, given, rows)
        before = self.streams.place(event.key)
        try:
            return self._answer(event, given, rows)
        except BaseException:
            self.streams.go_back(event.key, before)
            raise

    def _answer(self, event: Event, given: str, rows: RowLines | None) -> Answer:
        key, streams = event.key, self.streams
        is_reset_alone = not event.is_event or (self._resets_unfed and event.symbol == self._reset_on)
        stream = streams.select(key, event.static, reset=event.start or is_reset_alone)
        if is_reset_alone:
            streams.keep(key)
            return Answer(given, reset=True, stream=self._seen(key))
        right = None if self._residuals is None else self._residuals.parse(event.right)
        answer = self._step(stream, event, given, rows)
        if self._residuals is not None:
            answer.residual, pending = self._residuals.compare(right, answer.prediction, streams.pending.get(key, []))
            streams.pending[key] = pending
        if self._keyed:
            answer.stream = key, stream.symbols_seen
        if event.end or (event.symbol == self._reset_on and self._reset_on is not None):
            streams.reset(key)
        elif event.time is not None:
            streams.times[key] = event.time
        streams.keep(key)
        self.symbols += 1
        return answer

    def skip(self, event: Event) -> tuple[str, int] | None:
        """Leave out the step of an event: its sequence starts or ends all the same.

        Returns:
            Its key and the number of symbols its stream has seen; None: answers name no keys.
        """
        resets = event.start or event.end
        self.streams.select(event.key, event.static, reset=resets)
        if resets or event.static:
            self.streams.keep(event.key)
        return self._seen(event.key)

    def _seen(self, key: str) -> tuple[str, int] | None:
        return (key, self.streams.stream.symbols_seen) if self._keyed else None

    def _step(self, stream: Stream, event: Event, given: str, rows: RowLines | None) -> Answer:
        """Step an event and what belongs to it; where anything fails, the stream is as it was."""
        gap = None if rows is None else rows.gap(self.streams.times.get(event.key), event.time)
        features = event.features if rows is None else rows.features(event, gap)
        gap_symbol = None if rows is None else rows.gap_symbol(gap)
        takes_one_step = gap_symbol is None and self._events is None
        before = None if takes_one_step else stream.snapshot()
        has_begun = self._begins and not stream.symbols_seen and begin_sequence(stream, event.symbol)
        try:
            prediction, surprise = self._step_once(stream, event.symbol, features)
            unknown = event.symbol is not None and event.symbol not in self._vocabulary
            if gap_symbol is not None:
                prediction, of_gap = self._step_once(stream, gap_symbol, features)
                surprise = _together(surprise, of_gap)
            events = None
            if self._events is not None and prediction is not None:
                events = self._next(self._events, stream, prediction, features, rows)
        except BaseException:
            if before is not None:
                stream.go_to(before)
            elif has_begun:
                stream.reset()
            raise
        if self.on_step is not None:
            inputs: list[Input] = [(event.symbol, features)]
            if has_begun:
                inputs.insert(0, (self._end, self._boundary))
            if gap_symbol is not None:
                inputs.append((gap_symbol, features))
            self.on_step(event.key, inputs, prediction)
        silent = prediction is None and self._field
        return Answer(given, prediction, unknown, None, surprise, events, event.fields or None, silent=silent or None)

    def _next(
        self, next_events: NextEvents, stream: Stream, prediction: Prediction, features: Any, rows: RowLines | None
    ) -> tuple[list[tuple[str, float]], tuple[str, float] | None]:
        """Return the likeliest next events with their probabilities, and the likeliest gap before the first."""
        best = next_events.top(
            stream, prediction, self._top, features, gap_may_come=rows is None, offer_unknown=self._offer_unknown
        )
        likeliest = best[0][0]  # no gap is before the end
        return best, None if likeliest == self._end else next_events.gap_before(stream, likeliest, features)

    def _step_once(
        self, stream: Stream, symbol: str | None, features: Any
    ) -> tuple[Prediction | None, Surprise | None]:
        if self._watch is None:
            return stream.step(symbol, features), None
        surprise = self._watch.step(symbol or "", features)
        return surprise.prediction, surprise


def _together(event: Surprise | None, gap: Surprise | None) -> Surprise | None:
    """Return the surprise of an event and of the gap before it: the bits of both, the marks of either."""
    if event is None or gap is None:
        return event
    return Surprise(event.bits, event.rank, event.alert or gap.alert, event.alarm or gap.alarm, gap.prediction)
