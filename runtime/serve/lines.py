"""Lines of an input, one at a time, and those of a pipe."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..common.errors import InputError
from .signals import SignalGuard

CHUNK = 1 << 16  # bytes that are read at once
_LONGEST = 2**20  # bytes; a longer line is none, and would fill the memory of a small machine
_COMPARED = 4096  # bytes before an offset


class Line(NamedTuple):
    """A line of an input: its number, from 1, and its content without the line end."""

    number: int
    content: bytes

    def text(self) -> str:
        """Return the content as text.

        Raises:
            InputError: It is not UTF-8.
        """
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"Line {self.number} is not UTF-8: byte {error.start + 1} is 0x{self.content[error.start]:02x}."
            ) from None


@dataclass(frozen=True)
class InputOffset:
    """Offset of a line in a file, with which the file is recognised later.

    Attributes:
        path: The file, absolute and without links.
        position: Offset of the line in bytes.
        line: Number of lines before it.
        before: sha256 of the bytes before it, 4096 of them or as many as there are.
    """

    path: str
    position: int
    line: int
    before: str

    @classmethod
    def of(cls, path: Path, file: BinaryIO, position: int, line: int) -> InputOffset:
        """Return the offset of `position` in the open file, which is moved there."""
        first = max(0, position - _COMPARED)
        file.seek(first)
        return cls(str(path.resolve()), position, line, sha256(file.read(position - first)).hexdigest())

    @classmethod
    def from_json(cls, found: Any) -> InputOffset | None:
        """Return the offset whose attributes are in a JSON object; None: it is another object."""
        kinds = {"path": str, "position": int, "line": int, "before": str}
        if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in kinds.items()):
            return None
        if found["position"] < 0 or found["line"] < 0:
            return None
        return cls(**{name: found[name] for name in kinds})

    def is_in(self, path: Path, file: BinaryIO) -> bool:
        """Return whether the open file has this path, and the same bytes before this offset."""
        return self == InputOffset.of(path, file, self.position, self.line)


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

    @property
    def unfinished(self) -> int:
        """Number of bytes after the last line end."""
        return len(self._rest)

    def add(self, content: bytes) -> None:
        """Append what was read."""
        *finished, self._rest = (self._rest + content).split(b"\n")
        self._lines.extend((line, len(line) + 1) for line in finished)

    def finish(self) -> None:
        """Make a line of what follows the last line end."""
        if self._rest:
            self._lines.append((self._rest, len(self._rest)))
            self._rest = b""

    def next(self) -> Line | None:
        """Return the next finished line; None: there is none.

        Raises:
            InputError: It is too long. It counts as not read.
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
        """Count the last line that was returned as not read."""
        self.position, self.number = self._before


class Lines(ABC):
    """Return lines one by one, as they come.

    Attributes:
        has_ended: Whether no line will follow those in the buffer.
    """

    def __init__(self, guard: SignalGuard) -> None:
        """Begin with nothing read; a signal at `guard` ends waiting."""
        self.has_ended = False
        self._guard = guard
        self._buffer = LineBuffer()

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

    def offset(self) -> InputOffset | None:
        """Return the offset of the next line; None: the input cannot be read again."""
        return None

    @abstractmethod
    def _read_on(self, timeout: float | None) -> bool:
        """Read more, or note that the input has ended; return False after `timeout` seconds."""


class PipedLines(Lines):
    """Lines of a file object that is read once; a last line without an end counts."""

    def __init__(self, file: BinaryIO, guard: SignalGuard) -> None:
        """Begin with the first line of `file`, which has not been read from and is not closed here."""
        super().__init__(guard)
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
        self._buffer.add(content)
        if not content:
            self._buffer.finish()
            self.has_ended = True
        return True
