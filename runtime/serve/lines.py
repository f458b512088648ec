"""Lines of an input, one at a time, and those of a pipe."""

from __future__ import annotations

import os
import select
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from ..common.errors import InputError
from .input_offset import InputOffset
from .signals import SignalGuard

CHUNK = 1 << 16  # bytes that are read at once
LONGEST = 2**20  # bytes; a longer line is none, and would fill the memory of a small machine
_PATIENCE = 1.0  # seconds for the end of a line that was taken in part


class LongLineError(InputError):
    """A line is so long that it is none."""


class Line(NamedTuple):
    """A line of an input: its number, from 1, and its content without the line end."""

    number: int
    content: bytes

    def text(self) -> str:
        """Return the content as text, in the first line without a byte order mark.

        Raises:
            InputError: It is not UTF-8.
        """
        try:
            return self.content.decode("utf-8-sig" if self.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"Line {self.number} is not UTF-8: byte {error.start + 1} is 0x{self.content[error.start]:02x}."
            ) from None


class LineBuffer:
    """Split what was read into lines.

    Attributes:
        position: Offset of the next line, in bytes.
        number: Number of lines before it.
    """

    def __init__(self, position: int = 0, number: int = 0) -> None:
        """Begin at an offset."""
        self.position, self.number = position, number
        self._before = position, number  # the same before the last line that was returned
        self._lines: deque[tuple[bytes, int]] = deque()  # content, and size with the end
        self._rest = b""
        self._dropped: int | None = None  # bytes of a long line that is skipped

    @property
    def unfinished(self) -> int:
        """Number of bytes after the last line end."""
        return len(self._rest)

    @property
    def is_skipping(self) -> bool:
        """Whether the end of a line that is skipped is still to come."""
        return self._dropped is not None

    def add(self, content: bytes) -> None:
        """Append what was read."""
        if self._dropped is not None:
            content = self._drop(content)
        *finished, self._rest = (self._rest + content).split(b"\n")
        self._lines.extend((line, len(line) + 1) for line in finished)

    def finish(self) -> None:
        """Make a line of what follows the last line end."""
        if self._dropped is not None:
            self._drop(b"\n")
        if self._rest:
            self._lines.append((self._rest, len(self._rest)))
            self._rest = b""

    def next(self) -> Line | None:
        """Return the next finished line; None: there is none.

        Raises:
            LongLineError: It is too long. It counts as not read.
        """
        if len(self._lines[0][0] if self._lines else self._rest) > LONGEST:
            raise LongLineError(f"Line {self.number + 1} is longer than {LONGEST:,} bytes. Is this a file of lines?")
        if not self._lines:
            return None
        content, size = self._lines.popleft()
        self._before = self.position, self.number
        self.position += size
        self.number += 1
        return Line(self.number, content.removesuffix(b"\r"))

    def take(self) -> list[tuple[int, bytes, int]]:
        """Return all finished lines, also long ones: number, content, and offset of the end of each."""
        position, number, found = self.position, self.number, []
        for content, size in self._lines:
            position += size
            number += 1
            found.append((number, content.removesuffix(b"\r"), position))
        self._lines.clear()
        self.position, self.number = position, number
        return found

    def take_back(self) -> None:
        """Count the last line that was returned as not read."""
        self.position, self.number = self._before

    def skip(self) -> None:
        """Count the next line, which is too long, as read. Its bytes to come are dropped."""
        if self._lines:
            self.position += self._lines.popleft()[1]
            self.number += 1
        else:
            self._dropped, self._rest = len(self._rest), b""

    def _drop(self, content: bytes) -> bytes:
        """Return what follows the long line that is skipped."""
        end = content.find(b"\n") + 1
        self._dropped = (self._dropped or 0) + (end or len(content))
        if not end:
            return b""
        self.position += self._dropped
        self.number += 1
        self._dropped = None
        return content[end:]


class Lines(ABC):
    """Return lines one by one, as they come.

    Attributes:
        has_ended: Whether no line will follow those in the buffer.
        begins_anew: Whether they do not go on at the offset that was given.
        on_new_content: Called when all lines of a file are read, before the first line of the next file or of new
            content of the file; `offset` is that of this line then.
    """

    def __init__(self, guard: SignalGuard, new_buffer: Callable[[int, int], LineBuffer] = LineBuffer) -> None:
        """Begin with nothing read; a signal at `guard` ends waiting, `new_buffer` makes the buffer at an offset."""
        self.has_ended = self.begins_anew = False
        self.on_new_content: Callable[[], None] = _nothing
        self._guard = guard
        self._new_buffer = new_buffer
        self._buffer = new_buffer(0, 0)

    def next(self, timeout: float | None) -> Line | None:
        """Return the next line; None: there is none within `timeout` seconds (None: without limit), or ever.

        Raises:
            InputError: The line is too long, or the input cannot be read.
            InterruptedSessionError: A signal has come.
        """
        until = None if timeout is None else self._guard.now() + timeout
        while True:
            line = self._buffer.next()
            if line is not None or self.has_ended:
                return line
            if not self._read_on(None if until is None else max(0.0, until - self._guard.now())):
                return None

    def take_back(self) -> None:
        """Count the last line as not read in `offset`."""
        self._buffer.take_back()

    def skip(self) -> int:
        """Count the next line, which is too long, as read; return its number."""
        self._buffer.skip()
        return self._buffer.number + self._buffer.is_skipping

    def offset(self) -> InputOffset | None:
        """Return the offset of the next line; None: the input cannot be read again."""
        return None

    def taken(self) -> Iterator[Line]:
        """Yield the lines that were taken from an input which cannot be read again, after a signal."""
        yield from ()

    @abstractmethod
    def _read_on(self, timeout: float | None) -> bool:
        """Read more, or note that the input has ended; return False after `timeout` seconds."""


class PipedLines(Lines):
    """Lines of a file object that is read once; a last line without an end counts."""

    def __init__(
        self, file: BinaryIO, guard: SignalGuard, new_buffer: Callable[[int, int], LineBuffer] = LineBuffer
    ) -> None:
        """Begin with the first line of `file`, which has not been read from and is not closed here."""
        super().__init__(guard, new_buffer)
        self._file = file
        self._descriptor: int | None
        try:
            self._descriptor = file.fileno()
        except OSError:  # it is in memory
            self._descriptor = None

    def _read_on(self, timeout: float | None) -> bool:
        if self._descriptor is None:
            content = self._file.read(CHUNK)
        elif self._guard.wait_for(self._descriptor, timeout):
            content = os.read(self._descriptor, CHUNK)
        else:
            return False
        self._take(content)
        return True

    def taken(self) -> Iterator[Line]:
        """Yield the lines that were taken from the pipe and not yet returned.

        If the last one is not complete, wait for its end for a second, byte by byte, to take nothing of the next line.
        """
        until = self._guard.now() + _PATIENCE
        while True:
            while line := self._buffer.next():
                yield line
            seconds = until - self._guard.now()
            if not self._buffer.unfinished or self._descriptor is None or self.has_ended or seconds <= 0:
                return
            if os.name != "posix" or select.select([self._descriptor], [], [], seconds)[0]:
                self._take(os.read(self._descriptor, 1))

    def _take(self, content: bytes) -> None:
        self._buffer.add(content)
        if not content:
            self._buffer.finish()
            self.has_ended = True


def _nothing() -> None:
    """Do nothing."""
