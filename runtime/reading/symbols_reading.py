"""Reads files that hold a symbol on each line, as `stepcell predict` does."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorpusError
from ..vocabulary import unescape_symbol
from .recording import Recording
from .snapshot_file import open_text


@dataclass(frozen=True)
class SymbolsReading:
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
