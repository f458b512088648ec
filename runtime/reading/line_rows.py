"""Rows of files that hold a sequence on each line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from .csv_rows import Row


def line_rows(file: IO[str], delimiter: str | None) -> Iterator[Row]:
    """Yield a row for each symbol; its sequence is its line. An empty line is left out like a row without a symbol.

    Args:
        file: The text.
        delimiter: Between the symbols; None: blanks, as many as there are.
    """
    for line, text in enumerate(file, start=1):
        symbols = text.rstrip("\n").split(delimiter)
        for symbol in symbols or [""]:
            yield line, symbol, str(line), None, ()
