"""Read rows with the right answer of each: a label, or values of the row or of a later one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..common.arrays import Ids
from ..common.errors import CorpusError
from ..data import EventsReader, FeatureColumns, Recording, TimeBins


def read_value_rows(
    path: Path, reader: EventsReader, features: Sequence[str], values: Sequence[str], ahead: int, option: str
) -> Recording:
    """Return rows with numbers as their features, in the order of `features`, and with values as their targets.

    Args:
        path: The table.
        reader: Its reader; its own features are not used.
        features: Columns of the features.
        values: Columns of the K values.
        ahead: The right answer to a row is the value so many rows later in its sequence; the last rows, which have no
            such value, are left out.
        option: The option that names the columns of the values, for messages.

    Raises:
        CorpusError: It cannot be read, or a row lacks something, or every sequence is too short.
    """
    columns = list(dict.fromkeys([*features, *values]))
    names = {f"x{index}": column for index, column in enumerate(columns)}
    rows = read_whole_rows(path, replace(reader, features=names), option, set(values))
    assert rows.features is not None
    numbers = rows.features.values
    index = np.arange(len(rows.ids))
    stays = index + ahead < np.repeat(rows.starts[1:], rows.lengths)
    if not stays.any():
        raise CorpusError(
            f"{path} has no sequence of more than {ahead} rows, so there is no value {ahead} rows ahead. Its longest "
            f"has {int(rows.lengths.max(initial=0))}."
        )
    targets = numbers[np.minimum(index + ahead, len(index) - 1)][:, [columns.index(name) for name in values]]
    own = FeatureColumns(tuple(names)[: len(features)], numbers[:, [columns.index(name) for name in features]])
    rows = replace(rows, targets=targets, features=own if features else None)
    if stays.all():
        return rows
    ends = rows.starts[:-1] + np.maximum(rows.lengths - ahead, 0)
    return rows.part(rows.starts[:-1], ends, rows.has_start, rows.has_end & (ahead == 0), rows.keys).without_empty()


def read_label_rows(path: Path, reader: EventsReader, label: str, option: str) -> tuple[Recording, Recording]:
    """Return rows, without gaps, and the same rows with the label in place of the symbol; see `labelled`.

    Raises:
        CorpusError: It cannot be read, a row lacks something, or the file has changed between.
    """
    rows = read_whole_rows(path, replace(reader, gaps=None))
    right = read_whole_rows(path, replace(reader, symbol=label, features={}, gaps=None, gap_feature=False), option)
    if len(rows.ids) != len(right.ids):
        raise CorpusError(f"{path} changed while it was read. Wait until nothing writes to it.")
    return rows, right


def labelled(rows: Recording, labels: Ids, reader: EventsReader) -> Recording:
    """Return rows with the ids of their labels, (N,), as targets; a gap that follows a row has its label too."""
    rows = replace(rows, targets=labels)
    return rows if reader.gaps is None else TimeBins.parse(reader.gaps).insert(rows)


def read_whole_rows(path: Path, reader: EventsReader, option: str = "", columns: set[str] | None = None) -> Recording:
    """Read a table of which no row may be left out.

    Args:
        path: The table.
        reader: Its reader.
        option: The option that named columns of symbol and features, if it was another one: for messages.
        columns: These columns; None: all.

    Raises:
        CorpusError: It cannot be read, or a row lacks its symbol or its sequence.
    """
    try:
        recording = reader.read(path)
    except CorpusError as error:
        message = str(error)
        for usual in ("(--symbol)", "(--feature)") if option else ():
            if columns is None:
                message = message.replace(usual, f"({option})")
            for column in columns or ():
                message = message.replace(f"{column!r} {usual}", f"{column!r} ({option})")
        raise CorpusError(message) from error
    missing = [remark for remark in recording.remarks if remark.startswith("left out")]
    if missing and reader.bad_lines != "skip":
        named = (*reader.columns.symbols, *([reader.sequence] if reader.sequence else []))
        names = ", ".join(map(repr, named))
        raise CorpusError(
            f"{path} has rows with nothing in the columns {names}: {'; '.join(missing)}. The state moves at each "
            "row, so every row must be whole: fill in the cells, or take the rows out of the file."
        )
    return recording
