"""What files of data can be, as commands call it."""

from __future__ import annotations

from enum import Enum


class FileFormat(str, Enum):
    """What a file of events is: all of `runtime.reading.FORMATS`."""

    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    lines = "lines"


class DataFormat(str, Enum):
    """What a file of data for a model is: all of `runtime.reading.DATA_FORMATS`."""

    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    parquet = "parquet"
    lines = "lines"
    text = "text"
    symbols = "symbols"
