"""Count lines that are not as they should be, and say so: at the 1st, 10th, 100th, ... and at the end."""

from __future__ import annotations

from collections.abc import Callable


class Tally:
    """The number of lines of one kind, in this run and in all.

    Attributes:
        total: Number of lines in all runs.
        here: Number of lines in this run.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Begin with none; `tell` takes remarks for the user."""
        self.total = self.here = 0
        self._tell = tell

    def count(self, line: int, what: str, why: str) -> None:
        """Count a line; say it of the 1st, 10th, 100th, ... line of this run.

        Args:
            line: Its number.
            what: The consequence, like "is skipped".
            why: The reason.
        """
        self.total += 1
        self.here += 1
        if str(self.here).strip("0") == "1":
            self._tell(f"Line {line} {what} ({self.here:,} so far): {why}")

    def tell_total(self, sentence: str) -> None:
        """Say the number of this run, if it is not 0; `sentence` has it as {}."""
        if self.here:
            self._tell(sentence.format(f"{self.here:,}"))
