"""The compiled engine: runs the plan of a step in C, where `_engine` has been compiled."""

from __future__ import annotations

from pathlib import Path


def require_current(compiled: Path) -> None:
    """Check that an engine is not older than the sources beside it: another version of them would step wrongly.

    An installed package has no sources.

    Raises:
        ImportError: It is.
    """
    age = compiled.stat().st_mtime
    newer = [source.name for source in sorted(compiled.parent.glob("*.[ch]")) if source.stat().st_mtime > age]
    if newer:
        raise ImportError(f"{compiled.name} is older than {', '.join(newer)}")
