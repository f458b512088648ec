"""Forget streams that have not been used for a long time, a few at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ...common.errors import OutputError
from ...streams.sqlite_store import to_bytes
from .service import Service

LOOK_EVERY = 1.0  # seconds between two looks, if there is something to forget
SLICE = 256  # streams that are forgotten at once: a few milliseconds
_JUMP = 5.0  # seconds by which a clock does not go wrong by itself
_LONGEST, _FIRST = 3600.0, 60.0  # seconds between two searches, and until the first one


class Expiry:
    """Forgets the streams of a service that were not used for `seconds`. They begin anew if they come back.

    The store has the time of the clock at which each stream was used last. If the clock is set forward while the
    service runs, as on a machine without a battery once it reaches a time server, the streams that were used before in
    this run have not grown older: their times are set forward too. After a clock is set back, streams stay for longer.
    """

    def __init__(
        self, service: Service, seconds: float, now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Begin with nothing to forget.

        Args:
            service: The service.
            seconds: The time after which a stream is forgotten.
            now: Returns the time of the clock, in seconds since 1970.
            steady: Returns seconds that no clock changes.
        """
        self._service, self._seconds, self._now, self._steady = service, seconds, now, steady
        self._every = min(_LONGEST, max(LOOK_EVERY, seconds / 20))
        self._next_search = steady() + min(self._every, _FIRST)
        self._offset, self._began = now() - steady(), now()
        self._idle: deque[str] = deque()

    def look(self) -> None:
        """Forget some streams, if it is time. While the store cannot be written, or a model takes over, they stay."""
        try:
            self._follow_clock()
            if self._service.handover is not None:  # the streams of the new model are those of the old one
                return
            if not self._idle and self._steady() >= self._next_search:
                self._idle.extend(self._service.store.unused_since(self._now() - self._seconds))
                self._next_search = self._steady() + self._every
            if self._idle:
                self._forget([self._idle.popleft() for _ in range(min(SLICE, len(self._idle)))])
        except OutputError:  # the loop says so at the next record
            self._idle.clear()

    def _forget(self, keys: list[str]) -> None:
        service, streams = self._service, self._service.engine.streams
        keys = [key for key in keys if not streams.has_moved(key)]
        before = self._now() - self._seconds
        rows = [(to_bytes(key), before) for key in keys]
        known = service.store.count()
        past = "DELETE FROM recent WHERE key = ? AND NOT EXISTS (SELECT 1 FROM streams WHERE key = ?)"
        service.write(
            [("DELETE FROM streams WHERE key = ? AND used < ?", rows), (past, [(key, key) for key, _ in rows])]
        )
        for key in keys:
            streams.drop(key)
        count = known - service.store.count()
        if count and not service.status.forgotten:
            service.tell(f"Streams that were not used for {service.options.forget_after} are forgotten.")
        service.status.forgotten += count

    def _follow_clock(self) -> None:
        """Notice that the clock was set."""
        offset = self._now() - self._steady()
        jump, self._offset = offset - self._offset, offset
        if jump > _JUMP:
            before = self._now() - jump
            shift = ("UPDATE streams SET used = used + ? WHERE used BETWEEN ? AND ?", [(jump, self._began, before)])
            self._service.write([shift])
            self._began += jump
        elif jump < -_JUMP:
            self._began = self._now()
