"""The pages of the documentation and the blocks of code in them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>not run|numbers differ|output differs): (?P<reason>[^\n]+) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```$(?P<output>\n\n```text\n(?P<shown>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        line: Where it begins.
        language: python, sh (commands) or console (commands behind `$ ` and what they print); or what is never run.
        code: What is in it.
        shown: What the page says that Python code prints; None if it does not say it.
        mark: "not run", or what may be others each time: "numbers differ", "output differs"; "" for all else.
        reason: Why.
    """

    line: int
    language: str
    code: str
    shown: str | None
    mark: str
    reason: str


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in their order, but not the output behind a block of Python."""
    text = page.read_text()
    return [
        Block(
            text[: found.start("language")].count("\n") + 1,
            found["language"],
            found["code"],
            found["shown"] if found["language"] == "python" else None,
            found["mark"] or "",
            found["reason"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def exchanges(block: Block) -> list[tuple[str, str]]:
    """Return each command of a block with the output that is shown under it; commands of `sh` show none."""
    if block.language == "sh":
        return [(block.code, "")]
    parts = re.split(r"^\$ ((?:[^\n]*\\\n)*[^\n]*)\n", block.code, flags=re.MULTILINE)
    assert parts[0] == "", f"line {block.line}: a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def stepcell_commands(block: Block) -> list[list[str]]:
    """Return the arguments of every call of `stepcell` in a block of commands, wherever it stands in a pipe."""
    text = "\n".join(command for command, _ in exchanges(block)).replace("\\\n", " ")
    words = shlex.shlex(re.sub(r"(^|\s)#.*", "", text), posix=True, punctuation_chars="|<>;&\n")
    words.whitespace, words.whitespace_split, words.commenters = " \t", True, ""
    found: list[list[str]] = []
    command: list[str] = []
    redirected = False
    for word in (*words, "\n"):
        if set(word) <= set("<>"):
            redirected = True
        elif redirected:
            redirected = False  # a file
        elif set(word) <= set("|;&\n"):
            if command and Path(command[0]).name == "stepcell":
                found.append(command[1:])
            command = []
        else:
            command.append(word)
    return found
