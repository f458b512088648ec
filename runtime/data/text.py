"""How text is read: as characters, bytes or words.

Reads files that hold a symbol on each line, as `stepcell predict` does.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import CorpusError
from ..format.vocabulary import unescape_symbol
from .recording import Recording
from .text_file import HashingReader, open_text


@dataclass(frozen=True)
class SymbolsReader:
    r"""A symbol on each line, one sequence; newline, tab and backslash are written `\n`, `\t` and `\\`.

    Attributes:
        encoding: Of the file.
    """

    encoding: str = "utf-8"

    def read(self, path: Path) -> Recording:
        """Read the file at `path`.

        Raises:
            CorpusError: It cannot be read, is in another encoding, or holds nothing.
        """
        known: dict[str, int] = {}
        ids = array("i")
        with open_text(path, self.encoding, "\n") as (text, file):
            for line in text:
                ids.append(known.setdefault(line.rstrip("\r\n"), len(known)))
            sha256, remarks = file.sha256, file.remarks()
        if not ids:
            raise CorpusError(f"{path} is empty.")
        symbols = tuple(unescape_symbol(line) for line in known)
        starts = np.array([0, len(ids)], np.int64)
        recording = Recording.whole(symbols, np.frombuffer(ids, np.int32), starts, source=str(path))
        return replace(recording, sha256=sha256, found="a symbol on each line", remarks=remarks)

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, with their kind."""
        return {"kind": "symbols", "encoding": self.encoding}


CHARACTER, BYTE, WORD = "character", "byte", "word"
UNITS = (CHARACTER, BYTE, WORD)
_BLOCK = 1 << 20  # characters or bytes that are in memory at once
_WORDS = re.compile(r"\w+(?:['\u2019]\w+)*|\n|[^\w\s]")  # words, line ends, and every other mark by itself


@dataclass(frozen=True)
class TextReader:
    """How a text is read, or a folder of texts: then each file is a sequence.

    Attributes:
        unit: What a symbol is: "character"; "byte", written as two hexadecimal digits; "word": a word, a line end, or a
            punctuation mark, and blanks are dropped.
        encoding: Of the text, unless it is read as bytes.
        end: Symbol that stands before and behind each file of a folder; None: there is none.

    Raises:
        CorpusError: There is no such unit.
    """

    unit: str = CHARACTER
    encoding: str = "utf-8"
    end: str | None = None

    def __post_init__(self) -> None:
        """Check the unit."""
        if self.unit not in UNITS:
            raise CorpusError(f"The unit of a text is {self.unit!r}, not one of {', '.join(UNITS)}.")

    def read(self, path: Path) -> Recording:
        """Read the file at `path`, or all files in the folder and below it; those that begin with a dot are left out.

        Raises:
            CorpusError: Something cannot be read, is in another encoding, or is empty.
        """
        files = sorted(_files(path)) if path.is_dir() else [path]
        if not files:
            raise CorpusError(f"There are no files in the folder {path}.")
        known: dict[str, int] = {}
        ids, starts, remarks = array("i"), [0], []
        digests = sha256()
        for file in files:
            found, its_remarks = self._read_file(file, known, ids)
            digests.update(f"{file.relative_to(path)}\0{found}\n".encode(errors="replace") if path.is_dir() else b"")
            remarks += [f"{file}: {remark}" for remark in its_remarks]
            if len(ids) == starts[-1]:
                remarks.append(f"{file} is empty and left out")
            else:
                starts.append(len(ids))
        if not ids:
            raise CorpusError(f"{path} is empty; there is nothing to learn from.")
        if self.end in known:
            raise CorpusError(f"{path} holds {self.end!r}, the end symbol. Call it otherwise with --end.")
        recording = Recording.whole(
            tuple(known), np.frombuffer(ids, np.int32), np.array(starts, np.int64), source=str(path)
        )
        digest = digests.hexdigest() if path.is_dir() else found
        return replace(recording, sha256=digest, found=f"{self.unit}s", remarks=tuple(remarks))

    def split(self, content: str) -> list[str]:
        """Return the symbols of a text that is at hand."""
        known: dict[str, int] = {}
        ids = array("i")
        _collect(self._symbols([content] if self.unit != BYTE else [content.encode()]), known, ids)
        symbols = list(known)
        return [symbols[id] for id in ids]

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, with their kind."""
        return {"kind": "text", **asdict(self)}

    def _read_file(self, path: Path, known: dict[str, int], ids: array[int]) -> tuple[str, tuple[str, ...]]:
        """Append the symbols of a file to `ids`; return its sha256 and remarks."""
        if self.unit == BYTE:
            try:
                with HashingReader(path) as file:
                    _collect(self._symbols(iter(lambda: file.read(_BLOCK), b"")), known, ids)
                    return file.sha256, file.remarks()
            except OSError as error:
                raise CorpusError(f"Cannot read {path}: {error.strerror or error}.") from error
        with open_text(path, self.encoding, None) as (text, file):
            _collect(self._symbols(iter(lambda: text.read(_BLOCK), "")), known, ids)
            return file.sha256, file.remarks()

    def _symbols(self, blocks: Iterable[Any]) -> Iterator[Iterable[str]]:
        """Yield the symbols of each block."""
        if self.unit == WORD:
            yield from _words(blocks)
            return
        for block in blocks:
            yield block if self.unit == CHARACTER else (f"{byte:02x}" for byte in block)


def _collect(parts: Iterable[Iterable[str]], known: dict[str, int], ids: array[int]) -> None:
    for symbols in parts:
        ids.extend(known.setdefault(symbol, len(known)) for symbol in symbols)


def _words(blocks: Iterable[str]) -> Iterator[Iterable[str]]:
    """Yield the words of each block; one that the end of a block cuts through comes with the next."""
    kept = ""
    for block in blocks:
        content = kept + block
        cut = max(content.rfind(" "), content.rfind("\n")) + 1
        yield _WORDS.findall(content[:cut])
        kept = content[cut:]
    yield _WORDS.findall(kept)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path
