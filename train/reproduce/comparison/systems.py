"""All systems, and how to find one."""

from __future__ import annotations

from collections.abc import Sequence

from ....runtime.common.errors import ProblemError
from .extensions import EXTENSIONS
from .paper import PAPER
from .questions import QUESTIONS
from .system import System
from .tutorials import TUTORIALS

SYSTEMS: tuple[System, ...] = (*TUTORIALS, *QUESTIONS, *EXTENSIONS, *PAPER)


def systems(names: Sequence[str] = ()) -> list[System]:
    """Return the systems with these names or of these groups; all of them if none are given.

    Raises:
        ProblemError: A name is neither; all such names are listed.
    """
    known = {system.name for system in SYSTEMS} | {system.group for system in SYSTEMS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ProblemError(
            f"There is no system or group called {', '.join(map(repr, unknown))}. Groups: "
            f"{', '.join(dict.fromkeys(system.group for system in SYSTEMS))}. Systems: "
            f"{', '.join(system.name for system in SYSTEMS)}."
        )
    return [system for system in SYSTEMS if not names or system.name in names or system.group in names]
