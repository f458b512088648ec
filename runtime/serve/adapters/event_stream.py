"""Answers as server-sent events, live: `GET /v1/answers`."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice

from .base import SKIPPED, STEPPED, Outcome
from .http_guard import Receive, Send

KEPT = 2_000  # answers that one who comes, or comes back, can still have
MOST_BEHIND = 1_000  # answers that a reader may be behind
MOST_READERS = 100
BEAT_SECONDS = 15.0  # between signs of life while there is no answer
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy must not collect them
]


class Reader:
    """One who reads the events.

    Attributes:
        stream: Only the answers of this stream; None: of all.
        skips: When it is too far behind, it misses answers; else it is dropped.
    """

    def __init__(self, stream: str | None, *, skips: bool) -> None:
        """Begin with nothing to send; made in the task that serves it."""
        self.stream, self.skips = stream, skips
        self._task = asyncio.current_task()
        self._events: deque[bytes] = deque()
        self._has_news = asyncio.Event()
        self.is_dropped = False

    def add(self, event: bytes) -> bool:
        """Add an event; return False if the reader is so far behind that it is dropped."""
        if self.is_dropped:
            return True
        if len(self._events) >= MOST_BEHIND:
            if not self.skips:
                self.drop()
                return False
            missed = len(self._events)
            self._events.clear()
            self._events.append(f"event: missed\ndata: {missed}\n\n".encode())
        self._events.append(event)
        self._has_news.set()
        return True

    def drop(self) -> None:
        """End its connection: it may be waiting for the reader for ever."""
        self.is_dropped = True
        if self._task is not None:
            self._task.cancel()

    async def take(self) -> bytes:
        """Return what there is to send; wait for it, and send a comment if none comes for some time."""
        if not self._events:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), BEAT_SECONDS)
        self._has_news.clear()
        found = b"".join(self._events) or b": alive\n\n"
        self._events.clear()
        return found


class EventStream:
    """The answers of a service for any number of readers. All but `publish` belongs to the thread of the loop.

    Attributes:
        dropped: Number of readers that were dropped.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin without readers."""
        self._loop = loop
        self._run = secrets.token_hex(4)  # an id of another run names no event of this one
        self._count = 0
        self._kept: deque[tuple[int, str, str]] = deque(maxlen=KEPT)
        self._readers: set[Reader] = set()
        self.dropped = 0

    @property
    def readers(self) -> int:
        """Number of readers."""
        return len(self._readers)

    def publish(self, outcomes: Sequence[Outcome]) -> None:
        """Send the answers of a group. Called in the thread of the service."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._publish, tuple(outcomes))

    async def serve(
        self, send: Send, receive: Receive, stream: str | None, last_id: str, last: int, *, skips: bool
    ) -> None:
        """Send events until the reader goes.

        Args:
            send: Of the request.
            receive: Likewise.
            stream: Only the answers of this stream; None: of all.
            last_id: `Last-Event-ID`: go on after it, as far as they are kept; "" for none.
            last: Without it, begin with so many of the last answers.
            skips: Let a reader that is too far behind miss answers; else it is dropped.
        """
        reader = Reader(stream, skips=skips)
        gone = asyncio.ensure_future(_disconnected(receive, reader))
        # Both in one go: between them no answer can come.
        begin = b"retry: 1000\n\n" + b"".join(self._since(last_id, last, stream))
        self._readers.add(reader)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": begin, "more_body": True})
            while not reader.is_dropped:  # `wait_for` loses a cancellation that comes with news
                await send({"type": "http.response.body", "body": await reader.take(), "more_body": True})
        except asyncio.CancelledError:
            if not reader.is_dropped:
                raise
        finally:
            self._readers.discard(reader)
            gone.cancel()

    def close(self) -> None:
        """Let all readers go."""
        for reader in self._readers:
            reader.drop()

    def _publish(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.answer is None or outcome.kind not in (STEPPED, SKIPPED):
                continue
            self._count += 1
            stream = outcome.stream or ""
            self._kept.append((self._count, stream, outcome.answer))
            if self._readers:
                event = self._event(self._count, outcome.answer)
                for reader in self._readers:
                    if reader.stream is None or reader.stream == stream:
                        self.dropped += not reader.add(event)

    def _since(self, last_id: str, last: int, stream: str | None) -> Iterable[bytes]:
        run, _, number = last_id.partition("-")
        found = [each for each in self._kept if stream is None or each[1] == stream]
        if run == self._run and number.isdigit():
            found = [each for each in found if each[0] > int(number)]
        elif not last_id:  # one of another run gets all that there is of this one
            found = list(islice(found, max(len(found) - last, 0), None))
        return [self._event(number, text) for number, _, text in found]

    def _event(self, number: int, text: str) -> bytes:
        return f"id: {self._run}-{number}\ndata: {text}\n\n".encode(errors="surrogatepass")


async def _disconnected(receive: Receive, reader: Reader) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.drop()
