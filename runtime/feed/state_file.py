"""A file of saved streams that a feed goes on from and saves to."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from ..errors import OutputError
from ..saved_streams import SavedStreams
from ..saved_streams_reader import read_saved_streams
from ..whole_file import remove_unfinished_parts


class StateFile:
    """A file of saved streams, which belongs to one process at a time.

    Used in a `with` statement: it is held meanwhile, by a lock on a hidden file beside it that stays there and that a
    process loses when it ends, however it ends.
    """

    def __init__(self, path: Path) -> None:
        """Name the file, which need not exist."""
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> StateFile:
        """Hold it.

        Raises:
            OutputError: Another process holds it, or nothing can be written there.
        """
        beside = self.path.with_name(f".{self.path.name}.lock")
        try:
            self._lock = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
            _lock(self._lock)
        except BlockingIOError:
            self.__exit__(None, None, None)
            raise OutputError(
                f"{self.path} is in use: another process saves its streams there. Give each a file of its own."
            ) from None
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        remove_unfinished_parts(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self) -> SavedStreams | None:
        """Return what was saved; None: there is no such file.

        Raises:
            StateNotFoundError, SavedStateError: It cannot be read.
        """
        return read_saved_streams(self.path) if self.path.exists() else None


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: there it is on the user to give each process a file of its own
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
