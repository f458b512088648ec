r"""Text and JSON for a terminal: what comes from a file never controls it.

A symbol, a name or a key may hold any character. An escape sequence among them could rewrite the screen, and a
right-to-left override could show a line as another one.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

# Control characters (C0, delete, C1), line and paragraph separators, overrides of the direction, half surrogate pairs.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_ANY, _BUT_LAYOUT = re.compile(f"[{_CONTROL}]"), re.compile(rf"(?![\n\t])[{_CONTROL}]")
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode  # json.dumps makes an encoder for each call


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: "1 stream", "2,000 streams"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Return `text` with its control characters written as escapes: `\x1b`, `\u202e`.

    Args:
        text: Text for people.
        one_line: Escape newlines and tabs too; else they stay.

    >>> print(printable("a\x1b[2J\tb"))
    a\x1b[2J	b
    """
    return (_ANY if one_line else _BUT_LAYOUT).sub(_escaped, text)


def printable_json(value: Any, *, indent: int | None = None) -> str:
    r"""Return `value` as JSON that is safe to print: letters as they are, control characters like `\u009b`.

    A number that is not finite is null: JSON has none, and what reads it refuses `NaN`.
    """
    try:
        shown = _json(value, indent)
    except ValueError:
        shown = _json(_finite(value), indent)
    if shown.isascii() and "\x7f" not in shown:  # JSON escapes the others
        return shown
    return _BUT_LAYOUT.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)


def _json(value: Any, indent: int | None) -> str:
    if indent is None:
        return _encode(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def _finite(value: Any) -> Any:
    """Return a value with None in place of the numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _escaped(found: re.Match[str]) -> str:
    named, code = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}, ord(found[0])
    return named.get(found[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
