"""Lines of a file, and those that are appended to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ..common.errors import InputError
from .input_offset import (
    FileContent,
    FileIdentity,
    FilePart,
    InputOffset,
    compressed_after,
    is_at,
    open_following,
    open_rotated,
)
from .lines import CHUNK, Line, LineBuffer, Lines
from .signals import SignalGuard

_PAUSE = 0.05  # seconds between two looks at a file that does not grow
_REMEMBERED = 4096  # bytes before the next read that must not change


class FileLines(Lines):
    """Lines of a file from an offset on; of a followed file also those that are appended later.

    A followed file may be truncated, or replaced by another file of its name (log rotation): the user is told, and the
    lines continue at the beginning of the new content, after the last line of the old file. A file that was renamed
    while nothing read it is found in its folder, by device, inode and time of birth, and read to its end, and so are
    the files that were rotated after it. A partly written line waits for its end.
    """

    def __init__(
        self, path: Path, guard: SignalGuard, tell: Callable[[str], None], *, follow: bool = False,
        whole_lines: bool = False, offset: InputOffset | None = None,
        new_buffer: Callable[[int, int], LineBuffer] = LineBuffer,
    ) -> None:  # fmt: skip
        """Open the file.

        Args:
            path: The file. A followed file may be created later.
            guard: Its signals end waiting.
            tell: Takes remarks for the user.
            follow: Wait for more at the end of the file.
            whole_lines: Leave a last line without an end unread, unless the file is followed.
            offset: Where to begin if that is still the same file; None: at the beginning.
            new_buffer: Makes the buffer that splits what is read, at an offset.

        Raises:
            InputError: The file cannot be read, or is no regular file.
            InterruptedSessionError: A signal has come before the file.
        """
        super().__init__(guard, new_buffer)
        self._path, self._tell, self._follow, self._whole_lines = path, tell, follow, whole_lines
        self._replaced_at: float | None = None
        self._read_to, self._remembered, self._has_shrunk = 0, b"", False
        self._read_last = b""  # the bytes of the last read, and those remembered before it
        self._size = 0  # at the last look
        self._file = self._open_first(offset)
        self._content = FileContent(path, self._file)
        self._seek(self._buffer.position)

    def next(self, timeout: float | None) -> Line | None:
        """See `Lines.next`."""
        self._look()
        return super().next(timeout)

    def next_part(self) -> tuple[FilePart, list[tuple[int, bytes, int]]] | None:
        """Wait for lines and return all that were read at once, as `LineBuffer.take` does, with their part of the file.

        None: no line will follow. Lines of any length are returned.

        Raises:
            InputError: The file cannot be read.
            InterruptedSessionError: A signal has come.
        """
        while True:
            self._look()
            lines = self._buffer.take()
            if lines:
                return self._content.part(self._read_last, self._read_to), lines
            if self.has_ended:
                return None
            self._read_on(None)

    def offset(self) -> InputOffset:
        """See `Lines.offset`."""
        offset = InputOffset.of(self._path, self._file, self._buffer.position, self._buffer.number)
        self._file.seek(self._read_to)
        return replace(offset, before="") if self._has_shrunk else offset

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _look(self) -> None:
        """Note that a followed file has shrunk, before it has grown again: the same lines may come again."""
        if self._follow and not self._has_shrunk:
            size = os.fstat(self._file.fileno()).st_size
            self._has_shrunk = self._content.has_changed = size < max(self._read_to, self._size)
            self._size = size

    def _read_on(self, timeout: float | None) -> bool:
        content = self._read()
        if content:
            self._buffer.add(content)
        elif self._is_replaced():
            self._read_on_in_new_file()
        elif not self._follow:
            self.has_ended = True
            if self._whole_lines and self._buffer.unfinished:
                self._tell(f"The last line of {self._path} has no line end yet. It is left for the next run.")
            else:
                self._buffer.finish()
        elif timeout == 0:
            return False
        else:
            self._guard.sleep(_PAUSE if timeout is None else min(_PAUSE, timeout))
        return True

    def _read(self) -> bytes:
        """Read on, from the beginning if the content that was read before has changed."""
        if self._follow:
            is_shorter = self._has_shrunk or os.fstat(self._file.fileno()).st_size < self._read_to
            if is_shorter or self._remembered != self._bytes_before(self._read_to, len(self._remembered)):
                self._content.has_changed = True
                self._start_again(f"{self._path} has been {'truncated' if is_shorter else 'overwritten'}")
        content = self._file.read(CHUNK)
        if content:
            self._read_to += len(content)
            self._read_last = self._remembered + content
            self._remembered = self._read_last[-_REMEMBERED:]
        return content

    def _is_replaced(self) -> bool:
        """Return whether another file has the name, long enough for the writers of the old file to notice."""
        replaced = self._path.exists() and not is_at(self._file, self._path)  # without a new file the old one counts
        if not self._follow:
            return replaced
        now = self._guard.now()
        if not replaced or self._replaced_at is None:
            self._replaced_at = now if replaced else None
            return False
        return now - self._replaced_at >= 2 * _PAUSE

    def _read_on_in_new_file(self) -> None:
        if self._buffer.unfinished:  # the last line of the old file comes first
            self._buffer.finish()
            return
        before = FileIdentity.of(self._file)
        for name in compressed_after(self._path, before):
            self._tell(f"{name} is compressed and has not been read.")
        file = open_following(self._path, before) or self._open_when_there()
        self._file.close()  # not earlier: if that fails, the old file still tells its offset
        self._file, self._replaced_at = file, None
        self._start_again(f"{self._path} has been replaced by another file")

    def _start_again(self, why: str) -> None:
        lost = f", {self._buffer.unfinished} bytes of an unfinished line are lost" if self._buffer.unfinished else ""
        self._tell(f"{why} (line {self._buffer.number} was the last{lost}): going on at its beginning.")
        self._buffer, self._has_shrunk, self._size = self._new_buffer(0, 0), False, 0
        self._content = FileContent(self._path, self._file)
        self._seek(0)
        self.on_new_content()

    def _seek(self, position: int) -> None:
        self._read_to, self._remembered = position, self._bytes_before(position, min(position, _REMEMBERED))

    def _bytes_before(self, position: int, count: int) -> bytes:
        """Return `count` bytes before `position`, from where the file is read next."""
        self._file.seek(position - count)
        return self._file.read(count)

    def _open_first(self, offset: InputOffset | None) -> BinaryIO:
        """Open the file of `offset`, wherever it is now, or the first one after it, and set the first line."""
        if offset is None:
            return self._open_when_there()
        self.begins_anew = True
        if offset.path != str(self._path.absolute()):
            self._tell(f"{self._path} is another file than before ({offset.path}): going on at its beginning.")
            return self._open_when_there()
        identity = offset.identity
        rotated = None if identity is None else open_rotated(self._path, identity)
        file, found = rotated or (self._open_when_there(), None)
        if offset.is_of(file) and offset.fits(file):
            self._buffer, self.begins_anew = self._new_buffer(offset.position, offset.line), False
            if found is not None and not is_at(file, self._path):
                self._tell(f"{self._path} has been rotated: going on in {found.name}, after line {offset.line}.")
            return file
        self._tell(
            f"{self._path} has changed since it was read: going on at its beginning. What followed line {offset.line} "
            "of the old content has not been read."
        )
        later = None if identity is None or found is not None else open_following(self._path, identity)
        if later is not None:
            file.close()
            file = later
        return file

    def _open_when_there(self) -> BinaryIO:
        is_told = False
        while True:
            try:
                file: BinaryIO = open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed by `close`
            except FileNotFoundError:
                if not self._follow:
                    raise InputError(f"There is no file {self._path} to read symbols from.") from None
            except IsADirectoryError:
                raise InputError(f"{self._path} is not a file.") from None
            except OSError as error:
                raise InputError(f"Cannot read {self._path}: {error.strerror or error}.") from error
            else:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return file
                file.close()
                raise InputError(f"{self._path} is not a file. Other inputs go to stdin.")
            if not is_told:
                self._tell(f"Waiting for {self._path}.")
                is_told = True
            self._guard.sleep(_PAUSE)
