"""Ctrl-C and SIGTERM, which end a feed between two lines and never within one."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedSessionError(Exception):
    """A signal has come; `signal` is its number."""

    def __init__(self, number: int) -> None:
        """Remember the signal."""
        super().__init__(f"signal {number}")
        self.signal = number


class SignalGuard:
    """Notes the first signal and tells of it where nothing is half done; the second one ends everything at once.

    Whoever feeds asks with `check` between two lines, and waits with `wait_for` or `sleep`, which a signal ends.
    """

    def __init__(self) -> None:
        """Begin without a signal."""
        self._signal: int | None = None
        self._waiting = False

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Notice signals meanwhile; only the main thread can."""
        if current_thread() is not main_thread():
            yield
            return
        before = {one: signal.getsignal(one) for one in _SIGNALS}
        noticed = [one for one in _SIGNALS if before[one] is not signal.SIG_IGN]  # as for a job in the background
        for one in noticed:
            signal.signal(one, self._notice)
        try:
            yield
        finally:
            for one in noticed:
                signal.signal(one, before[one] or signal.SIG_DFL)

    def check(self) -> None:
        """Raise if a signal has come.

        Raises:
            InterruptedSessionError: It has.
        """
        if self._signal is not None:
            raise InterruptedSessionError(self._signal)

    def sleep(self, seconds: float) -> None:
        """Wait so long.

        Raises:
            InterruptedSessionError: A signal has come.
        """
        self._wait(lambda: time.sleep(seconds))

    def wait_for(self, descriptor: int, seconds: float | None) -> bool:
        """Wait until there is something to read; return whether there is after `seconds` (None: without limit).

        Raises:
            InterruptedSessionError: A signal has come.
        """
        if os.name != "posix":  # select waits for sockets alone there, so that reading itself has to wait
            return True
        return bool(self._wait(lambda: select.select([descriptor], [], [], seconds)[0]))

    def _wait(self, wait: Callable[[], Any]) -> Any:
        self._waiting = True  # from here on a signal raises; one that came before is seen by the check
        try:
            self.check()
            return wait()
        finally:
            self._waiting = False

    def _notice(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            raise KeyboardInterrupt
        self._signal = number
        if self._waiting:
            raise InterruptedSessionError(number)
