"""Score and evaluate tables on Spark: sequences by key, sorted within, many of them side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..common.arrays import AnyArray, Ids
from ..common.errors import InputError, OptionError, UnknownSymbolError
from ..format.manifest import Manifest
from ..format.tensor_specs import Inputs
from ..streams.model import Model
from ..tasks.distribution import require_next_symbols
from ..tasks.score_sequences import SequenceScorer
from .columns import (
    KEYS,
    NUMBERS,
    SYMBOLS,
    TIMES,
    as_names,
    as_pairs,
    beside,
    check_columns,
    empty_as_null,
    worker_rows,
    worker_type,
)
from .layout import reads_time, symbol_reader
from .workers import model_in_worker, require_spark, ship_model

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_AT_ONCE = 1 << 18  # rows that a worker takes before it steps them
_SHOWN = 5
_SCORES = ("position", "bits", "rank")
_ORDERED = (*TIMES, *NUMBERS)


def score_table(
    df: Any, model: str | Path, *, key: str, symbol: str, order: str | Sequence[str],
    features: Mapping[str, str] | Sequence[str] | None = None, bad_rows: Literal["stop", "skip"] = "stop",
    backend: str | None = None, check: bool = True,
) -> Any:  # fmt: skip
    """Return how likely a model finds each symbol of a table, as `stepcell score --per-symbol` does.

    Args:
        df: A table.
        model: The model file. It is sent to the workers.
        key: Column of the sequence of a row: text or an integer.
        symbol: Column of the symbol.
        order: Column of the time or number that orders the rows of a sequence, or several such columns.
        features: Name of a feature of the model -> its column of numbers; or columns of the same names.
        bad_rows: At a row without key, symbol, order or feature "stop", or "skip" it.
        backend: Interpreter that steps the model; None: the fastest that is installed on each worker.
        check: Let workers load the model at once.

    Returns:
        A table: the key, with the prefix `in_` if it is called as one of the others; `position` of the symbol in its
        sequence, from 1 (the end symbol of a model of whole sequences has the last one); `bits`, its surprise, null
        where the model has no prediction; `rank`, 1 for the likeliest.

    Raises:
        OptionError, TargetError: Columns or options do not fit the table or the model.
        ModelFileError, NoInterpreterError: The model cannot be used here.
        WorkerError: A worker cannot load the model; the message has its reason.
        MissingPackageError: Spark for Python is not installed.
    """
    require_spark()
    if df.isStreaming:
        raise OptionError("The table is a stream, whose rows are answered as they come: answer_stream.")
    orders, pairs = as_names(order), as_pairs(features)
    if bad_rows not in ("stop", "skip"):
        raise OptionError(f"bad_rows is {bad_rows!r}, not 'stop' or 'skip'.")
    if not orders:
        raise OptionError("Rows of a table on Spark have no order of their own: name a column of it with order=.")
    check_columns(
        df, {"key": ((key,), KEYS), "order": (orders, _ORDERED), "symbol": ((symbol,), SYMBOLS),
             "features": ([column for _, column in pairs], NUMBERS)},
    )  # fmt: skip
    loaded, file = ship_model(df.sparkSession, model, backend, check=check)
    columns = (key, symbol, *(column for _, column in pairs), *orders)
    work = TableWork(file, backend, columns, tuple(name for name, _ in pairs))
    TableScorer(loaded, work)  # refuses what does not fit
    rows = empty_as_null(worker_rows(df, columns))
    if bad_rows == "skip":
        rows = rows.dropna()
    sorting = [rows.columns[0], *rows.columns[2 + len(pairs) :]]
    found = rows.repartition("c0").sortWithinPartitions(*sorting, "c1").mapInArrow(
        _InWorker(work), f"c0 {worker_type(df, key)}, position bigint, bits double, rank int"
    )  # fmt: skip
    return found.withColumnRenamed("c0", beside(key, _SCORES))


def evaluate_table(df: Any, model: str | Path, *, top: Sequence[int] = (3, 5), **options: Any) -> dict[str, Any]:
    """Return the metrics of a model on a table, its state reset before each sequence, as `stepcell evaluate` has them.

    Args:
        df: A table.
        model: The model file.
        top: For which k to report the accuracy among the k likeliest.
        options: As for `score_table`.

    Returns:
        `sequences`, `symbols` (with a prediction), `accuracy`, `top_3`, ..., `nats_per_symbol`, `bits_per_symbol`; None
        in place of the metrics if no symbol has a prediction.

    Raises:
        OptionError, TargetError, ModelFileError, NoInterpreterError, WorkerError: As `score_table` does.
        WorkerError: A worker cannot score the table; the message has its reason.
    """
    from pyspark.sql import functions as F  # noqa: N812 - as everywhere

    if wrong := [count for count in top if count < 1]:
        raise OptionError(f"These have to be above 0: top {', '.join(map(str, wrong))}.")
    scores = score_table(df, model, **options)
    ranks = [F.avg((F.col("rank") <= count).cast("double")).alias(f"top_{count}") for count in (1, *top)]
    row = scores.agg(
        F.sum((F.col("position") == 1).cast("bigint")).alias("sequences"), F.count("bits").alias("symbols"), *ranks,
        F.avg("bits").alias("bits"),
    ).collect()[0]  # fmt: skip
    return {
        "sequences": row["sequences"] or 0,
        "symbols": row["symbols"],
        "accuracy": row["top_1"],
        **{f"top_{count}": row[f"top_{count}"] for count in top},
        "nats_per_symbol": None if row["bits"] is None else row["bits"] * log(2),
        "bits_per_symbol": row["bits"],
    }


@dataclass(frozen=True)
class TableWork:
    """All that a worker needs to know.

    Attributes:
        file: Name under which the model was shipped.
        backend: Interpreter that steps it; None: the fastest that is installed.
        columns: Names of the columns, for messages: key, symbol, features, order.
        features: Names of the features, in the order of their columns behind key and symbol.
    """

    file: str
    backend: str | None
    columns: tuple[str, ...]
    features: tuple[str, ...] = ()


class TableScorer:
    """Scores sorted rows of a table, the columns of which are key, symbol and features. Needs no Spark."""

    def __init__(self, model: Model, work: TableWork) -> None:
        """Begin without rows.

        Raises:
            OptionError, TargetError: The model does not score such rows; the message names all problems.
        """
        manifest = model.manifest
        require_next_symbols(model.file, "its symbols have no probability", with_features=True)
        problems = _problems(manifest, work.features)
        if problems:
            raise OptionError(f"{manifest.name} cannot score this table: {'; '.join(problems)}.")
        self._work, self._model, self._scorer = work, model, SequenceScorer(model)
        self._symbol_in = symbol_reader(manifest)
        end = manifest.trained_data.end if manifest.trained_data.kind in ("events", "text") else None
        self._end = None if end is None else np.array([model.vocabulary.encode(end)], np.int32)
        boundary = manifest.trained_data.boundary
        self._ends = {name: np.array([boundary[name]], np.float32) for name in work.features if end is not None}

    def ids_of(self, symbols: Sequence[Any]) -> Ids:
        """Return the ids of different cells of the column of the symbol.

        Raises:
            UnknownSymbolError: The model does not know them; the message names them.
        """
        texts = [self._symbol_in(cell) or "" for cell in symbols]
        vocabulary = self._model.vocabulary
        unknown = [text for text in texts if text not in vocabulary]
        if unknown and vocabulary.unknown is None:
            shown = ", ".join(map(repr, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
            raise UnknownSymbolError(
                f"{self._model.file.name} does not know {len(unknown)} symbols of the column "
                f"{self._work.columns[1]!r}: {shown}. It knows {vocabulary.describe()}."
            )
        return np.asarray(vocabulary.encode_all(texts), np.int32)

    def score(self, ids: Ids, starts: AnyArray, features: Mapping[str, AnyArray]) -> TableScores:
        """Score whole sequences.

        Args:
            ids: (N,), the sequences one after the other.
            starts: Index of the first of each, (S,).
            features: Name -> float32 of shape (N,).
        """
        sequences = [
            self._whole(ids[a:b], {name: array[a:b, np.newaxis] for name, array in features.items()})
            for a, b in zip(starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=True)
        ]
        logarithms, ranks = self._scorer.score(sequences)
        bits = -logarithms / log(2)
        lengths = np.array([len(each) for each in sequences], np.int64)
        if self._end is not None:  # the end symbol before a sequence is not one of its symbols
            firsts = np.cumsum(lengths) - lengths
            bits, ranks = np.delete(bits, firsts), np.delete(ranks, firsts)
            lengths = lengths - 1
        return TableScores(lengths, bits, ranks)

    def _whole(self, ids: Ids, features: dict[str, AnyArray]) -> Inputs:
        if self._end is None:
            return Inputs(ids, features)
        ends = self._ends
        return Inputs(
            np.concatenate([self._end, ids, self._end]),
            {name: np.concatenate([ends[name], array, ends[name]]) for name, array in features.items()},
        )


@dataclass(frozen=True, eq=False)
class TableScores:
    """The scores of S sequences, M symbols with the end symbols.

    Attributes:
        lengths: Symbols of each sequence, int64 of shape (S,).
        bits: float64 of shape (M,); nan where there is no prediction.
        ranks: int32 of shape (M,); 0 there.
    """

    lengths: AnyArray = field(repr=False)
    bits: AnyArray = field(repr=False)
    ranks: Ids = field(repr=False)


def _problems(manifest: Manifest, features: Sequence[str]) -> list[str]:
    """Return why a model cannot score the rows of a table."""
    wanted = {feature.name: feature for feature in manifest.features}
    problems = []
    if reads_time(manifest):
        problems.append("it reads the time between events, which is not made from a table here: stepcell score does")
    else:
        problems += [f"name the column of the feature {name}" for name in wanted if name not in features]
    problems += [f"it reads no feature {name}" for name in features if name not in wanted]
    problems += [
        f"the feature {name} is no single number"
        for name in features
        if name in wanted and (wanted[name].shape != (1,) or wanted[name].ids is not None)
    ]
    if manifest.static:
        problems.append("it reads static inputs, which are given once for each stream")
    data = manifest.trained_data
    if data.kind in ("events", "text") and data.named_end is not None and data.end is None:
        problems.append(f"its file has no value of its features with the end symbol {data.named_end!r}")
    symbol = data.reading.get("symbol")
    if isinstance(symbol, (list, tuple)) and len(symbol) > 1:
        problems.append(f"its symbols are joined of {', '.join(symbol)}: join them to one column with concat_ws")
    return problems


class _InWorker:
    """Scores the sorted rows of a partition."""

    def __init__(self, work: TableWork) -> None:
        self._work = work

    def __call__(self, batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        """Yield the scores of the sequences, in their order."""
        import pyarrow as pa

        scorer = TableScorer(model_in_worker(self._work.file, self._work.backend), self._work)
        waiting: list[RecordBatch] = []
        count = 0
        for batch in batches:
            waiting.append(batch)
            count += batch.num_rows
            if count < _AT_ONCE:
                continue
            table = pa.Table.from_batches(waiting).combine_chunks()
            last = int(_starts(table.column(0))[-1])  # the last sequence may go on
            if last:
                yield self._scored(scorer, table.slice(0, last))
            waiting = table.slice(last).to_batches()
            count = table.num_rows - last
        if count:
            yield self._scored(scorer, pa.Table.from_batches(waiting).combine_chunks())

    def _scored(self, scorer: TableScorer, table: Any) -> RecordBatch:
        import pyarrow as pa

        empty = {name: table.column(at).null_count for at, name in enumerate(self._work.columns)}
        if problems := [f"{count:,} in the column {name!r}" for name, count in empty.items() if count]:
            raise InputError(
                f"Among {table.num_rows:,} rows there is nothing in {', '.join(problems)}. Leave such rows out with "
                "bad_rows='skip', or mend the table."
            )
        starts = _starts(table.column(0))
        encoded = table.column(1).combine_chunks().dictionary_encode()
        encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
        ids = scorer.ids_of(encoded.dictionary.to_pylist())[encoded.indices.to_numpy(zero_copy_only=False)]
        features = {
            name: table.column(2 + at).to_numpy().astype(np.float32) for at, name in enumerate(self._work.features)
        }
        if infinite := [name for name, array in features.items() if not np.isfinite(array).all()]:
            raise InputError(
                f"Among {table.num_rows:,} rows there are numbers in {', '.join(infinite)} that are infinite, or too "
                "large for float32. Mend the table."
            )
        found = scorer.score(ids.astype(np.int32), starts, features)
        lengths = found.lengths
        positions = np.arange(1, len(found.bits) + 1) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        keys = table.column(0).take(pa.array(np.repeat(starts, lengths))).combine_chunks()
        keys = keys.chunk(0) if isinstance(keys, pa.ChunkedArray) else keys
        none = found.ranks == 0
        arrays = [keys, pa.array(positions, pa.int64()), pa.array(found.bits, pa.float64(), mask=none),
                  pa.array(found.ranks, pa.int32(), mask=none)]  # fmt: skip
        return pa.RecordBatch.from_arrays(arrays, ["c0", "position", "bits", "rank"])


def _starts(keys: Any) -> AnyArray:
    """Return the indices at which another key begins, 0 among them, of a column of Arrow without gaps."""
    import pyarrow.compute as pc

    array = keys.combine_chunks()
    changed = pc.fill_null(pc.not_equal(array.slice(1), array.slice(0, len(array) - 1)), fill_value=True)
    changed = changed.to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.flatnonzero(np.asarray(changed, bool)) + 1]).astype(np.int64)
