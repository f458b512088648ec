"""Samples in files: the inputs of a model as they really occur, a row for each step."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import CorpusError
from ...runtime.data.columns import Columns, feature_of, symbol_of
from ...runtime.data.csv_table import csv_rows
from ...runtime.data.parquet_table import parquet_rows
from ...runtime.data.row_errors import Row, RowErrors
from ...runtime.data.tables import json_rows
from ...runtime.data.text_file import open_text
from ...runtime.format.manifest import Manifest
from ...runtime.format.tensor_specs import SYMBOL, Feature

_JSON, _TABLES, _ARRAYS = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv"), (".npz", ".npy")
_MOST_ROWS = 100_000  # more than any run steps
_LARGEST = 1 << 30  # bytes of arrays, unpacked

Sample = tuple["list[str] | None", dict[str, AnyArray]]  # symbols, and name -> features


def read_sample(path: Path, manifest: Manifest) -> Sample:
    """Read the sample at `path`: CSV, TSV, JSON lines or Parquet with a column for each input, or arrays of numpy.

    The column of the symbol is called "symbol". A feature of several numbers has a list in JSON, and columns NAME[0],
    NAME[1], ... in a table. Of a model that reads one vector and nothing else, a table of as many columns will do, and
    an .npy file of shape (T, N).

    Raises:
        CorpusError: The file cannot be read, or a column is missing; all problems are named.
        MissingPackageError: It is Parquet, and pyarrow is not installed.
    """
    check_sample(path)
    suffix = path.suffix.lower()
    if suffix in _ARRAYS:
        return _read_arrays(path, manifest)
    errors = RowErrors(str(path))
    columns = _SampleColumns((SYMBOL,) if len(manifest.vocabulary) else (), inputs=manifest.features)
    symbols: list[str] = []
    numbers: dict[str, list[Any]] = {feature.name: [] for feature in manifest.features}
    for line, cells in islice(_rows(path, suffix, columns, errors), _MOST_ROWS):
        try:
            row = columns.split(cells)
        except ValueError as error:
            errors.add(line, str(error))
            continue
        symbols += [] if row[0] is None else [row[0]]
        for name, values in row[1].items():
            numbers[name].append(values)
    errors.raise_if_any()
    if not symbols and not any(numbers.values()):
        raise CorpusError(f"{path} has no rows.")
    features = {f.name: np.array(numbers[f.name], f.dtype).reshape(-1, *f.shape) for f in manifest.features}
    return symbols if columns.symbols else None, features


def check_sample(path: Path) -> None:
    """Raise CorpusError if there is no file at `path`, or none of a known format."""
    known = (*_TABLES, *_JSON, ".parquet", *_ARRAYS)
    if not path.is_file():
        raise CorpusError(f"There is no file {path}.")
    if path.suffix.lower() not in known:
        raise CorpusError(f"The name of {path} does not tell its format; a sample ends in {', '.join(known)}.")


def _rows(path: Path, suffix: str, columns: Columns, errors: RowErrors) -> Iterator[Row]:
    if suffix == ".parquet":
        yield from parquet_rows(path, columns, str(path))
        return
    with open_text(path, "utf-8", "" if suffix in _TABLES else None) as (text, _):
        if suffix in _JSON:
            yield from json_rows(text, columns, str(path), errors)
        else:
            delimiter = "\t" if suffix == ".tsv" else None
            yield from csv_rows(text, columns, str(path), errors, delimiter, True)[1]


@dataclass(frozen=True)
class _SampleColumns(Columns):
    """The columns of the inputs of a model.

    Attributes:
        inputs: The features of the model.
    """

    inputs: tuple[Feature, ...] = ()

    def select(self, existing: Sequence[str], source: str, hint: str = "") -> list[str | None]:
        """See `Columns.select`."""
        found: list[str | None] = []
        for feature in self.inputs:
            size = prod(feature.shape)
            parts = [f"{feature.name}[{index}]" for index in range(size)]
            if feature.name in existing:
                found.append(feature.name)
            elif set(parts) <= set(existing):
                found += parts
            elif len(self.inputs) == 1 and not self.symbols and len(existing) == size:
                found += existing
            else:
                found.append(feature.name if size == 1 else f"{parts[0]}, ..., {parts[-1]}")
        missing = [name for name in (*self.symbols, *found) if name not in existing]
        if missing:
            raise CorpusError(
                f"{source} has no column for {', '.join(map(str, missing))}. A sample has a column for each input of "
                f"the model; this one has {', '.join(map(repr, existing[:20]))}.{hint}"
            )
        return [*self.symbols, None, None, *found]

    def split(self, cells: Sequence[Any]) -> tuple[str | None, dict[str, Any]]:
        """Return the symbol of a row, and its features by name.

        Raises:
            ValueError: A cell is empty or no number; the message names the feature.
        """
        symbol, remaining = None, list(cells)
        if self.symbols:
            symbol = symbol_of(remaining.pop(0))
            if not symbol:
                raise ValueError("nothing in the column 'symbol'")
        remaining = remaining[2:]  # of the sequence and of the order
        values: dict[str, Any] = {}
        for feature in self.inputs:
            size = prod(feature.shape)
            given = remaining.pop(0)
            if not isinstance(given, (list, tuple)):
                given = [given, *(remaining.pop(0) for _ in range(size - 1 if remaining else 0))]
            numbers = [feature_of(cell, feature.name) for cell in _flat(given)]
            if len(numbers) != size:
                raise ValueError(f"{len(numbers)} numbers for {feature.describe()}")
            if feature.ids is not None and not (numbers[0].is_integer() and 0 <= numbers[0] < feature.ids):
                raise ValueError(f"{given[0]!r} is no id of {feature.describe()}")
            values[feature.name] = numbers
        return symbol, values


def _flat(given: Sequence[Any]) -> Iterator[Any]:
    for each in given:
        if isinstance(each, (list, tuple)):
            yield from _flat(each)
        else:
            yield each


def _read_arrays(path: Path, manifest: Manifest) -> Sample:
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as members:
                if sum(member.file_size for member in members.infolist()) > _LARGEST:
                    raise ValueError("its arrays are too large")
            with np.load(path) as archive:
                arrays: Mapping[str, AnyArray] = {name: archive[name] for name in archive.files}
        else:
            names = [feature.name for feature in manifest.features] or [SYMBOL]
            if len(names) != 1 or (names != [SYMBOL] and len(manifest.vocabulary)):
                raise ValueError("it holds one array, and the model has several inputs; give an .npz file")
            arrays = {names[0]: np.load(path, mmap_mode="r")[:_MOST_ROWS]}
    except Exception as error:  # zipfile and numpy raise whatever the damaged part ran into
        raise CorpusError(
            f"{path} holds no sample ({error}). Write one: numpy.savez('sample.npz', **inputs), with an array (T, ...) "
            "for each input of the model."
        ) from error
    symbols = arrays.get(SYMBOL)
    if len(manifest.vocabulary) and symbols is None:
        raise CorpusError(f"{path} has no array {SYMBOL!r}; it has {', '.join(arrays)}.")
    features = {name: array[:_MOST_ROWS] for name, array in arrays.items() if symbols is None or name != SYMBOL}
    if symbols is None:
        return None, features
    if symbols.dtype.kind in "iu":
        wrong = symbols[(symbols < 0) | (symbols >= len(manifest.vocabulary))]
        if wrong.size:
            raise CorpusError(f"{path} has the id {wrong[0]}; the model has {len(manifest.vocabulary)} symbols.")
        return [manifest.vocabulary.decode(int(id)) for id in symbols[:_MOST_ROWS]], features
    return [str(symbol) for symbol in symbols[:_MOST_ROWS]], features
