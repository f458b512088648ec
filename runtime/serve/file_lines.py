"""Lines of a file, and those that are appended to it.

A place in a file of lines, which is found again later if the file is still the same up to there.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from .lines import BufferedLines, LineBuffer
from .signals import SignalGuard

_COMPARED = 4096  # bytes before the place


@dataclass(frozen=True)
class InputOffset:
    """Where the next line begins.

    Attributes:
        path: The file, from the root and without links.
        position: In bytes.
        line: How many lines there are before.
        before: sha256 of the bytes before, 4096 of them or as many as there are.
    """

    path: str
    position: int
    line: int
    before: str

    @classmethod
    def of(cls, path: Path, descriptor: int, position: int, line: int) -> InputOffset:
        """Return the place at `position` in the open file."""
        return cls(str(path.resolve()), position, line, _digest(descriptor, position))

    @classmethod
    def from_json(cls, found: Any) -> InputOffset | None:
        """Read what `to_json` returned; None: it is something else."""
        kinds = {"path": str, "position": int, "line": int, "before": str}
        if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in kinds.items()):
            return None
        if found["position"] < 0 or found["line"] < 0:
            return None
        return cls(**{name: found[name] for name in kinds})

    def to_json(self) -> dict[str, Any]:
        """Return the place as a JSON object."""
        return asdict(self)

    def is_in(self, path: Path, descriptor: int) -> bool:
        """Tell whether the file has this path, and is before this place what it was."""
        return str(path.resolve()) == self.path and _digest(descriptor, self.position) == self.before


def _digest(descriptor: int, position: int) -> str:
    first = max(0, position - _COMPARED)
    os.lseek(descriptor, first, os.SEEK_SET)
    content = b""
    while len(content) < position - first:
        part = os.read(descriptor, position - first - len(content))
        if not part:
            break
        content += part
    return sha256(content).hexdigest()


_CHUNK = 1 << 16
_PAUSE = 0.05  # seconds between two looks at a file that does not grow
_REMEMBERED = 64  # bytes that must still stand before what is read next


class FileLines(BufferedLines):
    """Gives the lines of a file from some place on, and where it follows the file those that are appended later.

    A followed file may be cut off or replaced by another under its name (log rotation): that is told, and the lines go
    on at the beginning of what is there now, after the last line of the old file. A line that is partly written waits
    until it has its end.
    """

    def __init__(
        self, path: Path, interruption: SignalGuard, tell: Callable[[str], None], *, follow: bool = False,
        whole_lines: bool = False, place: InputOffset | None = None,
    ) -> None:  # fmt: skip
        """Open the file.

        Args:
            path: The file. If it is followed it may come into being later.
            interruption: Ends waiting.
            tell: Takes remarks for the user.
            follow: Wait for more at the end of the file.
            whole_lines: Where a file that is not followed ends without a line end, leave that line for another time.
            place: Where to begin, if that place still exists; None: at the beginning.

        Raises:
            InputError: It cannot be read, or is not a file.
            InterruptedSessionError: A signal has come before the file.
        """
        super().__init__()
        self._path, self._interruption, self._tell = path, interruption, tell
        self._follow, self._whole_lines = follow, whole_lines
        self._replaced_at: float | None = None
        self._read_to, self._remembered = 0, b""  # up to where it has been read, and what stands before that
        self._descriptor = self._open_when_there()
        if place is not None:
            if place.is_in(path, self._descriptor):
                self._buffer = LineBuffer(place.position, place.line)
            elif place.path == str(path.resolve()):
                tell(
                    f"{path} is not the file it was any more: going on at its beginning. What followed line "
                    f"{place.line} of the old one has not been read."
                )
            else:
                tell(f"{path} is another file than before ({place.path}): going on at its beginning.")
        self._seek(self._buffer.position)

    def place(self) -> InputOffset:
        """Return where the next line begins."""
        place = InputOffset.of(self._path, self._descriptor, self._buffer.position, self._buffer.number)
        os.lseek(self._descriptor, self._read_to, os.SEEK_SET)
        return place

    def close(self) -> None:
        """See `Lines.close`."""
        os.close(self._descriptor)

    def _read_on(self, timeout: float | None) -> bool:
        if self._read():
            return True
        if not self._follow:
            self._end()
            return True
        if self._look_around():
            return True
        if timeout == 0:
            return False
        self._interruption.sleep(_PAUSE if timeout is None else min(_PAUSE, timeout))
        return True

    def _read(self) -> bool:
        """Read on; return whether there was something."""
        if self._follow and self._remembered != self._before(self._read_to, len(self._remembered)):
            cut = os.fstat(self._descriptor).st_size < self._read_to
            self._start_again(f"{self._path} has been {'cut off' if cut else 'written anew'}")
        content = os.read(self._descriptor, _CHUNK)
        self._buffer.add(content)
        self._read_to += len(content)
        self._remembered = (self._remembered + content)[-_REMEMBERED:]
        return bool(content)

    def _end(self) -> None:
        self._has_ended = True
        if self._whole_lines and self._buffer.unfinished:
            self._tell(f"The last line of {self._path} has no line end yet. It is left for the next time.")
        else:
            self._buffer.finish()

    def _look_around(self) -> bool:
        """See what has become of a file in which nothing follows; return whether there is a last line now."""
        if not self._is_replaced():
            self._replaced_at = None
            return False
        now = time.monotonic()
        if self._replaced_at is None:
            self._replaced_at = now  # whoever wrote to the old file may not have noticed yet
            return False
        if now - self._replaced_at < 2 * _PAUSE:
            return False
        if self._buffer.unfinished:
            self._buffer.finish()
            return True
        descriptor = self._open_when_there()  # if that ends in an error, the old one can still tell where it was
        self._replaced_at = None
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._start_again(f"{self._path} has been replaced by another file")
        return False

    def _is_replaced(self) -> bool:
        """Tell whether another file has the name now; while none has it, the old one counts."""
        try:
            there, mine = self._path.stat(), os.fstat(self._descriptor)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)

    def _start_again(self, why: str) -> None:
        lost = f", {self._buffer.unfinished} bytes of an unfinished line are lost" if self._buffer.unfinished else ""
        self._tell(f"{why} (line {self._buffer.number} was the last{lost}): going on at its beginning.")
        self._buffer = LineBuffer()
        self._seek(0)

    def _seek(self, position: int) -> None:
        self._read_to = position
        self._remembered = self._before(position, min(position, _REMEMBERED))

    def _before(self, position: int, count: int) -> bytes:
        """Return the last `count` bytes before `position`, where the file is read on then."""
        os.lseek(self._descriptor, position - count, os.SEEK_SET)
        return os.read(self._descriptor, count)

    def _open_when_there(self) -> int:
        has_told = False
        while True:
            try:
                descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except FileNotFoundError:
                if not self._follow:
                    raise InputError(f"There is no file {self._path} to read symbols from.") from None
            except OSError as error:
                raise InputError(f"Cannot read {self._path}: {error.strerror or error}.") from error
            else:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return descriptor
                os.close(descriptor)
                raise InputError(f"{self._path} is not a file. What comes from elsewhere goes to stdin.")
            if not has_told:
                self._tell(f"Waiting for {self._path}.")
                has_told = True
            self._interruption.sleep(_PAUSE)
