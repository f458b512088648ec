"""Write files so that they appear whole or not at all."""

from __future__ import annotations

import os
import re
from contextlib import suppress
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


def check_folder(folder: Path) -> None:
    """Make sure that `folder` can be made or written to, without making it.

    Raises:
        OutputError: It cannot, as far as one can tell.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise OutputError(f"Cannot write to the folder {folder}: {existing} is not a folder that can be written to.")


def check_file(path: Path) -> None:
    """Make sure that the file `path` can be written, before the work that makes its content.

    Raises:
        OutputError: It cannot, as far as one can tell. Nothing was made.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"Cannot write {path}: there is no folder {folder}. Make it first, or name another file.")
    if path.is_dir():
        raise OutputError(f"Cannot write {path}: it is a folder. Name a file in it.")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise OutputError(f"Cannot write {path}: it is not allowed here. Name another file.")


def atomic_write(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a crash leaves the old file or the new one, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder: without the two fsyncs a power cut
    after the rename can still lose the content or the name.

    Raises:
        OutputError: The file cannot be written. What was at `path` is still there.
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
        with suppress(OSError):  # a read-only file system
            temporary.unlink(missing_ok=True)


def remove_partial_files(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files in `folder` that `atomic_write` left when its process was killed.

    Args:
        folder: Where they are.
        name: The file that was being written, by no other process now; None: any.
    """
    file = ".+" if name is None else re.escape(name)
    for path in folder.glob(f".*{_PART}"):
        if re.fullmatch(rf"\.{file}\.\d+{re.escape(_PART)}", path.name):
            path.unlink(missing_ok=True)


def atomic_rename(temporary: Path, path: Path) -> None:
    """Rename the finished file `temporary` to `path` (same folder or file system) and make the new name durable."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names of the files in `folder` durable."""
    if os.name == "posix":  # elsewhere a folder cannot be opened, and a rename is durable by itself
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
