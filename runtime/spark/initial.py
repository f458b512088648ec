"""The states that streams begin with: those of a store, of a table, or behind earlier rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import OptionError
from ..streams.model import Model
from ..streams.sqlite_store import SqliteStore
from .columns import INTEGERS, KEYS, check_columns, worker_rows
from .processor import Work, steps_of

if TYPE_CHECKING:
    from pyarrow import RecordBatch

_STATES_AT_ONCE = 1000
_SHOWN = 5


def initial_states(df: Any, work: Work, model: Model, initial: str | Path | Any, history: Any) -> Any:
    """Return the table of the states that streams begin with: key `c0` and bytes `saved`.

    Args:
        df: The stream.
        work: What workers do with its rows.
        model: The model.
        initial: The file of a store, a table with the columns `key` and `state`; None: there are none.
        history: A table of earlier rows; None: there is none.

    Raises:
        OptionError: Both are given, or the table does not fit the stream.
        OutputError, OtherModelError, DamagedStateError: The store cannot be used with this model.
    """
    if initial is not None and history is not None:
        raise OptionError("Streams begin with the states of initial=, or behind the rows of history=, not with both.")
    kind = df.schema[work.layout.key].dataType
    if history is not None:
        return _behind(df, work, history)
    if isinstance(initial, (str, Path)):
        found = _states_in(Path(initial), model)
        if kind.typeName() in INTEGERS:
            _check_integers(found.column("key").to_pylist(), work.layout.key)
        initial = df.sparkSession.createDataFrame(found)
    check_columns(initial, {"initial": (("key",), KEYS), "initial with the state": (("state",), ("binary",))})
    from pyspark.sql import functions as F  # noqa: N812 - as everywhere

    return initial.select(F.col("key").cast(kind).alias("c0"), F.col("state").alias("saved"))


def _check_integers(keys: Iterable[str], column: str) -> None:
    wrong = [key for key in keys if not re.fullmatch("0|-?[1-9][0-9]*", key)]
    if wrong:
        shown = ", ".join(map(repr, wrong[:_SHOWN])) + (", ..." if len(wrong) > _SHOWN else "")
        raise OptionError(
            f"The column {column!r} (key=) has integers, and {len(wrong):,} streams of the store are called otherwise: "
            f"{shown}. Cast the column to text, df.withColumn({column!r}, col({column!r}).cast('string')), or forget "
            "these streams: stepcell store forget."
        )


def _states_in(path: Path, model: Model) -> Any:
    """Return all states of a store as a table of Arrow; each of them is checked."""
    import pyarrow as pa

    if not path.is_file():
        raise OptionError(f"There is no store {path}.")
    keys, states = [], []
    with SqliteStore(path, model.file) as store:
        for key in list(store.keys()):
            found = store.find(key)
            if found is not None:
                keys.append(key)
                states.append(bytes(store.row(key, found[0], found[1])[1]))
    return pa.table({"key": pa.array(keys, pa.string()), "state": pa.array(states, pa.binary())})


def _behind(df: Any, work: Work, history: Any) -> Any:
    """Return the states behind earlier rows, each stepped as those of the stream will be."""
    if history.isStreaming:
        raise OptionError("history= is a table of earlier rows, and no stream.")
    missing = [name for name in work.layout.columns if name not in history.columns]
    if missing:
        raise OptionError(f"history= lacks the columns {', '.join(missing)} of the stream.")
    kind = df.schema[work.layout.key].dataType.simpleString()
    rows = worker_rows(history, work.layout.columns)
    sorted_rows = rows.where("c0 is not null").repartition("c0").sortWithinPartitions("c0")
    return sorted_rows.mapInArrow(_Behind(work), f"c0 {kind}, saved binary")


class _Behind:
    """Steps sorted rows in a worker and yields the state of each key."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        import pyarrow as pa

        steps, schema = steps_of(self._work), None
        keys: list[Any] = []
        states: list[bytes] = []

        def rows() -> Iterator[tuple[Any, ...]]:
            nonlocal schema
            for batch in batches:
                schema = batch.schema
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

        def full() -> RecordBatch:
            assert schema is not None, "there are rows"
            arrays = [pa.array(keys, schema.field(0).type), pa.array(states, pa.binary())]
            return pa.RecordBatch.from_arrays(arrays, ["c0", "saved"])

        for key, its_rows in groupby(rows(), key=lambda row: row[0]):
            saved = steps.step(key, its_rows, None).saved
            if saved is None:
                continue
            keys.append(key)
            states.append(saved)
            if len(keys) == _STATES_AT_ONCE:
                yield full()
                keys, states = [], []
        if keys:
            yield full()
