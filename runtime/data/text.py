"""Read text as characters, bytes or words, and files with a symbol on each line."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import CorpusError
from ..format.trained_data import TrainedData
from ..format.vocabulary import unescape_symbol
from . import storage
from .learned import keys_by_content
from .recording import Reader, Recording, SymbolTable
from .storage import Column
from .text_file import open_bytes, open_text
from .words import CURRENT, FIRST, words_of

CHARACTER, BYTE, WORD = "character", "byte", "word"
UNITS = (CHARACTER, BYTE, WORD)
BLOCK = 1 << 20  # characters or bytes in memory at once


@dataclass(frozen=True)
class SymbolsReader(Reader):
    r"""Read files with a symbol on each line, one sequence; newline, tab and backslash are written `\n`, `\t`, `\\`.

    Attributes:
        encoding: Encoding of the file.
    """

    kind = "symbols"
    encoding: str = "utf-8"

    def read(self, path: Path) -> Recording:
        """Read the file at `path`.

        Raises:
            CorpusError: It cannot be read, has another encoding, or is empty.
        """
        table = SymbolTable()
        with open_text(path, self.encoding, "\n") as (text, file):
            ids, empty = array("i"), 0
            for line in text:
                symbol = line.removesuffix("\n").removesuffix("\r")
                if symbol:  # as `predict` leaves out empty lines
                    ids.append(table[symbol])
                else:
                    empty += 1
            sha256, remarks = file.sha256, file.remarks()
        if not ids:
            raise CorpusError(f"{path} is empty.")
        if empty:
            remarks += (f"left out: {empty:,} empty line{'s' * (empty > 1)}",)
        recording = Recording.whole(tuple(map(unescape_symbol, table)), ids, [0, len(ids)], source=str(path))
        return replace(recording, sha256=sha256, found="a symbol on each line", remarks=remarks)


@dataclass(frozen=True)
class TextReader(Reader):
    """Read a text, or a folder of texts in which each file is a sequence.

    Attributes:
        unit: Unit of a symbol: "character"; "byte", written as two hexadecimal digits; "word": a word, a line end or a
            punctuation mark, without blanks.
        encoding: Encoding of the text, unless the unit is a byte.
        end: Symbol before and after each file of a folder; None: there is none.
        word_rules: Version of the rules that cut words, see `words`.

    Raises:
        CorpusError: There is no such unit, or no such version.
    """

    kind = "text"
    unit: str = CHARACTER
    encoding: str = "utf-8"
    end: str | None = None
    word_rules: int = CURRENT

    def __post_init__(self) -> None:
        """Check the unit and the version."""
        if self.word_rules not in (FIRST, CURRENT):
            raise CorpusError(f"The rules of words are of version {self.word_rules!r}, not {FIRST} or {CURRENT}.")
        if self.unit not in UNITS:
            raise CorpusError(f"The unit of a text is {self.unit!r}, not one of {', '.join(UNITS)}.")

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, with their kind; the rules of words only if words are read."""
        values = super().to_json()
        if self.unit != WORD:
            del values["word_rules"]
        return values

    def read(self, path: Path) -> Recording:
        """Read the file at `path`, or all files in and below a folder but those with a leading dot in their path.

        Raises:
            CorpusError: A file cannot be read or has another encoding, or there is no text.
        """
        files = sorted(_files(path)) if path.is_dir() else [path]
        if not files:
            raise CorpusError(f"There are no files in the folder {path}.")
        table, ids, starts, remarks, digests = SymbolTable(), Column(np.int32), [0], [], []
        for file in files:
            digest, its_remarks = self._read_file(file, table, ids)
            digests.append(digest)
            remarks += [f"{file}: {remark}" for remark in its_remarks]
            is_empty = len(ids) == starts[-1]
            if is_empty:
                remarks.append(
                    f"{file} is empty{' and left out' if self.end is None else ': a sequence that ends at once'}"
                )
            if not is_empty or (self.end is not None and path.is_dir()):
                starts.append(len(ids))
        if not len(ids):
            raise CorpusError(f"{path} is empty; there is nothing to learn from.")
        if self.end in table:
            raise CorpusError(f"{path} holds {self.end!r}, the end symbol. Choose another with --end.")
        if path.is_dir():
            names = (f"{file.relative_to(path)}\0{hash}\n" for file, hash in zip(files, digests, strict=True))
            digest = sha256("".join(names).encode(errors="replace")).hexdigest()
        recording = Recording.whole(tuple(table), ids.array(), starts, source=str(path))
        keys = keys_by_content(recording) if len(recording) > 1 else None
        return replace(recording, sha256=digest, found=f"{self.unit}s", remarks=tuple(remarks), keys=keys)

    def split(self, content: str) -> list[str]:
        """Return the symbols of a text."""
        return list(self.symbols([content.encode() if self.unit == BYTE else content]))

    def symbols(self, blocks: Iterable[Any]) -> Iterator[str]:
        """Yield the symbols of a text that comes in blocks, of bytes if the unit is a byte, else of characters."""
        if self.unit == WORD:
            blocks = _words(blocks, self.word_rules)
        symbols = chain.from_iterable(blocks)
        return (f"{byte:02x}" for byte in symbols) if self.unit == BYTE else symbols

    def _read_file(self, path: Path, table: SymbolTable, ids: Column) -> tuple[str, tuple[str, ...]]:
        """Append the symbols of a file to `ids`; return its sha256 and remarks."""
        opened = open_bytes(path) if self.unit == BYTE else open_text(path, self.encoding, None)
        with opened as (content, file):
            found = map(table.__getitem__, self.symbols(iter(lambda: content.read(BLOCK), content.read(0))))
            while some := array("i", islice(found, storage.BLOCK)):
                ids.append(np.asarray(some))
            return file.sha256, file.remarks()


def _words(blocks: Iterable[str], rules: int) -> Iterator[list[str]]:
    """Yield the words of each block; a word that the end of a block cuts comes with the next."""
    rest = ""
    for block in blocks:
        content = rest + block
        cut = max(content.rfind(" "), content.rfind("\n")) + 1
        yield words_of(content[:cut], rules)
        rest = content[cut:]
    yield words_of(rest, rules)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def has_normal_words(data: TrainedData) -> bool:
    """Return whether the training data were words in normal form C, as live lines of the model have to be."""
    is_words = data.kind == TextReader.kind and data.reading.get("unit") == WORD
    return is_words and data.reading.get("word_rules", FIRST) != FIRST
