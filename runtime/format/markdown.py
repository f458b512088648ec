r"""Markdown and YAML around text of any origin: what stands in a symbol, a name or a file name changes no structure.

A pipe would end a cell of a table, a backtick a code span, a line `---` the metadata. Plain text goes into a code span
as it is; anything else is quoted like in Python and written with character references, which no reader of Markdown
takes for its own marks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.printable import printable, printable_json

_PLAIN = re.compile(r"[\w.:/+=<>,;@#%()-]+(?: [\w.:/+=<>,;@#%()-]+)*")
_WORD = re.compile(r"[a-z][a-z0-9_-]*")
_NOT_TEXT_IN_YAML = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def code(text: str, *, longest: int = 60) -> str:
    r"""Return `text` as a code span, in quotes if there is anything but words in it; longer ones are cut.

    >>> print(code("press 7"), code("a|b\n"))
    `press 7` <code>&#39;a&#124;b&#92;n&#39;</code>
    """
    if len(text) > longest:
        text = text[:longest] + "..."
    if _PLAIN.fullmatch(text) and text.isprintable():
        return f"`{text}`"
    return f"<code>{_referenced(repr(text))}</code>"


def plain(text: str) -> str:
    """Return `text` on one line as text without marks, for a heading."""
    return _referenced(printable(text, one_line=True)) or "&#32;"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(language: str, content: str) -> str:
    """Return a block of code behind a fence that is longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    return f"{fence}{language}\n{content}\n{fence}"


def front_matter(values: Mapping[str, Any]) -> str:
    """Return the metadata at the head of a page: texts, finite numbers, lists and mappings in YAML."""
    return "\n".join(["---", *_yaml(values), "---"])


def _referenced(text: str) -> str:
    return "".join(c if c.isalnum() or c in " .,-" else f"&#{ord(c)};" for c in text)


def _yaml(value: Any) -> list[str]:
    """Return the lines of a mapping or list."""
    lines = []
    pairs = value.items() if isinstance(value, Mapping) else (("-", each) for each in value)
    for name, each in pairs:
        key = name if name == "-" else f"{name}:"
        if isinstance(each, (str, int, float)):
            lines.append(f"{key} {_scalar(each)}")
            continue
        inner = _yaml(each)
        if name == "-":  # the first line of a mapping stands behind the dash
            lines += [f"- {inner[0]}", *(f"  {line}" for line in inner[1:])]
        else:
            lines += [key, *(f"  {line}" for line in inner)]
    return lines


def _scalar(value: str | int | float) -> str:
    if isinstance(value, str):
        if _WORD.fullmatch(value) and value not in _NOT_TEXT_IN_YAML:
            return value
        quoted = printable_json(printable(value, one_line=True))
        return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
    number = f"{value:.6g}"
    # A number with an exponent needs a point in YAML 1.1.
    return number.replace("e", ".0e") if "e" in number and "." not in number else number
