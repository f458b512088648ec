"""Rows of JSON lines and plain lines: a line number, and the cells that are read.

The cells are those of `Columns.select`: of the symbol, sequence, order and each feature; None where nothing is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

from ..common.errors import CorpusError
from .columns import Columns
from .row_errors import Row, RowErrors


def json_rows(file: IO[str], columns: Columns, source: str, errors: RowErrors) -> Iterator[Row]:
    """Yield the rows of a file with a JSON object on each line.

    The first object must have all columns; a key that a later one lacks is an empty cell.

    Raises:
        CorpusError: The first object lacks columns, or the file is a JSON array.
    """
    selected: list[str | None] = []
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        if not selected and text.lstrip().startswith("["):
            raise CorpusError(
                f"{source} is a JSON array, not one object per line: jq -c '.[]' {source} > lines.jsonl converts it."
            )
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            errors.add(line, f"not JSON: {error}")
            continue
        if isinstance(row, dict):
            selected = selected or columns.select(list(row), source)
            yield line, [row.get(name) for name in selected]
        else:
            errors.add(line, "not a JSON object")


def line_rows(file: IO[str], delimiter: str | None) -> Iterator[Row]:
    """Yield a row for each symbol; its sequence is its line. An empty line is one row, whose symbol is None.

    Args:
        file: The text.
        delimiter: Between the symbols; None: any number of blanks.
    """
    for line, text in enumerate(file, start=1):
        content = text.removesuffix("\n")
        symbols = content.split(delimiter) if content else []
        if not symbols:
            yield line, (None, str(line), None)
        for symbol in symbols:
            yield line, (symbol, str(line), None)
