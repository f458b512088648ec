"""The loop of a service: take records, step them, keep them, and only then acknowledge and answer."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from ...common.errors import OptionError, OutputError, StepcellError
from ..adapters.base import REFUSED, REPEATED, SKIPPED, Answered, Cursor, Inbox, Incoming, Json, Outcome, Output, Source
from .engine import Engine
from .notify import Notifier
from .options import ServeOptions
from .status import Status
from .store import Group, ServiceStore, Statement, forget_statement

if TYPE_CHECKING:
    from .successor import Successor

_IDLE = 1.0  # seconds between two looks at what is due while nothing comes
_SLOWEST_RETRY = 5.0  # seconds between two tries to keep a group
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PROBE: Statement = ("UPDATE model SET fingerprint = fingerprint", [()])  # writes, and changes nothing
_STATUS_INTERVAL = 10.0  # seconds between two looks at what systemd shows


class Service:
    """Streams that are stepped by the records of sources, with answers to outputs.

    All work on streams and store is done in the thread that calls `run`; see `Inbox.call`.

    Attributes:
        engine: Steps records.
        store: Keeps them.
        inbox: Takes them.
        status: What was done.
        sources, outputs: Where records come from and answers go to.
        notifier: Tells systemd how the service is.
    """

    def __init__(
        self, engine: Engine, store: ServiceStore, options: ServeOptions, sources: Sequence[Source],
        outputs: Sequence[Output], tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Put a service together; nothing is read before `run`.

        Raises:
            OptionError: Two sources, or two outputs, have one name.
        """
        for named in (sources, outputs):
            names = [each.name for each in named]
            if len(set(names)) < len(names):
                raise OptionError(f"Each source and output is given once, not as in {', '.join(names)}.")
        self.engine, self.store, self.options, self.tell = engine, store, options, tell
        self.sources, self.outputs = tuple(sources), tuple(outputs)
        self.inbox, self.status, self.notifier = Inbox(), Status(), Notifier()
        self._subscribers: list[Callable[[Sequence[Outcome]], None]] = []
        self._tasks: list[tuple[float, float, Callable[[], None]]] = []  # when it is due, seconds between, what
        self.every(_IDLE, self._keep_cursors)
        self._stopped_by = 0  # number of a signal
        self._failure: StepcellError | None = None
        self._ended: set[str] = set()
        self._notes: dict[str, Json] = {}
        self._kept_cursors: Mapping[str, Cursor] = {}
        self._number = store.last_group()
        self._outcomes: list[Outcome] = []
        self._of: list[Source] = []  # the source of each outcome
        self._records = 0
        self._due = 0.0
        self.statements: list[Statement] = []  # of parts of the service, for the next transaction
        self.events: list[str] = []  # records for the outputs that answer none, likewise
        self.handover: Successor | None = None  # of a new model
        self.work: Callable[[], bool] = lambda: False  # between two entries; tells whether there is more to do
        self._is_busy = False

    def subscribe(self, function: Callable[[Sequence[Outcome]], None]) -> None:
        """Call a function with the outcomes of each group, in the thread of the service, once they are kept."""
        self._subscribers.append(function)

    def every(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function between two groups, about each `seconds`, in the thread of the service."""
        self._tasks.append((0.0, seconds, function))

    def stop(self) -> None:
        """Let `run` end when what has been taken is kept and answered; any thread and signal handler may call it."""
        self._stopped_by = self._stopped_by or signal.SIGTERM
        self.inbox.wake()

    def run(self) -> int:
        """Serve until all sources have ended, or a signal comes.

        Returns:
            The number of the signal; 0: all sources have ended.

        Raises:
            StepcellError: A source, an output or the store failed, or a record came at which to stop. What was
                acknowledged is kept.
        """
        with self._signals_handled():
            started: list[Source] = []
            try:
                self._start_outputs()
                self.store.commit(Group(self._number, cursors=self._cursors(), statements=[_PROBE]))
                for source in self.sources:
                    kept = self.store.position(source.name)
                    note, position = (None, None) if kept is None else kept
                    self.engine.reader(source.name).restore(note)
                    started.append(source)
                    source.start(self.inbox, position)
                self.status.ready, self.status.reason = True, ""
                self.notifier.ready(self.status.describe())
                self.every(_STATUS_INTERVAL, lambda: self.notifier.status(self.status.describe()))
                self._loop()
            except BaseException:  # what cannot be kept now is not waited for: all of it comes again
                self.stop()
                raise
            finally:
                self.status.ready, self.status.reason = False, "stopping"
                self.notifier.stopping(self.status.describe())
                self._end(started)
        if self._failure is not None:
            raise self._failure
        return self._stopped_by

    def forget(self, streams: Sequence[str]) -> int:
        """Forget streams, in a transaction of its own; return how many were known.

        Raises:
            OutputError: The store cannot be written. Nothing has been forgotten.
        """
        known = [key for key in streams if self.engine.streams.known(key) is not None]
        self.write(forget_statement(known))
        for key in known:
            self.engine.streams.drop(key)
        return len(known)

    def write(self, statements: Sequence[Statement]) -> None:
        """Execute statements in a transaction of their own, between two groups.

        Raises:
            OutputError: The store cannot be written. None of them has had an effect.
        """
        self.store.commit(Group(self._number, statements=statements))

    def _loop(self) -> None:
        while not self._stopped_by and self._failure is None:
            self.notifier.beat()
            entry = self.inbox.take(self._patience())
            if entry is None:
                self.commit()
            else:
                self._take(*entry)
            self._do_tasks()
            self._is_busy = self.work()
            if len(self._ended) == len(self.sources):
                return

    def _patience(self) -> float:
        """Return how long to wait for a record: not at all before a group is kept."""
        return 0.0 if self._outcomes or self._records or self._is_busy else min(_IDLE, self.notifier.interval or _IDLE)

    def _take(self, source: Source | None, content: Any) -> None:
        """Deal with an entry of the inbox."""
        if source is None:
            if content is not None:
                self.commit()  # a call sees what is kept
                function, future = content
                if not future.set_running_or_notify_cancel():  # it has waited too long
                    return
                try:
                    found = function(self)
                except Exception as error:
                    future.set_exception(error)
                else:
                    future.set_result(found)
        elif content is None:
            self._ended.add(source.name)
        elif isinstance(content, StepcellError):
            self._failure = self._failure or content
        else:
            self._answer(source, content)

    def _answer(self, source: Source, records: Sequence[Incoming]) -> None:
        answer, reader = self.engine.answer, self.engine.reader(source.name)
        outcomes, most = self._outcomes, self.options.commit_records
        try:
            for incoming in records:
                if not self._records:
                    self._due = time.monotonic() + self.options.commit_interval
                outcome = answer(reader, incoming)
                self._records += 1
                outcomes.append(Outcome(incoming, SKIPPED) if outcome is None else outcome)
                self._of.append(source)
                if self._records >= most or time.monotonic() >= self._due:
                    self._notes[source.name] = reader.note
                    self.commit()
                    outcomes = self._outcomes
        except StepcellError as error:  # the records before it are kept
            self._failure = error
        finally:
            self._notes[source.name] = reader.note
            self.inbox.taken(len(records))

    def commit(self) -> bool:
        """Keep what has been stepped, then acknowledge and deliver it; return False if the service is stopped before.

        Called between two records.
        """
        outcomes, of = self._outcomes, self._of
        if not outcomes and not self.statements and not self.events:
            return True
        cursors = self._cursors()
        answers = [Answered("", event) for event in self.events]
        answers += [
            Answered(outcome.stream or "", outcome.answer)
            for outcome, source in zip(outcomes, of, strict=True)
            if outcome.answer is not None and _is_public(outcome, source)
        ]
        positions = {
            source.name: outcome.incoming.position
            for outcome, source in zip(outcomes, of, strict=True)
            if outcome.incoming.position is not None
        }
        moved = self.engine.moved()
        of_handover = () if self.handover is None else self.handover.statements(moved)
        group = Group(
            self._number + 1, moved,
            {name: (self._notes.get(name), each() if callable(each) else each) for name, each in positions.items()},
            [text for _, text in answers] if self.outputs else (), cursors,
            (*self.engine.statements, *of_handover, *self.statements),
        )  # fmt: skip
        if not self._keep(group):
            return False
        self._number = group.number
        self._outcomes, self._of, self._records = [], [], 0
        self.statements.clear()
        self.events.clear()
        self.engine.settle()
        if self.handover is not None:
            self.handover.settle()
        self.status.records.update(
            (source.name, outcome.kind, outcome.code or "") for outcome, source in zip(outcomes, of, strict=True)
        )
        self._deliver(group.number, answers)
        for source, found in groupby(zip(of, outcomes, strict=True), key=lambda pair: pair[0]):
            source.committed([outcome for _, outcome in found])
        for function in self._subscribers:
            function(outcomes)
        return True

    def _keep(self, group: Group) -> bool:
        """Keep a group; return False if the service is stopped before that is possible."""
        began = time.perf_counter()
        if not self._insist(lambda: self.store.commit(group)):
            return False
        took = time.perf_counter() - began
        self._kept_cursors = group.cursors
        self.status.kept(took)
        return True

    def _insist(self, write: Callable[[], None]) -> bool:
        """Call a function until it can write, however often that takes; return False if the service is stopped."""
        seconds, is_told = 0.05, False
        while True:
            try:
                write()
            except OutputError as error:
                self.status.ready, self.status.reason = False, str(error)
                self.notifier.beat()  # to be started again would not help
                self.notifier.status(self.status.describe())
                if self._stopped_by or self._failure is not None:
                    self._failure = self._failure or error
                    return False
                if not is_told:
                    self.tell(f"{error} Nothing is accepted or answered until that is possible.")
                    is_told = True
                time.sleep(seconds)  # a signal does not end it, and is seen after it
                seconds = min(2 * seconds, _SLOWEST_RETRY, self.notifier.interval or _SLOWEST_RETRY)
                continue
            if is_told:
                self.tell("Writing is possible again: going on. Nothing is lost.")
                self.status.ready, self.status.reason = True, ""
            return True

    def _deliver(self, number: int, answers: Sequence[Answered]) -> None:
        if not answers:
            return
        for output in self.outputs:
            try:
                self._insist(partial(output.deliver, number, answers))
            except (StepcellError, OSError) as error:
                self._failure = error if isinstance(error, StepcellError) else OutputError(f"{output.name}: {error}")

    def _cursors(self) -> dict[str, Cursor]:
        """Return how far outputs have delivered; where one fails, the service ends, and that one does not move."""
        cursors = {}
        for output in self.outputs:
            try:
                cursors[output.name] = output.cursor()
            except OutputError as error:
                self._failure = self._failure or error
                cursors[output.name] = output.cursor()
        if cursors:
            self.status.undelivered = self._number - min(cursor.group for cursor in cursors.values())
        return cursors

    def _keep_cursors(self) -> None:
        """Keep how far outputs have delivered while nothing comes, so that the store forgets what they have."""
        if self._outcomes:  # their group has the cursors too
            return
        cursors = self._cursors()
        if cursors != self._kept_cursors:
            self._keep(Group(self._number, cursors=cursors))

    def _start_outputs(self) -> None:
        """Deliver again what outputs may not have delivered."""
        names = [output.name for output in self.outputs]
        self.store.drop_outputs_but(names)
        cursors = self.store.cursors(names)
        for output in self.outputs:
            cursor = cursors[output.name]
            output.start(cursor)
            for number, texts in self.store.undelivered(cursor.group):
                output.deliver(number, [Answered(_stream_of(text), text) for text in texts])

    def _end(self, started: Sequence[Source]) -> None:
        """Keep and answer what was taken, and close everything."""
        for source in started:
            source.stop()
        try:
            if self._failure is None:
                self._rest()
            self.commit()
        finally:
            self.inbox.close()
            for source in started:
                source.close()
            for output in self.outputs:
                output.close()
        if self.outputs and not isinstance(self._failure, OutputError):
            self.store.commit(Group(self._number, cursors=self._cursors()))

    def _rest(self) -> None:
        """Step what sources have put in before they were stopped."""
        while (entry := self.inbox.take(0)) is not None:
            source, content = entry
            if source is not None and content is not None:
                self._take(source, content)
            elif source is None and content is not None:
                content[1].cancel()

    def _do_tasks(self) -> None:
        now = time.monotonic()
        for place, (due, seconds, function) in enumerate(self._tasks):
            if now >= due:
                self._tasks[place] = (now + seconds, seconds, function)
                function()

    @contextmanager
    def _signals_handled(self) -> Iterator[None]:
        """Let the first signal end the loop between two records, and the second one at once."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        handled = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]
        for number in handled:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, before[number] or signal.SIG_DFL)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._stopped_by:
            raise KeyboardInterrupt
        self._stopped_by = number
        self.inbox.wake()


def _is_public(outcome: Outcome, source: Source) -> bool:
    """Tell whether an answer goes to the outputs: not one to a record that was answered before, or comes again."""
    return outcome.kind != REPEATED and not (outcome.kind == REFUSED and source.can_wait)


def _stream_of(text: str) -> str:
    """Return the stream of an answer; "" if it names none."""
    with suppress(ValueError, AttributeError):
        stream = json.loads(text).get("stream")
        return stream if isinstance(stream, str) else ""
    return ""
