"""What is wrong with a file, line by line, said all at once."""

from __future__ import annotations

from ..errors import CorpusError

_SHOWN = 5
_ENOUGH = 10_000  # a file with more of them is not what its reader takes it for


class Complaints:
    """Collects what is wrong with lines and refuses the file in the end."""

    def __init__(self, source: str) -> None:
        """Begin without any; `source` is the file."""
        self._source = source
        self._shown: list[str] = []
        self._count = 0

    def add(self, line: int, problem: str) -> None:
        """Note that `line` has a problem.

        Raises:
            CorpusError: There are so many that reading on is no use.
        """
        self._count += 1
        if len(self._shown) < _SHOWN:
            self._shown.append(f"  line {line:,}: {problem}")
        if self._count >= _ENOUGH:
            self.refuse_if_any("or more")

    def refuse_if_any(self, more: str = "") -> None:
        """Raise where there are complaints.

        Raises:
            CorpusError: There are; the first are shown.
        """
        if not self._count:
            return
        lines = "1 line" if self._count == 1 else f"{self._count:,}{more and ' ' + more} lines"
        hidden = self._count - len(self._shown)
        tail = [f"  and {hidden:,} more"] if hidden else []
        raise CorpusError("\n".join([f"{self._source} cannot be used: {lines} wrong.", *self._shown, *tail]))
