"""When a feed saves."""

from __future__ import annotations

import time
from collections.abc import Callable


class SavingRhythm:
    """When to save: after so many lines, or so long after the first that is not saved, whichever comes first.

    A count alone would leave the last lines before a silence unsaved until the silence ends.
    """

    def __init__(self, save: Callable[[], None], lines: int, seconds: float) -> None:
        """Begin with everything saved.

        Args:
            save: Saves.
            lines: After so many lines.
            seconds: Or after this time.
        """
        self._save, self._lines, self._seconds = save, lines, seconds
        self._unsaved, self._due = 0, 0.0

    def count(self) -> None:
        """Take note of a line that has been answered; save if it is time."""
        if not self._unsaved:
            self._due = time.monotonic() + self._seconds
        self._unsaved += 1
        if self._unsaved >= self._lines or time.monotonic() >= self._due:
            self.save()

    def patience(self) -> float | None:
        """Return how many seconds there are until something must be saved; None: there is nothing to save."""
        return max(0.0, self._due - time.monotonic()) if self._unsaved else None

    def save_if_due(self) -> None:
        """Save if the time has come, and there is something to save."""
        if self.patience() == 0:
            self.save()

    def save(self) -> None:
        """Save if there is something to save."""
        if self._unsaved:
            self._save()
            self._unsaved = 0
