"""How the symbols of a model are written as one text, and read back."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .manifest import Manifest
from .reading.text_reading import BYTE, CHARACTER, WORD, TextReading
from .symbol_text import read_symbols, separator_of
from .vocabulary import Vocabulary, escape_symbol, unescape_symbol


@dataclass(frozen=True)
class Notation:
    """How symbols are written: as the text that a model was trained on, or else with what tells them apart.

    Attributes:
        vocabulary: The symbols.
        unit: What a symbol of that text is, one of `UNITS`; None: the model was not trained on a text.
        end: The symbol between two sequences; None: there is none.
    """

    vocabulary: Vocabulary
    unit: str | None = None
    end: str | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Notation:
        """Return that of a model."""
        data: Any = manifest.training.get("data")
        data = data if isinstance(data, dict) else {}
        reading = data.get("reading")
        unit = reading.get("unit") if isinstance(reading, dict) and reading.get("kind") == "text" else None
        end = data.get("end")
        is_symbol = isinstance(end, str) and end in manifest.vocabulary
        return cls(
            manifest.vocabulary,
            unit if unit in (CHARACTER, BYTE, WORD) else None,
            end if is_symbol else None,
        )

    def read(self, text: str) -> list[str]:
        r"""Return the symbols in `text`; `\n`, `\t` and `\\` stand for newline, tab and backslash.

        Whether they are in the vocabulary is not checked.
        """
        if self.unit is None:
            return read_symbols(text, self.vocabulary)
        symbols: list[str] = []
        reading = TextReading(self.unit)
        for number, part in enumerate(text.split(self.end) if self.end else [text]):
            symbols += [self.end] if number and self.end else []
            symbols += reading.split(unescape_symbol(part))
        return symbols

    def read_prompt(self, text: str) -> list[str]:
        """Return the symbols in `text`; of an empty one the end symbol, if there is one: it begins a sequence."""
        return self.read(text) or ([] if self.end is None else [self.end])

    def read_symbol(self, text: str) -> str:
        r"""Return the one symbol that `text` is, as it stands or written with `\n`, `\t` and `\\`."""
        return text if text in self.vocabulary else unescape_symbol(text)

    def line(self, symbols: Iterable[str]) -> str:
        """Return `symbols` as one line of text, newlines within it escaped."""
        return escape_symbol("".join(self.write(symbols)))

    def write(self, symbols: Iterable[str]) -> Iterator[str]:
        """Yield `symbols` as they come, each with what stands before it; a byte that ends no character gives ""."""
        if self.unit == BYTE:
            yield from _decoded(symbols)
            return
        if self.unit == CHARACTER or (self.unit is None and not separator_of(self.vocabulary)):
            yield from symbols
            return
        separator, before = separator_of(self.vocabulary) if self.unit is None else " ", None
        for symbol in symbols:
            written = escape_symbol(symbol) if self.unit is None else symbol
            is_at_line_end = "\n" in (before, written)  # of a text: else newlines are escaped
            yield written if before is None or is_at_line_end else separator + written
            before = written


def _decoded(symbols: Iterable[str]) -> Iterator[str]:
    decoder = getincrementaldecoder("utf-8")("replace")
    for symbol in symbols:
        try:
            yield decoder.decode(bytes.fromhex(symbol))
        except ValueError:  # the end, or the unknown symbol
            yield decoder.decode(b"", True) + symbol
    yield decoder.decode(b"", True)
