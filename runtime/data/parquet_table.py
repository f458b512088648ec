"""Rows of Parquet: values as JSON has them, so that a value is the same symbol in every format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..common.errors import CorpusError, MissingPackageError
from .columns import Columns
from .row_errors import Row
from .timestamps import NANOSECONDS, ClockTime, Instant, iso_of

_ROWS = 65_536  # at once
_PER_UNIT = {"s": NANOSECONDS, "ms": 1_000_000, "us": 1_000, "ns": 1}


def parquet_rows(path: Path, columns: Columns, source: str) -> Iterator[Row]:
    """Yield the rows, some at a time; only the selected columns are read.

    Raises:
        MissingPackageError: pyarrow is not installed.
        CorpusError: The file is no Parquet, or lacks columns, or a column holds what cannot be read.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(
            f"{source} needs pyarrow ({error}). Install it: pip install 'stepcell[parquet]'"
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        selected = columns.select(list(file.schema_arrow.names), source)
        order = len(selected) - len(columns.features) - 1
        first = 1
        for batch in file.iter_batches(_ROWS, columns=list({name for name in selected if name is not None})):
            cells = [
                _cells(pyarrow, batch.column(name), is_order=index == order) if name else [None] * len(batch)
                for index, name in enumerate(selected)
            ]
            yield from enumerate(zip(*cells, strict=True), start=first)
            first += len(batch)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise CorpusError(f"{source} is no Parquet file that can be read: {str(error).splitlines()[0]}.") from error


def _cells(pyarrow: Any, column: Any, *, is_order: bool) -> list[Any]:
    """Return the cells as text, numbers, truth values and None; of the order column, times as instants."""
    types, kind = pyarrow.types, column.type
    if types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if types.is_timestamp(kind):
        factor, zone = _PER_UNIT[kind.unit], kind.tz
        counts: list[int | None] = column.cast(pyarrow.int64()).to_pylist()
        make: Callable[[int], Any]
        if is_order:
            make = ClockTime if zone is None else Instant
        else:
            make = lambda nanoseconds: iso_of(nanoseconds, "" if zone is None else "+00:00")  # noqa: E731
        return [None if count is None else make(count * factor) for count in counts]
    if types.is_time64(kind) and kind.unit == "ns":
        counts = column.cast(pyarrow.int64()).to_pylist()
        return [None if count is None else iso_of(count).split("T")[1] for count in counts]
    return [_plain(cell) for cell in column.to_pylist()]


def _plain(cell: Any) -> Any:
    """Return a value of Parquet as JSON has it; bytes that are no UTF-8, lists and the like as they are."""
    if type(cell) in (str, int, float, bool, type(None)):
        return cell
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            return cell
    if isinstance(cell, Decimal):
        if cell == cell.to_integral_value() and int(str(cell.as_tuple().exponent)) >= 0:
            return int(cell)
        return float(cell) if Decimal(repr(float(cell))) == cell else str(cell)
    return cell.isoformat() if isinstance(cell, (date, time)) else cell
