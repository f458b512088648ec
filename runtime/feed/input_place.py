"""A place in a file of lines, which is found again later if the file is still the same up to there."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

_COMPARED = 4096  # bytes before the place


@dataclass(frozen=True)
class InputPlace:
    """Where the next line begins.

    Attributes:
        path: The file, from the root and without links.
        position: In bytes.
        line: How many lines there are before.
        before: sha256 of the bytes before, 4096 of them or as many as there are.
    """

    path: str
    position: int
    line: int
    before: str

    @classmethod
    def of(cls, path: Path, descriptor: int, position: int, line: int) -> InputPlace:
        """Return the place at `position` in the open file."""
        return cls(str(path.resolve()), position, line, _digest(descriptor, position))

    @classmethod
    def from_json(cls, found: Any) -> InputPlace | None:
        """Read what `to_json` returned; None: it is something else."""
        kinds = {"path": str, "position": int, "line": int, "before": str}
        if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in kinds.items()):
            return None
        if found["position"] < 0 or found["line"] < 0:
            return None
        return cls(**{name: found[name] for name in kinds})

    def to_json(self) -> dict[str, Any]:
        """Return the place as a JSON object."""
        return asdict(self)

    def is_in(self, path: Path, descriptor: int) -> bool:
        """Tell whether the file has this path, and is before this place what it was."""
        return str(path.resolve()) == self.path and _digest(descriptor, self.position) == self.before


def _digest(descriptor: int, position: int) -> str:
    first = max(0, position - _COMPARED)
    os.lseek(descriptor, first, os.SEEK_SET)
    content = b""
    while len(content) < position - first:
        part = os.read(descriptor, position - first - len(content))
        if not part:
            break
        content += part
    return sha256(content).hexdigest()
