"""Lines, and where they come from.

Lines that are cut out of what is read from somewhere.

Lines that come through a pipe, from a terminal, or from anything else that is read once.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import BinaryIO, NamedTuple, Protocol

from ..common.errors import InputError
from .signals import SignalGuard

_LONGEST = 2**20  # bytes; what has more is no file of lines, and would fill the memory of a small machine


class Line(NamedTuple):
    """A line of an input.

    Attributes:
        number: Its number, from 1.
        content: What stands in it, without its end.
    """

    number: int
    content: bytes

    def text(self) -> str:
        """Return it as text.

        Raises:
            InputError: It is not UTF-8.
        """
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"Line {self.number} is not UTF-8: byte {error.start + 1} is 0x{self.content[error.start]:02x}."
            ) from None


class Lines(Protocol):
    """Gives lines one by one, as they come."""

    @property
    def has_ended(self) -> bool:
        """Whether no line will come any more."""

    def next(self, timeout: float | None) -> Line | None:
        """Return the next line; None if none has come within `timeout` seconds, or none will.

        Args:
            timeout: How long to wait for it, in seconds; None: until it comes.

        Raises:
            InterruptedSessionError: A signal has come.
        """

    def take_back(self) -> None:
        """Let the line that came last count as not read, where it is asked how far this has come."""

    def close(self) -> None:
        """Give back what is open."""


class LineBuffer:
    """Cuts what was read into lines.

    Attributes:
        position: Where the next line begins, in bytes.
        number: How many lines there were before it.
    """

    def __init__(self, position: int = 0, number: int = 0) -> None:
        """Begin there."""
        self.position, self.number = position, number
        self._before = position, number  # the same before the line that came last
        self._lines: deque[tuple[bytes, int]] = deque()  # content, and size with the end
        self._rest = b""

    @property
    def unfinished(self) -> int:
        """How many bytes there are of a line that has no end yet."""
        return len(self._rest)

    def add(self, content: bytes) -> None:
        """Append what was read."""
        *finished, self._rest = (self._rest + content).split(b"\n")
        self._lines.extend((line, len(line) + 1) for line in finished)

    def finish(self) -> None:
        """Let what there is of a line without an end be a line."""
        if self._rest:
            self._lines.append((self._rest, len(self._rest)))
            self._rest = b""

    def next(self) -> Line | None:
        """Return the next finished line; None: there is none.

        Raises:
            InputError: It is longer than any line is. It counts as not read.
        """
        if len(self._lines[0][0] if self._lines else self._rest) > _LONGEST:
            raise InputError(f"Line {self.number + 1} is longer than {_LONGEST:,} bytes. Is this a file of lines?")
        if not self._lines:
            return None
        content, size = self._lines.popleft()
        self._before = self.position, self.number
        self.position += size
        self.number += 1
        return Line(self.number, content.rstrip(b"\r"))

    def take_back(self) -> None:
        """See `Lines.take_back`; for `position` and `number`."""
        self.position, self.number = self._before


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

    def next(self, timeout: float | None) -> Line | None:
        """See `Lines.next`."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            line = self._buffer.next()
            if line is not None or self._has_ended:
                return line
            if not self._read_on(None if until is None else max(0.0, until - time.monotonic())):
                return None

    @abstractmethod
    def _read_on(self, timeout: float | None) -> bool:
        """Put more into the buffer, or note that this has ended; return False when `timeout` seconds are over."""


_CHUNK = 1 << 16


class PipedLines(BufferedLines):
    """Gives the lines of a file object; a last line without an end counts as well."""

    def __init__(self, file: BinaryIO, interruption: SignalGuard) -> None:
        """Begin with the first line; nothing may have been read from `file` before."""
        super().__init__()
        self._file, self._interruption = file, interruption
        self._descriptor: int | None
        try:
            self._descriptor = file.fileno()
        except OSError:  # it is in memory
            self._descriptor = None

    def close(self) -> None:
        """See `Lines.close`; the file stays open for whoever opened it."""

    def _read_on(self, timeout: float | None) -> bool:
        if self._descriptor is None:
            content = self._file.read(_CHUNK)
        elif self._interruption.wait_for(self._descriptor, timeout):
            content = os.read(self._descriptor, _CHUNK)
        else:
            return False
        self._buffer.add(content)
        if not content:
            self._buffer.finish()
            self._has_ended = True
        return True
