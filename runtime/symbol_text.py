"""Symbols as people type them in one line."""

from __future__ import annotations

from .vocabulary import Vocabulary, unescape_symbol


def read_symbols(text: str, vocabulary: Vocabulary) -> list[str]:
    r"""Return the symbols in `text`: what stands between blanks, or each character where all symbols are characters.

    Newline, tab and backslash as symbols are written `\n`, `\t` and `\\`. Blanks between characters count only if a
    blank is a symbol. Whether the symbols are in the vocabulary is not checked.
    """
    if any(len(symbol) > 1 for symbol in vocabulary if symbol != vocabulary.unknown):
        return [part if part in vocabulary else unescape_symbol(part) for part in text.split()]
    characters = unescape_symbol(text)
    return [character for character in characters if character in vocabulary or not character.isspace()]
