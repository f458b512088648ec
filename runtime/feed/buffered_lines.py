"""Lines that are cut out of what is read from somewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from .line import Line, LineBuffer


class BufferedLines(ABC):
    """Gives lines one by one; from where they are read is said by who builds on it."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._buffer = LineBuffer()
        self._has_ended = False

    @property
    def has_ended(self) -> bool:
        """See `Lines.has_ended`."""
        return self._has_ended

    def take_back(self) -> None:
        """See `Lines.take_back`."""
        self._buffer.take_back()

    def next(self, patience: float | None) -> Line | None:
        """See `Lines.next`."""
        until = None if patience is None else time.monotonic() + patience
        while True:
            line = self._buffer.next()
            if line is not None or self._has_ended:
                return line
            if not self._read_on(None if until is None else max(0.0, until - time.monotonic())):
                return None

    @abstractmethod
    def _read_on(self, patience: float | None) -> bool:
        """Put more into the buffer, or note that this has ended; return False when `patience` seconds are over."""
