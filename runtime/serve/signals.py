"""Ctrl-C and SIGTERM end a session between two lines, never within one."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import TypeVar

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_T = TypeVar("_T")


class InterruptedSessionError(Exception):
    """A signal has come; `signal` is its number."""

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__(f"signal {number}")
        self.signal = number


class SignalGuard:
    """Keep the first signal until a session can end; the second one ends it at once.

    A session calls `check` between two lines, and waits with `sleep` or `wait_for`, which a signal ends.

    Attributes:
        now: Returns the time in seconds, for timeouts.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        """Begin without a signal; `now` and `sleep` are replaced in tests."""
        self.now, self._sleep = now, sleep
        self._signal: int | None = None
        self._waiting = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals in the block, if this is the main thread. Ignored signals stay ignored."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        handled = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]  # as in a background job
        for number in handled:
            signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number in handled:
                signal.signal(number, before[number] or signal.SIG_DFL)

    def check(self) -> None:
        """Raise if a signal has come.

        Raises:
            InterruptedSessionError: It has.
        """
        if self._signal is not None:
            raise InterruptedSessionError(self._signal)

    def sleep(self, seconds: float) -> None:
        """Wait for some time.

        Raises:
            InterruptedSessionError: A signal has come.
        """
        self._wait(lambda: self._sleep(seconds))

    def wait_for(self, descriptor: int, seconds: float | None) -> bool:
        """Wait until there is something to read; return False if nothing came in `seconds` (None: without limit).

        Raises:
            InterruptedSessionError: A signal has come.
        """
        if os.name != "posix":  # select waits for sockets alone there, so that the read has to wait
            return True
        return bool(self._wait(lambda: select.select([descriptor], [], [], seconds)[0]))

    def _wait(self, wait: Callable[[], _T]) -> _T:
        self._waiting = True  # from here on a signal raises; the check sees an earlier one
        try:
            self.check()
            return wait()
        finally:
            self._waiting = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number
        if self._waiting:
            raise InterruptedSessionError(number)
