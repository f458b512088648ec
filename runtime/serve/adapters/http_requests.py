"""Requests of the thread of HTTP that wait for the thread of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from .base import Inbox, InboxClosedError, Incoming, Outcome, Source
from .http_records import FULL, NOT_READY, STOPPING, TIMEOUT

_T = TypeVar("_T")
ANSWER_SECONDS = 30.0  # that a record may take until it is kept
CALL_SECONDS = 5.0  # that a question to the service may take


class UnavailableError(Exception):
    """The service takes no record now, or did not answer in time.

    Attributes:
        code: "not-ready", "stopping", "full" or "timeout".
    """

    def __init__(self, code: str, text: str) -> None:
        """Begin with the code and the text for the sender."""
        super().__init__(text)
        self.code = code


class Waiting:
    """A request whose records are in the inbox."""

    __slots__ = ("deadline", "future", "left", "outcomes")

    def __init__(self, future: asyncio.Future[list[Outcome]], count: int, deadline: float) -> None:
        """Begin with nothing kept."""
        self.future, self.left, self.deadline = future, count, deadline
        self.outcomes: list[Outcome] = []


class Requests:
    """Puts the records of requests into an inbox and wakes the requests once their records are kept.

    One wake-up for each group of records, however many requests it answers.

    Attributes:
        service: The service; None until it has begun to take records.
    """

    def __init__(self, source: Source, inbox: Inbox, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with no requests.

        Args:
            source: The source of their records.
            inbox: Takes the records.
            loop: The event loop of the requests.
        """
        self._source, self._inbox, self._loop = source, inbox, loop
        self._open: dict[Waiting, None] = {}  # in the order of their deadlines
        self._is_stopping = False
        self.service: Any = None

    async def step(self, stream: str, contents: Sequence[bytes]) -> list[Outcome]:
        """Have records stepped; return what became of each once all are kept.

        Raises:
            UnavailableError: They were not taken; or, with the code "timeout", it is not known whether they are kept.
        """
        if self._is_stopping:
            raise _stopping()
        status = None if self.service is None else self.service.status
        if status is not None and not status.ready:
            raise UnavailableError(NOT_READY, f"{status.reason} Nothing was stepped. Send this again later.")
        waiting = Waiting(self._loop.create_future(), len(contents), self._loop.time() + ANSWER_SECONDS)
        records = [Incoming(content, stream, token=waiting) for content in contents]
        try:
            is_taken = self._inbox.try_put(self._source, records)
        except InboxClosedError:
            raise _stopping() from None
        if not is_taken:
            raise UnavailableError(FULL, "Too many records wait. Nothing was stepped. Send this again in a second.")
        self._open[waiting] = None
        try:
            return await waiting.future
        finally:
            self._open.pop(waiting, None)

    async def call(self, function: Callable[[Any], _T]) -> _T:
        """Call a function with the service, in its thread.

        Raises:
            UnavailableError: It did not come to it in time.
        """
        if self._is_stopping:
            raise _stopping()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._inbox.call(function)), CALL_SECONDS)
        except (asyncio.TimeoutError, asyncio.CancelledError):
            raise UnavailableError(TIMEOUT, f"The service did not answer in {CALL_SECONDS:g} s.") from None

    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """Wake the requests of records that are kept. Called in the thread of the service."""
        with suppress(RuntimeError):  # the loop has ended: no one waits
            self._loop.call_soon_threadsafe(self._wake, tuple(outcomes))

    def expire(self) -> None:
        """Answer the requests that have waited too long."""
        now = self._loop.time()
        late = []
        for waiting in self._open:
            if waiting.deadline > now:
                break
            late.append(waiting)
        text = f"Not kept within {ANSWER_SECONDS:g} s; it may be later. Send this again with the same seq."
        for waiting in late:
            _fail(waiting, UnavailableError(TIMEOUT, text))

    def stop(self) -> None:
        """Take no more records."""
        self._is_stopping = True

    def close(self) -> None:
        """Refuse the requests whose records were not stepped. Called in the thread of the loop."""
        for waiting in self._open:
            _fail(waiting, _stopping())

    @staticmethod
    def _wake(outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            waiting = outcome.incoming.token
            waiting.outcomes.append(outcome)
            waiting.left -= 1
            if not waiting.left and not waiting.future.done():
                waiting.future.set_result(waiting.outcomes)


def _fail(waiting: Waiting, error: UnavailableError) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)


def _stopping() -> UnavailableError:
    return UnavailableError(STOPPING, "The server is stopping. Nothing was stepped. Send this again when it is back.")
