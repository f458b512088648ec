"""Answer an unbounded stream of rows by key, with the state of each key in Spark's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ..common.errors import CorpusError, OptionError
from ..data.time_bins import seconds_of
from ..tasks.anomaly import Threshold, read_threshold
from .answer_fields import answer_fields, struct_names
from .columns import (
    INTEGERS,
    KEYS,
    NUMBERS,
    SYMBOLS,
    TIMES,
    as_names,
    as_pairs,
    beside,
    check_columns,
    from_worker,
    is_time,
    worker_rows,
    worker_type,
)
from .layout import Layout
from .steps import KeyedSteps, StepOptions
from .workers import require_spark, ship_model

PROVIDER = "spark.sql.streaming.stateStore.providerClass"
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
NO_DATA = "spark.sql.streaming.noDataMicroBatches.enabled"
_DEFAULT_PROVIDER = "HDFSBackedStateStoreProvider"  # the end of its name: keeps one value by key, not a state of an API
_OWN = ("input", "error", "code", "expected", "model")


def answer_stream(
    df: Any, model: str | Path, *, key: str, symbol: str | Sequence[str] | None = None, seq: str | None = None,
    order: str | None = None, features: Mapping[str, str] | Sequence[str] | None = None,
    static: Mapping[str, str] | Sequence[str] | None = None, start: str | None = None, end: str | None = None,
    fields: str | Sequence[str] = (), threshold: str | Path | None = None, alert_below: float | None = None,
    on_gap: Literal["wait", "reset", "continue"] = "wait", unknown: Literal["stop", "skip", "use"] | None = None,
    bad_rows: Literal["stop", "skip"] = "skip", require_start: bool = False, reset_on: str | None = None,
    middle: bool = False, top: int = 1, offer_unknown: bool = False, ttl: str | None = None,
    initial: str | Path | Any = None, history: Any = None, backend: str | None = None, check: bool = True,
) -> Any:  # fmt: skip
    """Step the rows of many streams, each row once, and return their answers as a streaming table.

    The rules are those of `stepcell serve`; docs/spark.md says what a checkpoint adds to them.

    Args:
        df: A streaming table.
        model: The model file. It is sent to the workers.
        key: Column of the stream of a row: text or an integer.
        symbol: Column of the symbol; several columns if the symbols of training were joined of several.
        seq: Column of the number of a row in its stream. Repeated rows are not stepped again.
        order: In place of `seq`, a time or a number: rows are sorted by it within a batch, and those that are not later
            than the last row of the batches before are dropped and counted. Beside `seq`: the time that a model reads.
        features: Name of a feature of the model -> its column; or columns of the same names.
        static: Name of a static input -> its column; or columns of the same names.
        start: Column of booleans: a sequence starts with the row.
        end: Column of booleans: a sequence ends with the row.
        fields: Further columns, which stand in the answers.
        threshold: File of a calibrated threshold of symbols.
        alert_below: Mark symbols that come with a probability below this.
        on_gap: At a number above the one that is expected "wait" (the row is an error), "reset" or "continue".
        unknown: At an unknown symbol "stop", "skip" or "use"; None: "use" where the vocabulary has one, else "skip".
        bad_rows: At a row that cannot be read "stop" the query, or "skip" it with an error.
        require_start: Refuse rows of a stream in which no sequence has been started.
        reset_on: Symbol after which a stream is reset.
        middle: Fresh streams begin in the middle of a sequence.
        top: How many of the likeliest symbols to name.
        offer_unknown: Name the unknown symbol, and the end symbol of a text, among them.
        ttl: Time ("30d") after which a stream that is not used is forgotten; None: none is.
        initial: States of streams to begin with: the file of a store of `stepcell serve`, or a table with the columns
            `key` and `state` (bytes of `Stream.to_bytes` with that key, or rows of such a store). They are taken when
            the checkpoint is new.
        history: A table with the same columns, of earlier rows: the streams begin behind them. Likewise.
        backend: Interpreter that steps the model; None: the fastest that is installed on each worker.
        check: Let workers load the model before the query begins.

    Returns:
        A streaming table with a row for each answer: key, number and order as they came, `fields`, then the fields of
        an answer of `stepcell serve`. Write it in the output mode "append".

    Raises:
        OptionError: Columns or options do not fit the table, the model or one another; all problems are named.
        ModelFileError, NoInterpreterError, ThresholdError: Model or threshold cannot be used here.
        WorkerError: A worker cannot load the model; the message has its reason.
        MissingPackageError: Spark for Python is not installed.
    """
    require_spark()
    from .processor import StepProcessor, Work

    _require_stream(df)
    if (seq is None) == (order is None) and seq is None:
        raise OptionError("Rows of a stream need an order: name the column of their numbers with seq=, or order=.")
    layout = Layout(
        key, seq, order, as_names(symbol), as_pairs(features), as_pairs(static), start, end, as_names(fields),
    )  # fmt: skip
    check_columns(df, _wanted(layout))
    layout = Layout(**{**vars(layout), "order_is_time": order is not None and is_time(df, order)})
    lifetime = None if ttl is None else _milliseconds(ttl)
    spark = df.sparkSession
    _use_rocksdb(spark)
    if lifetime is not None:
        _end_without_rows(spark)
    loaded, file = ship_model(spark, model, backend, check=check)
    limit: Threshold | None = None if threshold is None else read_threshold(threshold, loaded.file)
    options = StepOptions(
        on_gap, require_start, unknown, bad_rows, reset_on, middle, top, offer_unknown, limit, alert_below
    )
    KeyedSteps(loaded, layout, options)  # refuses what does not fit
    answer = answer_fields(loaded, layout, options)
    carried = [name for name in (key, seq, order, *layout.fields) if name is not None]
    schema = [(f"c{at}", worker_type(df, name)) for at, name in enumerate(carried)] + list(answer.items())
    work = Work(
        file,
        backend,
        layout,
        options,
        tuple(name for name, _ in schema),
        tuple(struct_names(kind) for _, kind in schema),
    )
    first = None
    if initial is not None or history is not None:
        from .initial import initial_states

        first = initial_states(df, work, loaded, initial, history)
    rows = worker_rows(df, layout.columns).groupBy("c0")
    found = rows.transformWithState(
        StepProcessor(work, lifetime), ", ".join(f"`{name}` {kind}" for name, kind in schema), "append",
        "None" if lifetime is None else "ProcessingTime", None if first is None else first.groupBy("c0"),
    )  # fmt: skip
    back = [
        from_worker(df, name, found[f"c{at}"]).alias(beside(name, (*answer, *_OWN)))
        for at, name in enumerate(carried)
        if name not in carried[:at]
    ]
    return found.select(*back, *(found[f"`{name}`"] for name in answer))


def _wanted(layout: Layout) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    anything: Sequence[str] = ()
    inputs = ("array", *NUMBERS)
    return {
        "key": ((layout.key,), KEYS),
        "seq": (as_names(layout.seq), INTEGERS),
        "order": (as_names(layout.order), (*TIMES, *NUMBERS)),
        "symbol": (layout.symbols, SYMBOLS),
        "features": ([column for _, column in layout.features], inputs),
        "static": ([column for _, column in layout.static], inputs),
        "start": (as_names(layout.start), ("boolean",)),
        "end": (as_names(layout.end), ("boolean",)),
        "fields": (layout.fields, anything),
    }


def _require_stream(df: Any) -> None:
    if not df.isStreaming:
        raise OptionError(
            "The table is no stream (spark.readStream): the rows of a table that ends are scored by score_table."
        )


def _use_rocksdb(spark: Any) -> None:
    """Let new queries keep their state in RocksDB, the one provider that can keep the state of many keys by itself."""
    found = spark.conf.get(PROVIDER)
    if found.endswith(_DEFAULT_PROVIDER):
        spark.conf.set(PROVIDER, ROCKSDB)
    elif "RocksDB" not in found:
        raise OptionError(
            f"The state of a query by key needs RocksDB, and {PROVIDER} is {found}: spark.conf.set({PROVIDER!r}, "
            f"{ROCKSDB!r}) before answer_stream."
        )


def _end_without_rows(spark: Any) -> None:
    """Let new queries make no batches without rows, which Spark asks for without end where states have a lifetime.

    A session that says itself what it wants is left as it is.
    """
    if NO_DATA not in spark.conf.getAll:
        spark.conf.set(NO_DATA, "false")


def _milliseconds(ttl: str) -> int:
    try:
        return max(1, round(seconds_of(ttl, needs_unit=True) * 1000))
    except CorpusError as error:
        raise OptionError(f"ttl={ttl!r}: {error}") from None
