"""Rows of JSON lines: one object per line, its keys are the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from ..errors import CorpusError
from ..json_text import json_text
from .columns import Columns
from .complaints import Complaints
from .csv_rows import Cell, Row


def json_rows(file: IO[str], columns: Columns, source: str, complaints: Complaints) -> Iterator[Row]:
    """Yield the rows. Numbers, true and false are symbols as they are written in JSON; null is none.

    A key that is missing from one object is nothing there; the first object must have all that are asked for.

    Raises:
        CorpusError: The first object has not the columns, or the file is a JSON array.
    """
    names: tuple[str, str | None, str | None] | None = None
    features = tuple(columns.features.values())
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        if names is None and text.lstrip().startswith("["):
            raise CorpusError(
                f"{source} is a JSON array. One object per line is read: jq -c '.[]' {source} > lines.jsonl"
            )
        try:
            row = json.loads(text)
        except ValueError as error:
            complaints.add(line, f"not JSON: {error}")
            continue
        if not isinstance(row, dict):
            complaints.add(line, "not a JSON object")
            continue
        if names is None:
            existing = list(row)
            names = existing[columns.find(existing, source).symbol], columns.sequence, columns.order
        symbol, sequence, order = names
        try:
            yield (
                line,
                _text(row.get(symbol)),
                _text(row.get(sequence)),
                _value(row.get(order)),
                [_value(row.get(column)) for column in features],
            )
        except ValueError as error:
            complaints.add(line, str(error))


def _text(value: Any) -> str | None:
    try:
        return json_text(value)
    except ValueError as error:
        raise ValueError(f"{error} where a symbol should be") from None


def _value(value: Any) -> Cell:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else _text(value)
