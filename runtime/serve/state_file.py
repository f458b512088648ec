"""The file of saved streams that a session goes on from and saves to, and when it saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..common.atomic_write import remove_partial_files
from ..common.lock import lock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file of saved streams at `path` in the block; it belongs to one process at a time.

    The lock is on a hidden file beside it, which stays there. A process that ends in any way loses the lock.

    Raises:
        OutputError: Another process holds it, or its folder cannot be written.
    """
    held = lock(path, f"{path} is in use: another process saves its streams there. Give each a file of its own.")
    try:
        remove_partial_files(path.parent, path.name)
        yield
    finally:
        held.release()


class CheckpointPolicy:
    """Save after so many lines, or so long after the first unsaved line.

    A count alone would leave the last lines before a silence unsaved until the silence ends.
    """

    def __init__(self, save: Callable[[], None], lines: int, seconds: float, now: Callable[[], float]) -> None:
        """Begin with everything saved.

        Args:
            save: Saves.
            lines: Save after so many lines,
            seconds: or after this time.
            now: Returns the time.
        """
        self._save, self._lines, self._seconds, self._now = save, lines, seconds, now
        self._unsaved, self._due = 0, 0.0

    def count(self) -> None:
        """Count an answered line, and save if it is time."""
        if not self._unsaved:
            self._due = self._now() + self._seconds
        self._unsaved += 1
        if self._unsaved >= self._lines:
            self.save()
        self.save_if_due()

    def timeout(self) -> float | None:
        """Return the seconds until the next save; None: everything is saved."""
        return max(0.0, self._due - self._now()) if self._unsaved else None

    def save_if_due(self) -> None:
        """Save if there are unsaved lines and it is time."""
        if self.timeout() == 0:
            self.save()

    def save(self, *, force: bool = False) -> None:
        """Save if there are unsaved lines; `force`: also if there are none."""
        if self._unsaved or force:
            self._save()
            self._unsaved = 0
