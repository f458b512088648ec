"""A file or folder that belongs to one process at a time."""

from __future__ import annotations

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
        beside.touch()  # a lock would make missing folders, and time out in one that cannot be written to
        found.acquire()
    except Timeout:
        raise OutputError(taken) from None
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    return found
