"""Refuses values, all that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.common.errors import ProblemError


def refuse_if_any(problems: Sequence[str], consequence: str) -> None:
    """Raise where there are `problems`.

    Raises:
        ProblemError: There are; the `consequence` comes first, then each of them.
    """
    if problems:
        raise ProblemError(f"{consequence}: {'; '.join(problems)}.")
