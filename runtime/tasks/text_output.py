"""Write the symbols of a model as text or JSON, and read them back."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.printable import printable, printable_json
from ..data.text import BYTE, CHARACTER, WORD, TextReader
from ..data.words import CURRENT, FIRST
from ..format.manifest import Manifest
from ..format.trained_data import TEXT
from ..format.vocabulary import Vocabulary, escape_symbol, read_symbol, read_symbols, separator_of, unescape_symbol
from .generate import Continuation


@dataclass(frozen=True)
class SymbolFormatter:
    """Converts symbols to text and back: the text that a model was trained on, or symbols with separators.

    Attributes:
        vocabulary: The symbols.
        unit: The unit of that text that is a symbol, one of `UNITS`; None: the model was not trained on text.
        end: The symbol between two sequences; None: there is none.
        word_rules: Version of the rules that cut words.
    """

    vocabulary: Vocabulary
    unit: str | None = None
    end: str | None = None
    word_rules: int = CURRENT

    @classmethod
    def of(cls, manifest: Manifest) -> SymbolFormatter:
        """Return the formatter of a model."""
        data = manifest.trained_data
        reading: Mapping[str, Any] = data.reading if data.kind == TEXT else {}
        unit = reading.get("unit")
        rules = reading.get("word_rules", FIRST) if unit == WORD else CURRENT
        unit = unit if unit in (CHARACTER, BYTE, WORD) else None
        return cls(manifest.vocabulary, unit, data.end, rules if rules in (FIRST, CURRENT) else CURRENT)

    def read(self, text: str) -> list[str]:
        r"""Return the symbols in `text`; `\n`, `\t` and `\\` stand for newline, tab and backslash.

        Whether they are in the vocabulary is not checked.
        """
        if self.unit is None:
            return read_symbols(text, self.vocabulary)
        symbols: list[str] = []
        reading = TextReader(self.unit, word_rules=self.word_rules)
        for number, part in enumerate(text.split(self.end) if self.end else [text]):
            symbols += [self.end] if number and self.end else []
            symbols += reading.split(unescape_symbol(part))
        return symbols

    def read_symbol(self, text: str) -> str:
        r"""Return `text` as one symbol, literal or written with `\n`, `\t` and `\\`."""
        return read_symbol(text, self.vocabulary)

    def line(self, symbols: Iterable[str]) -> str:
        """Return `symbols` as one line of text, newlines within it escaped."""
        return printable(escape_symbol("".join(self.write(symbols))))

    def write(self, symbols: Iterable[str]) -> Iterator[str]:
        """Yield each of `symbols` as text, with its separator before it; a byte that ends no character gives ""."""
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


def write_symbols(
    formatter: SymbolFormatter, prompt: Sequence[str], symbols: Iterable[str], *, as_json: bool
) -> Iterator[str]:
    """Yield generated symbols as text as they come, and a newline after the last; JSON with the prompt in one piece."""
    if as_json:
        yield printable_json({"prompt": prompt, "symbols": list(symbols)})
    else:
        try:
            yield from formatter.write(symbols)
        except Exception:  # an error message does not belong into the line of the symbols
            yield "\n"
            raise
    yield "\n"


def write_continuations(
    formatter: SymbolFormatter, prompt: Sequence[str], found: Iterable[Continuation], *, as_json: bool
) -> Iterator[str]:
    """Yield a line for each continuation; JSON with the prompt in one line."""
    if as_json:
        shown = [{"symbols": each.symbols, "log_probability": round(each.log_probability, 6)} for each in found]
        yield printable_json({"prompt": prompt, "continuations": shown}) + "\n"
        return
    for each in found:
        yield f"{each.log_probability:.3f}\t{formatter.line(each.symbols)}\n"
