"""The symbol of a live line, read as those of the training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unicodedata import normalize

from ..format.manifest import Manifest
from .templates import template_matcher
from .text import has_normal_words


def live_symbol_reader(manifest: Manifest) -> Callable[[str], str]:
    """Return the function that reads the symbol of a live line as those of the training were read.

    Words are read in their normal form, and messages of a log as the template that fits; symbols of the vocabulary are
    read as they are.
    """
    vocabulary, match = manifest.vocabulary, template_matcher(templates_of(manifest))
    normalises = has_normal_words(manifest.trained_data)

    def read(symbol: str) -> str:
        symbol = normalize("NFC", symbol) if normalises else symbol
        return symbol if match is None or symbol in vocabulary else match(symbol)

    return read


def templates_of(manifest: Manifest) -> Sequence[str]:
    """Return the templates of the messages that a model reads; (): its symbols are taken as they are."""
    found: Sequence[str] = manifest.trained_data.reading.get("templates", ())
    return found
