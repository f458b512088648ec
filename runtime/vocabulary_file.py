"""Reads vocabulary files."""

from __future__ import annotations

import json
from pathlib import Path

from .errors import VocabularyError
from .vocabulary import Vocabulary


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary file, UTF-8: one symbol per line, or a JSON list.

    Raises:
        VocabularyError: It cannot be read, or holds no vocabulary.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
        if path.suffix == ".json":
            json.loads(content)  # or it would pass for a list of lines
    except json.JSONDecodeError as error:
        raise VocabularyError(f"The vocabulary {path} is not JSON: {error}.") from error
    except OSError as error:
        raise VocabularyError(f"Cannot read the vocabulary {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise VocabularyError(f"The vocabulary {path} is not UTF-8: byte {error.start} is wrong.") from error
    return Vocabulary.from_file_content(content)
