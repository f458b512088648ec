"""A file or folder that belongs to one process at a time."""

from __future__ import annotations

import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import OutputError

if TYPE_CHECKING:
    from filelock import BaseFileLock


def lock(path: Path, taken: str) -> BaseFileLock:
    """Lock `path` until the lock is released or this process ends, in whatever way.

    The lock is on a hidden file beside it, which stays there. Paths that lead to one file through symbolic links share
    a lock.

    Args:
        path: A file or folder; it need not exist, but its parent has to.
        taken: The message where another process, or another part of this one, has the lock.

    Raises:
        OutputError: It has been taken, or the folder of `path` cannot be written.
    """
    from filelock import FileLock, Timeout  # takes long to import

    path = path.resolve()
    beside = path.with_name(f".{path.name}.lock")
    found = FileLock(beside, timeout=0)
    try:
        while not found.is_locked:
            beside.touch()  # a lock would make missing folders, and time out in one that cannot be written to
            found.acquire()
            if not beside.exists():  # its owner has just removed it: the lock is on no file
                found.release()
    except Timeout:
        raise OutputError(taken) from None
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    return found


def is_locked(path: Path) -> bool:
    """Return whether some process has locked `path` with `lock`. Nothing is written.

    A process that locks it in the same instant may find it taken.
    """
    path = path.resolve()
    beside = path.with_name(f".{path.name}.lock")
    try:
        import fcntl
    except ImportError:  # Windows
        return beside.exists() and not _can_lock(beside)
    try:
        with open(beside, "rb") as file:  # needs no right to write
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _can_lock(beside: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(beside, timeout=0):
            return True
    except (Timeout, OSError):
        return False


LOCK_FILE = ".stepcell.lock"


class FolderLock:
    """A folder that belongs to one process at a time, until it is released or there is no such object any more.

    The file of the lock is in the folder and goes with the lock, unless the process is killed.
    """

    def __init__(self, folder: Path, work: str) -> None:
        """Lock `folder`, which exists; `work` is what another process does there, for the message.

        Raises:
            OutputError: Another process, or another part of this one, has it.
        """
        held = lock(
            folder / LOCK_FILE.split(".")[1],
            f"{folder} is in use: another {work} writes there. Wait for its end, or give a folder of its own.",
        )
        self.release = weakref.finalize(self, _remove, held, folder / LOCK_FILE)

    def __enter__(self) -> FolderLock:
        """Return the lock; it is released at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Release it."""
        self.release()


def _remove(held: BaseFileLock, path: Path) -> None:
    with suppress(OSError):  # Windows removes no open file
        path.unlink(missing_ok=True)
    held.release()
