"""Lets the next state become the state, all of it or nothing of it."""

from __future__ import annotations

from typing import Any


def copy_all(pairs: list[tuple[Any, Any]]) -> None:
    """Copy each source of (target, source) pairs to its target, all of them even if Ctrl-C arrives on the way."""
    try:
        for target, source in pairs:
            target[:] = source
    except BaseException:  # a state of which half has moved would be wrong for ever
        for target, source in pairs:
            target[:] = source
        raise
