"""The vocabulary: symbols and their ids, in files and as people type them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..common.arrays import Ids
from ..common.errors import UnknownSymbolError, VocabularyError, raise_if_any
from ..common.printable import printable


def json_text(value: Any) -> str | None:
    """Return a JSON value as the text of a symbol or key: a string as it is, others as JSON writes them; None for null.

    >>> json_text("a"), json_text(3), json_text(True), json_text(None)
    ('a', '3', 'true', None)

    Raises:
        ValueError: It is a list or an object; the text says which.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        raise ValueError("a list" if isinstance(value, list) else "an object")
    return json.dumps(value)


# So that every symbol fits on one line of a terminal or a text file.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}

_BEGINS_JSON = re.compile(r'\s*(\[\s*"([^"\\]|\\.)*"\s*[,\]]|\{\s*"([^"\\]|\\.)*"\s*:)')
_LONGEST_SHOWN = 80  # characters of an unknown symbol in a message: a line of a wrong file may have millions


@dataclass(frozen=True)
class Vocabulary:
    r"""The symbols a model knows, in the order of their ids.

    Attributes:
        symbols: The symbols; a symbol is any string that is not empty, its id is its position.
        unknown: The symbol of `symbols` for every symbol that is not listed; None: such symbols are refused.

    Raises:
        VocabularyError: No symbols, one twice, one that is not a string, or an `unknown` that is not listed.

    >>> letters = Vocabulary(tuple("abc"))
    >>> letters.encode("c"), letters.decode(0), len(letters)
    (2, 'a', 3)
    """

    symbols: tuple[str, ...]
    unknown: str | None = None
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the symbols and index them."""
        problems = []
        if not self.symbols:
            problems.append("it has no symbols")
        wrong = [symbol for symbol in self.symbols if not _is_symbol(symbol)]
        if wrong:
            problems.append(f"symbols are strings of Unicode and not empty, found {wrong[0]!r}")
        else:
            ids = {symbol: id for id, symbol in enumerate(self.symbols)}
            object.__setattr__(self, "_ids", ids)
            if len(ids) < len(self.symbols):
                twice = next(symbol for id, symbol in enumerate(self.symbols) if ids[symbol] != id)
                problems.append(f"it has the symbol {twice!r} twice")
            if self.unknown is not None and self.unknown not in ids:
                problems.append(f"the unknown symbol {self.unknown!r} is not one of its symbols")
        raise_if_any(problems, "This vocabulary cannot be used", VocabularyError)

    @classmethod
    def none(cls) -> Vocabulary:
        """Return the vocabulary without symbols, for models that read features alone."""
        empty = object.__new__(cls)
        for name, value in (("symbols", ()), ("unknown", None), ("_ids", {})):
            object.__setattr__(empty, name, value)
        return empty

    @classmethod
    def of_ids(cls, size: int) -> Vocabulary:
        """Return the vocabulary "0", "1", ..., for models that come without symbols.

        Args:
            size: The number of ids.
        """
        return cls(tuple(str(id) for id in range(size)))

    @classmethod
    def of_text(cls, text: str) -> Vocabulary:
        """Return the vocabulary of characters, in order of their code points.

        Args:
            text: The text that they occur in.
        """
        return cls(tuple(sorted(set(text))))

    @classmethod
    def from_file_content(cls, content: str) -> Vocabulary:
        r"""Read a vocabulary file.

        It is a JSON list of the symbols, a JSON object of symbols and their ids or of ids and their symbols, or has one
        symbol per line (`\n`, `\t`, `\\` escaped).

        Raises:
            VocabularyError: The content is none of these, or its symbols are not a vocabulary.
        """
        if content.lstrip()[:1] in ("[", "{"):
            try:
                found = json.loads(content, object_pairs_hook=list)
            except (ValueError, RecursionError) as error:  # ValueError: an integer of thousands of digits too
                if _BEGINS_JSON.match(content):
                    raise VocabularyError(f"The vocabulary begins as JSON, but is not: {error}.") from error
                # a vocabulary of one symbol per line may begin with "[" or "{"
            else:
                is_object = content.lstrip().startswith("{")
                return cls(_by_id(found) if is_object else tuple(found))
        return cls(tuple(_by_line(content)))

    @property
    def id_by_symbol(self) -> dict[str, int]:
        """Symbol -> id, for reading."""
        return self._ids

    def __len__(self) -> int:
        """Return the number of symbols."""
        return len(self.symbols)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the symbols in the order of their ids."""
        return iter(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        """Tell whether `symbol` is listed."""
        return symbol in self._ids

    def encode(self, symbol: str) -> int:
        """Return the id of a symbol.

        Args:
            symbol: A symbol that is listed; any symbol if there is an unknown symbol.

        Raises:
            UnknownSymbolError: `symbol` is not listed and there is no unknown symbol.
        """
        try:
            return self._ids[symbol]
        except (KeyError, TypeError):  # not listed, or nothing that could be: a list, for example
            pass
        if self.unknown is not None and isinstance(symbol, str):
            return self._ids[self.unknown]
        shown = repr(symbol)
        if len(shown) > _LONGEST_SHOWN:
            shown = f"{shown[:_LONGEST_SHOWN]}... ({len(shown):,} characters)"
        raise UnknownSymbolError(f"Symbol {shown} is not in the vocabulary ({self.describe()}).{self._hint(symbol)}")

    def encode_all(self, symbols: Iterable[str]) -> Ids:
        """Return the ids of `symbols`, int32 of shape (T,).

        Raises:
            UnknownSymbolError: As `encode` does, for the first symbol that is not listed; the message says which it is.
        """
        symbols = symbols if isinstance(symbols, (str, list, tuple)) else tuple(symbols)
        try:
            return np.fromiter(map(self._ids.__getitem__, symbols), np.int32, len(symbols))
        except (KeyError, TypeError):  # some are not listed, or nothing that could be
            pass
        ids = []
        for position, symbol in enumerate(symbols, start=1):
            try:
                ids.append(self.encode(symbol))
            except UnknownSymbolError as error:
                raise UnknownSymbolError(f"{error} It is number {position:,} of {len(symbols):,}.") from None
        return np.array(ids, np.int32)

    def decode(self, id: int) -> str:
        """Return the symbol of an id.

        Args:
            id: From 0 on.

        Raises:
            IndexError: There is no such id; negative ids do not count from the end.
        """
        if not 0 <= id < len(self.symbols):
            raise IndexError(f"Id {id} is not one of 0 to {len(self.symbols) - 1}.")
        return self.symbols[id]

    def describe(self) -> str:
        """Return the size and the first symbols in a few words, for messages."""
        shown = ", ".join(repr(symbol) for symbol in self.symbols[:3])
        return f"{len(self.symbols)} symbols: {shown}{', ...' if len(self.symbols) > 3 else ''}"

    def _hint(self, symbol: object) -> str:
        if not isinstance(symbol, str) and str(symbol) in self._ids:
            return f" Symbols are strings: give {str(symbol)!r}."
        return ""


def _by_id(pairs: list[tuple[str, Any]]) -> tuple[str, ...]:
    """Return the symbols of a JSON object: symbol -> id, or id -> symbol."""
    if pairs and all(isinstance(value, str) and key.isdecimal() for key, value in pairs):
        pairs = [(value, int(key)) for key, value in pairs]
    wrong = [key for key, value in pairs if type(value) is not int]
    if wrong or not pairs:
        keys = ", ".join(repr(key) for key, _ in pairs[:3]) or "nothing"
        raise VocabularyError(
            f"The vocabulary is a JSON object with {keys}; it must hold symbols and their ids, "
            '{"a": 0, "b": 1}, or be a list of symbols: ["a", "b"].'
        )
    problems = []
    ids = [id for _, id in pairs]
    twice = sorted(id for id, count in Counter(ids).items() if count > 1)[:5]
    problems += [f"several symbols have the id {id}" for id in twice]
    missing = sorted(set(range(len(ids))) - set(ids))[:5]  # an id may be anything: no range to the highest
    if min(ids) < 0:
        problems.append(f"an id is {min(ids)}")
    if missing:
        hint = " (the Tokenizer of Keras counts from 1: 0 is padding, name it too)" if missing[0] == 0 else ""
        problems.append(f"no symbol has the id {', '.join(map(str, missing))}{hint}")
    raise_if_any(problems, f"The vocabulary needs the ids 0 to {len(ids) - 1}, each once", VocabularyError)
    return tuple(symbol for symbol, _ in sorted(pairs, key=lambda pair: pair[1]))


def _by_line(content: str) -> Iterator[str]:
    """Yield the symbols of a file with one on each line."""
    lines = [line.removesuffix("\r") for line in content.split("\n")]
    while lines and not lines[-1]:
        del lines[-1]
    problems = []
    empty = [number for number, line in enumerate(lines, start=1) if not line]
    if empty:
        problems.append(f"line {empty[0]:,} is empty; a newline as a symbol is written \\n")
    tabs = [number for number, line in enumerate(lines, start=1) if "\t" in line]
    if tabs:
        problems.append(
            f"line {tabs[0]:,} has a tab; a tab in a symbol is written \\t, and columns beside it are cut off"
        )
    ends = [line.rpartition(",")[2].strip() for line in lines if "," in line.strip()]
    if len(ends) == len(lines) > 1 and sorted(ends) == sorted(map(str, range(len(lines)))):
        problems.append("its lines look like symbol,id; keep the symbols alone, in the order of their ids")
    raise_if_any(problems, "The vocabulary has one symbol per line", VocabularyError)
    yield from map(unescape_symbol, lines)


def _is_symbol(symbol: object) -> bool:
    try:
        return isinstance(symbol, str) and bool(symbol.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def escape_symbol(symbol: str) -> str:
    r"""Return `symbol` on one line: newline as `\n`, tab as `\t`, carriage return as `\r`, backslash as `\\`."""
    return "".join(_ESCAPES.get(character, character) for character in symbol)


def show_symbol(symbol: str) -> str:
    r"""Return `symbol` as it is printed: like `escape_symbol`, and other control characters as `\x1b`."""
    return printable(escape_symbol(symbol), one_line=True)


def unescape_symbol(line: str) -> str:
    r"""Return the symbol that `escape_symbol` wrote as `line`; a backslash that begins no escape is itself."""
    pieces = []
    position = 0
    while position < len(line):
        pair = line[position : position + 2]
        pieces.append(_UNESCAPES.get(pair, line[position]))
        position += 2 if pair in _UNESCAPES else 1
    return "".join(pieces)


def read_symbol(text: str, vocabulary: Vocabulary) -> str:
    r"""Return the symbol that `text` stands for: escaped as `escape_symbol` does, or literally.

    Where both are symbols it is escaped: of a newline and the two characters `\n` the text `\n` is the newline, and
    `\\n` the two characters. The symbol need not be in the vocabulary.
    """
    symbol = unescape_symbol(text)
    return text if symbol not in vocabulary and text in vocabulary else symbol


def read_symbols(text: str, vocabulary: Vocabulary) -> list[str]:
    r"""Return the symbols in `text`: the words between blanks, or each character if all symbols are characters.

    Newline, tab and backslash as symbols are written `\n`, `\t` and `\\`. Blanks between characters count only if a
    blank is a symbol. If symbols contain blanks, each is on a line of its own. The symbols need not be in the
    vocabulary.
    """
    separator = separator_of(vocabulary)
    if separator:
        parts = text.split() if separator == " " else filter(None, text.split(separator))
        return [read_symbol(part, vocabulary) for part in parts]
    characters = unescape_symbol(text)
    return [character for character in characters if character in vocabulary or not character.isspace()]


def separator_of(vocabulary: Vocabulary) -> str:
    """Return the separator of symbols: nothing, a blank, or a newline if symbols contain blanks.

    The unknown symbol may be a word among characters.
    """
    known = [symbol for symbol in vocabulary if symbol != vocabulary.unknown]
    if all(len(symbol) == 1 for symbol in known):
        return ""
    return "\n" if any(character.isspace() for symbol in known for character in escape_symbol(symbol)) else " "


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary file in UTF-8; see `Vocabulary.from_file_content`.

    Raises:
        VocabularyError: It cannot be read, or holds no vocabulary.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
        if path.suffix == ".json":
            json.loads(content)  # or it would be read as a list of lines
    except OSError as error:
        raise VocabularyError(f"Cannot read the vocabulary {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise VocabularyError(f"The vocabulary {path} is not UTF-8: byte {error.start} is wrong.") from error
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"The vocabulary {path} is not JSON: {error}.") from error
    try:
        return Vocabulary.from_file_content(content)
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}") from error
