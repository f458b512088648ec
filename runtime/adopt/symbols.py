"""Reads vocabulary files."""

from __future__ import annotations

from pathlib import Path

from ..errors import AdoptionError
from ..vocabulary import Vocabulary


def read_symbols(path: Path) -> Vocabulary:
    """Read a vocabulary file: a JSON list, or one symbol per line.

    Raises:
        AdoptionError: It cannot be read.
        VocabularyError: It holds no vocabulary.
    """
    try:
        return Vocabulary.from_file_content(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise AdoptionError(f"Cannot read the vocabulary {path}: {error}.") from error
