"""Symbols as people type them in one line."""

from __future__ import annotations

from .vocabulary import Vocabulary, escape_symbol, unescape_symbol


def read_symbols(text: str, vocabulary: Vocabulary) -> list[str]:
    r"""Return the symbols in `text`: what stands between blanks, or each character where all symbols are characters.

    Newline, tab and backslash as symbols are written `\n`, `\t` and `\\`. Blanks between characters count only if a
    blank is a symbol; where symbols have blanks within, each stands on a line of its own. Whether the symbols are in
    the vocabulary is not checked.
    """
    separator = separator_of(vocabulary)
    if separator:
        parts = text.split() if separator == " " else filter(None, text.split(separator))
        return [part if part in vocabulary else unescape_symbol(part) for part in parts]
    characters = unescape_symbol(text)
    return [character for character in characters if character in vocabulary or not character.isspace()]


def separator_of(vocabulary: Vocabulary) -> str:
    """Return what stands between two symbols: nothing, a blank, or a newline where a blank would not tell them apart.

    The unknown symbol may be a word among characters.
    """
    known = [symbol for symbol in vocabulary if symbol != vocabulary.unknown]
    if all(len(symbol) == 1 for symbol in known):
        return ""
    return "\n" if any(character.isspace() for symbol in known for character in escape_symbol(symbol)) else " "
