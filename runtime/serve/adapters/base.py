"""What a source of records and an output of answers are, and the inbox between sources and the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Condition
from typing import Any, NamedTuple, Protocol, TypeVar

from ...common.errors import StepcellError

Json = Any  # a value that json.dumps takes
_T = TypeVar("_T")

STEPPED, REPEATED, SKIPPED, REFUSED = "stepped", "repeated", "skipped", "refused"
MOST_WAITING = 4096  # records in an inbox

# Codes of errors.
BAD_RECORD, UNKNOWN_SYMBOL, TOO_LONG, NOT_FINITE = "bad-record", "unknown-symbol", "too-long", "not-finite"
GAP, NOT_STARTED, BACKEND = "gap", "not-started", "backend"


class Incoming(NamedTuple):
    """A record as its source delivers it.

    Attributes:
        content: A line, without its end: a JSON object, a plain symbol, or a row.
        stream: The stream that the transport names (topic, address); None: the record says it.
        number: Number of the line in its source, for messages; 0: there is none.
        position: Where the source goes on behind it, JSON; it is kept with the state. If it takes time, a function that
            returns it: called for the last record of a group alone. None: there is no such thing.
        token: Whatever the source needs to acknowledge it.
        error: Why the source could not read it, in place of the content; the code of such an error is "too-long".
    """

    content: bytes
    stream: str | None = None
    number: int = 0
    position: Json | Callable[[], Json] = None
    token: Any = None
    error: str | None = None


@dataclass(slots=True)  # not frozen: that takes a microsecond more to make
class Outcome:
    """What became of a record.

    Attributes:
        incoming: The record.
        kind: STEPPED; REPEATED (it had been stepped before: acknowledged, not stepped again); SKIPPED (an error, and
            acknowledged); REFUSED (an error, and not acknowledged: nothing has moved).
        answer: The answer or error as JSON, one line. Of a repeated record: the answer that it got, if it is the last
            one of its stream, else None. None too for a line that is no record (empty, the header of a table).
        stream: Its stream, if known.
        seq: Its number, if it has one.
        code: Code of the error; None: there is none.
        expected: The number that is expected, where the code is "gap".
        content: The answer before it was written, an `Answer`; None: nothing was stepped.
    """

    incoming: Incoming
    kind: str
    answer: str | None = None
    stream: str | None = None
    seq: int | None = None
    code: str | None = None
    expected: int | None = None
    content: Any = None

    @property
    def values(self) -> dict[str, Any]:
        """The answer as an object; {} if there is none."""
        found = json.loads(self.answer) if self.answer else {}
        return found if isinstance(found, dict) else {}


class Answered(NamedTuple):
    """An answer on its way to the outputs: its stream ("" if it is not known) and its text, one line of JSON."""

    stream: str
    text: str


class Cursor(NamedTuple):
    """How far an output has delivered: all groups up to `group`; `position` is a JSON value of the output's own."""

    group: int
    position: Json = None


class Source(Protocol):
    """Delivers records.

    Attributes:
        name: A name of its own among the sources of a service: the key of its position in the store.
        can_wait: Whether a record that is not acknowledged comes again, or its sender learns of it. Of a source that
            cannot wait (stdin, a file), a refused record is an error among the answers, and the source goes on.
    """

    name: str
    can_wait: bool

    def start(self, inbox: Inbox, position: Json) -> None:
        """Begin to put records into `inbox`, from a thread of its own.

        Args:
            inbox: Takes the records.
            position: That of the last record that was kept; None: there is none.

        Raises:
            StepcellError: It cannot begin.
        """

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Acknowledge records, in the order in which they were put: their states and answers are kept.

        Called in the thread of the service; does not block.
        """

    def stop(self) -> None:
        """Take no more records. What the inbox has already is still stepped and acknowledged."""

    def close(self) -> None:
        """End, after the last call of `committed`."""


class Output(Protocol):
    """Delivers answers.

    Attributes:
        name: A name of its own among the outputs of a service: the key of its cursor in the store.
    """

    name: str

    def start(self, cursor: Cursor) -> None:
        """Begin after a cursor; the groups after it are delivered again.

        Raises:
            StepcellError: It cannot begin.
        """

    def deliver(self, group: int, answers: Sequence[Answered]) -> None:
        """Deliver the answers of a group, all of which are kept. Groups come in order.

        Called in the thread of the service.

        Raises:
            OutputError: None of them can be delivered. The service calls again, and takes no records meanwhile.
            StepcellError, OSError: They cannot be delivered. The service stops, and a later one delivers them.
        """

    def cursor(self) -> Cursor:
        """Return how far all answers have been delivered for good.

        Raises:
            OutputError: The output has failed. The service stops; a second call returns the cursor as it was before.
        """

    def close(self) -> None:
        """Deliver what there is, and end; `cursor` is asked once more afterwards."""


class InboxClosedError(Exception):
    """The service takes no more records."""


class Inbox:
    """Records on their way from the threads of sources to the thread of the service."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        """Begin empty; `most` records may wait."""
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._most, self._waiting, self._closed = most, 0, False
        self._room = Condition()

    @property
    def waiting(self) -> int:
        """Number of records that have not been taken."""
        return self._waiting

    def put(self, source: Source, records: Sequence[Incoming]) -> None:
        """Add records of a source; wait while there are too many.

        Raises:
            InboxClosedError: The service is stopping. None of them will be stepped.
        """
        with self._room:
            while self._waiting >= self._most and not self._closed:
                self._room.wait()
            self._add(source, records)

    def try_put(self, source: Source, records: Sequence[Incoming]) -> bool:
        """Add records of a source, or return False at once: there are too many, or the service is stopping."""
        with self._room:
            if self._closed or self._waiting >= self._most:
                return False
            self._add(source, records)
        return True

    def end(self, source: Source) -> None:
        """Say that a source has no more records. The service ends when all have none."""
        self._queue.put((source, None))

    def fail(self, source: Source, error: StepcellError) -> None:
        """Say that a source cannot go on. The service ends with this error."""
        self._queue.put((source, error))

    def call(self, function: Callable[[Any], _T]) -> Future[_T]:
        """Call a function with the `Service`, in its thread, between two groups."""
        future: Future[_T] = Future()
        self._queue.put((None, (function, future)))
        return future

    def wake(self) -> None:
        """Let `take` return; a signal handler may call it."""
        self._queue.put((None, None))

    def take(self, timeout: float | None) -> Any:
        """Return the next entry: (source, records, error or None) or (None, call or None); None: none came in time."""
        try:
            return self._queue.get(timeout=timeout) if timeout != 0 else self._queue.get_nowait()
        except Empty:
            return None

    def taken(self, count: int) -> None:
        """Make room for `count` records that were taken."""
        with self._room:
            self._waiting -= count
            self._room.notify_all()

    def close(self) -> None:
        """Take no more records, and let waiting sources go."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _add(self, source: Source, records: Sequence[Incoming]) -> None:
        if self._closed:
            raise InboxClosedError
        self._waiting += len(records)
        self._queue.put((source, records))
