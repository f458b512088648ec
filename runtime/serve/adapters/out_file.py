"""A file as an output: each answer once, whatever ends the service, also where the file is rotated.

The position of the cursor is the `InputOffset` behind the last answer that is on the disk, and the name that the file
is about to get. At a start the file is cut there, and the answers behind it are appended again. The file is rotated
only after the store has both, so that a rotated file is complete, and is never touched again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ...common.atomic_write import sync_folder
from ...common.errors import OutputError
from ..input_offset import InputOffset, is_at
from ..rotation import Rotation
from .base import Answered, Cursor, Json

SYNC_INTERVAL = 1.0  # seconds


class FileOutput:
    """Appends answers to a file, one line each.

    Answers become durable about every second; until then the store has them too.
    """

    def __init__(
        self, path: Path, tell: Callable[[str], None], rotation: Rotation | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Name the file.

        Args:
            path: The file.
            tell: Takes remarks for the user.
            rotation: When it is rotated; None: never.
            now: Returns the time in seconds.
        """
        self.name = f"out:{path.absolute()}"
        self._path, self._tell, self._rotation, self._now = path, tell, rotation or Rotation(), now
        self._has_failed = False
        self._next_name: str | None = None  # that the file will get

    def start(self, cursor: Cursor) -> None:
        """See `Output.start`.

        Raises:
            OutputError: The file cannot be written, or has another content than the store says.
        """
        self._group = cursor.group
        position = cursor.position if isinstance(cursor.position, dict) else {}
        offset = InputOffset.from_json(position)
        try:
            self._begin(offset, position)
        except OSError as error:
            raise _failed(self._path, error) from error
        self._synced_at = self._now()
        self._cursor = Cursor(self._group, self._position())

    def deliver(self, group: int, answers: Sequence[Answered]) -> None:
        """Append the answers of a group.

        Raises:
            OutputError: They cannot be written. None of them stands in the file.
        """
        if self._has_failed:
            raise OutputError(f"Cannot write {self._path}: it failed before.")
        try:
            if self._next_name is not None:  # `cursor` returned it, after all that stands in the file, and it is kept
                self._rotate(self._next_name)
            self._append("".join(f"{answer.text}\n" for answer in answers).encode(errors="surrogatepass"))
        except OSError as error:
            raise _failed(self._path, error) from error
        self._lines += len(answers)
        self._group = group

    def cursor(self) -> Cursor:
        """See `Output.cursor`.

        Raises:
            OutputError: The answers cannot be made durable. The service has to end; a later one delivers them again.
        """
        if not self._has_failed and not self._file.closed:
            is_due = self._next_name is None and self._rotation.is_due(self._size, self._day)
            if is_due:
                self._next_name = self._rotation.name(self._path, self._day)
            is_durable = self._cursor.group == self._group
            if is_due or (not is_durable and self._now() - self._synced_at >= SYNC_INTERVAL):
                self._sync()
        return self._cursor

    def close(self) -> None:
        """Make all answers durable, and close the file.

        Raises:
            OutputError: They cannot be made durable. `cursor` does not count them.
        """
        if not self._file.closed:
            try:
                if not self._has_failed:
                    self._sync()
            finally:
                self._file.close()

    def _begin(self, offset: InputOffset | None, position: dict[str, Json]) -> None:
        """Open the file and cut it to `offset`."""
        self._day, next_name = str(position.get("day", "")), position.get("next_name")
        if offset is not None and isinstance(next_name, str) and _fits(self._path.with_name(next_name), offset):
            self._open()  # it was rotated; what stands in the new file is behind the cursor
            self._cut(0, 0)
            return
        is_there = self._path.exists()
        self._open()
        if offset is None:
            if self._size:
                raise OutputError(
                    f"{self._path} has {self._size:,} bytes that this store knows nothing of. Move it away, or give "
                    "another file to --out."
                )
        elif offset.fits(self._file):
            self._cut(offset.position, offset.line)
        elif isinstance(next_name, str) and not offset.is_of(self._file):
            self._tell(f"{next_name} is not there any more.")  # as above
            self._cut(0, 0)
        elif not is_there:
            self._tell(f"{self._path} is not there any more: a new file begins.")
        elif self._size < offset.position:
            self._tell(f"{self._path} has {self._size:,} bytes, {offset.position:,} were written: going on at its end.")
        else:
            self._file.close()
            raise OutputError(
                f"{self._path} has another content than the answers that were written. Move it away; the answers go on "
                "in a new file then."
            )

    def _open(self) -> None:
        """Open the file, which is made if it is not there, at its end."""
        if self._path.exists() and not self._path.is_file():
            raise OutputError(f"{self._path} is not a file. Without --out, answers go to stdout.")
        self._file: BinaryIO = open(self._path, "a+b", buffering=0)  # noqa: SIM115 - closed by `close`
        self._size, self._lines = os.fstat(self._file.fileno()).st_size, 0
        if self._size == 0:
            self._day = self._rotation.today()
            sync_folder(self._path.absolute().parent)

    def _cut(self, size: int, lines: int) -> None:
        self._file.truncate(size)
        self._size, self._lines = size, lines

    def _append(self, content: bytes) -> None:
        """Append all of `content`, or nothing."""
        size = os.fstat(self._file.fileno()).st_size
        if size != self._size:
            self._tell(f"{self._path} has been changed by another program: going on at its end.")
            self._size = size
        if not self._size:
            self._day = self._rotation.today()
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException:
            with suppress(OSError):
                self._file.truncate(self._size)
            raise
        self._size += len(content)

    def _sync(self) -> None:
        """Make what was delivered durable, and move the cursor."""
        try:
            os.fsync(self._file.fileno())
            if not is_at(self._file, self._path):
                self._tell(f"{self._path} has been moved or removed: a new file begins.")
                self._file.close()
                self._next_name = None
                self._open()
        except OSError as error:
            self._has_failed = True  # the next fsync would not tell that pages are lost
            raise _failed(self._path, error) from error
        self._synced_at = self._now()
        self._cursor = Cursor(self._group, self._position())

    def _rotate(self, name: str) -> None:
        """Give the file its name and begin a new one."""
        target = self._path.with_name(name)
        if not is_at(self._file, target):  # else the file could not be made after that
            if target.exists():  # another program has made it
                self._next_name = None
                return
            self._path.rename(target)
        self._file.close()
        self._open()
        self._next_name = None
        self._cursor = Cursor(self._group, self._position())

    def _position(self) -> Json:
        position = vars(InputOffset.of(self._path, self._file, self._size, self._lines))
        return {**position, "modified": 0, "day": self._day, "next_name": self._next_name}


def _failed(path: Path, error: OSError) -> OutputError:
    """Return the error of a write that failed."""
    return error if isinstance(error, OutputError) else OutputError(f"Cannot write {path}: {error.strerror or error}.")


def _fits(path: Path, offset: InputOffset) -> bool:
    """Return whether a file ends in `offset`."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size == offset.position and offset.fits(file)
    except OSError:
        return False
