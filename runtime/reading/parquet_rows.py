"""Rows of Parquet files, with pyarrow where that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import CorpusError, MissingPackageError
from .columns import Columns
from .csv_rows import Row

_ROWS = 65_536  # at once


def parquet_rows(path: Path, columns: Columns, source: str) -> Iterator[Row]:
    """Yield the rows, a few at a time; only the columns that are asked for are read.

    Raises:
        MissingPackageError: pyarrow is not installed.
        CorpusError: It is no Parquet file, or has not the columns.
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
        existing = list(file.schema_arrow.names)
        symbol_name = existing[columns.find(existing, source).symbol]
        names = [symbol_name, columns.sequence, columns.order, *columns.features.values()]
        line = 0
        for batch in file.iter_batches(_ROWS, columns=list({name for name in names if name is not None})):
            read = [_values(pyarrow, batch.column(name)) if name else [None] * len(batch) for name in names]
            for symbol, sequence, order, *features in zip(*read, strict=True):
                line += 1
                yield line, _text(symbol), _text(sequence), order, features
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{source} is no Parquet file that can be read: {str(error).splitlines()[0]}.") from error


def _values(pyarrow: Any, column: Any) -> list[Any]:
    """Return the values as Python has them; times as seconds."""
    if pyarrow.types.is_timestamp(column.type):
        whole = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False).cast(pyarrow.int64())
        return [None if value is None else value / 1e6 for value in whole.to_pylist()]
    as_they_are = (type(None), str, int, float)
    return [value if isinstance(value, as_they_are) else str(value) for value in column.to_pylist()]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
