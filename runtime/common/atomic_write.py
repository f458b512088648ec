"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from glob import escape
from pathlib import Path

from .errors import OutputError

_PART = ".part"


def make_folder(folder: Path) -> None:
    """Make `folder` and its parents, and make sure that a file can be created there.

    Raises:
        OutputError: The folder cannot be made or written to.
    """
    import tempfile  # takes longer to import than this module

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"Cannot write to the folder {folder}: {error.strerror or error}.") from error


def atomic_write(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder: without the two fsyncs a power cut
    after the rename can still lose the content or the name.

    Raises:
        OutputError: The file cannot be written. What stood at `path` still stands there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        atomic_rename(temporary, path)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # on a file system that is read-only, where it is not there either
            temporary.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what `atomic_write` was writing in `folder` when its process was killed."""
    for path in folder.glob(f".*{_PART}"):
        path.unlink(missing_ok=True)


def remove_partial_files_of(path: Path) -> None:
    """Remove what `atomic_write` was writing for `path` alone; nobody else may be writing it now."""
    for part in path.parent.glob(f".{escape(path.name)}.*{_PART}"):
        if part.name[len(path.name) + 2 : -len(_PART)].isdecimal():
            part.unlink(missing_ok=True)


def atomic_rename(temporary: Path, path: Path) -> None:
    """Rename the finished file `temporary` to `path` (same folder or file system) and make the new name durable."""
    os.replace(temporary, path)
    if os.name == "posix":  # elsewhere a folder cannot be opened, and the rename is durable by itself
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
