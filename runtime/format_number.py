"""Format numbers: a file of a later version is refused, and it is said what to install."""

from __future__ import annotations

from typing import Any

from .errors import StepcellError


def refuse_newer(found: Any, newest: int, name: str, error: type[StepcellError], *, called: str = "format") -> None:
    """Raise `error` where a file has a higher number than this version reads; what is no number is for the caller.

    Args:
        found: The number in the file, or whatever stands in its place.
        newest: The highest number that can be read.
        name: What the file is called, for the message.
        error: What to raise.
        called: What the number is called there.
    """
    if isinstance(found, int) and found > newest:
        known = f"{called} {newest} and older" if newest > 1 else f"{called} {newest}"
        raise error(f"{name} has {called} {found}; this stepcell reads {known}. Upgrade with: pip install -U stepcell")
