"""Keyed state in a real checkpoint of Spark. Java and pyspark are needed."""

from __future__ import annotations

import json
import os

import pytest
from support.models import DATA
from support.serving import predicted

from stepcell.runtime import OptionError, SqliteStore, load
from stepcell.runtime.common.errors import WorkerError
from stepcell.runtime.spark import answer_stream, raise_reason
from stepcell.runtime.spark.workers import try_workers

pytestmark = pytest.mark.slow

MEMORY = DATA / "memory.tflite"


class Folder:
    """A folder of files of rows, and a query that answers them."""

    def __init__(self, spark, path, schema="machine string, seq long, event string"):
        self.spark, self.path, self.schema = spark, path, schema
        (path / "in").mkdir(parents=True)

    def add(self, rows):
        names = [part.split()[0] for part in self.schema.split(", ")]
        number = len(list((self.path / "in").iterdir()))
        lines = [json.dumps(dict(zip(names, row, strict=True)), default=str) for row in rows]
        file = self.path / "in" / f"{number:03}.json"
        file.write_text("\n".join(lines) + "\n")
        os.utime(file, (number, number))  # Spark takes files in the order of their times

    def stream(self, model=MEMORY, **options):
        df = self.spark.readStream.schema(self.schema).option("maxFilesPerTrigger", 1).json(str(self.path / "in"))
        return answer_stream(df, model, **{"key": "machine", "symbol": "event", "check": False, **options})

    def run(self, model=MEMORY, **options):
        """Answer what is there and return all answers so far, by key and order of stepping."""
        query = (
            self.stream(model, **options).writeStream.format("json").outputMode("append")
            .option("path", str(self.path / "out")).option("checkpointLocation", str(self.path / "state"))
            .trigger(availableNow=True).start()
        )  # fmt: skip
        query.awaitTermination()
        rows = self.spark.read.json(str(self.path / "out"), primitivesAsString=False).collect()
        return [row.asDict(recursive=True) for row in rows]


def symbols(answers, machine):
    return [a["symbol"] for a in sorted(answers, key=lambda a: a["seq"]) if a["machine"] == machine]


def test_rows_are_answered_over_batches_and_restarts_and_a_state_that_cannot_go_on_stops_the_query(spark, tmp_path):
    folder = Folder(spark, tmp_path / "a")
    folder.add([("a", 1, "0"), ("a", 0, "3"), ("b", 0, "4"), (None, 0, "3")])
    folder.add([("a", 1, "0"), ("a", 2, "1"), ("b", 2, "0")])
    first = folder.run(seq="seq", fields=["event"], check=True)
    assert symbols(first, "a") == predicted("301")
    assert [a["code"] for a in first if a.get("code")] == ["bad-record", "gap"]
    assert {a["machine"] for a in first if a.get("code") == "bad-record"} == {None}
    folder.add([("a", 3, "2")])
    assert symbols(folder.run(seq="seq", fields=["event"]), "a") == predicted("3012")
    folder.add([("a", 4, "0")])
    with pytest.raises(Exception, match="belongs to another model") as caught:
        folder.run(DATA / "gru.tflite", seq="seq", fields=["event"])
    with pytest.raises(WorkerError, match="'a' in the checkpoint belongs to another model.*new checkpoint"):
        raise_reason(caught.value)
    assert symbols(folder.run(seq="seq", fields=["event"]), "a") == predicted("30120")  # nothing was lost


def test_streams_begin_with_the_states_of_a_store_or_behind_earlier_rows(spark, tmp_path):
    model = load(MEMORY)
    stream = model.stream()
    stream.absorb("30")
    with SqliteStore(tmp_path / "state.db", model.file) as store:
        store.put({"a": stream.snapshot()})
    folder = Folder(spark, tmp_path / "a")
    folder.add([("a", 9, "1"), ("b", 0, "3")])
    found = folder.run(seq="seq", initial=tmp_path / "state.db")
    assert (symbols(found, "a"), symbols(found, "b")) == (predicted("301")[-1:], predicted("3"))
    with pytest.raises(OptionError, match="'machine' .key=. has integers, and 1 streams of the store.*'a'"):
        Folder(spark, tmp_path / "c", "machine long, seq long, event string").stream(
            seq="seq", initial=tmp_path / "state.db"
        )
    with pytest.raises(OptionError, match="'state' is of the type string, not one of binary"):
        folder.stream(seq="seq", initial=spark.createDataFrame([("a", "x")], "key string, state string"))
    folder = Folder(spark, tmp_path / "b")
    folder.add([("a", 1, "0"), ("a", 2, "1")])
    history = spark.createDataFrame([("a", 1, "0"), ("a", 0, "3")], folder.schema)
    assert symbols(folder.run(seq="seq", history=history), "a") == predicted("301")[-1:]


def test_rows_are_ordered_by_times_whatever_the_time_zone_and_forgotten_streams_begin_anew(spark, tmp_path):
    folder = Folder(spark, tmp_path / "a", "machine long, time timestamp, event string")
    folder.add([(7, "2026-03-08T07:30:00Z", "0"), (7, "2026-03-08T06:30:00Z", "3")])  # an hour apart
    folder.add([(7, "2026-03-08T07:00:00Z", "2"), (7, "2026-03-08T08:00:00Z", "1")])
    options = {"order": "time", "alert_below": 0.5, "top": 2}
    found = sorted(folder.run(**options), key=lambda a: a["time"])
    assert [a["symbol"] for a in found] == predicted("301")
    assert [a["time"] for a in found] == [
        f"2026-03-08T{t}" for t in ("01:30:00.000-05:00", "03:30:00.000-04:00", "04:00:00.000-04:00")
    ]
    assert [a["dropped"] for a in found] == [0, 0, 1]
    assert len(found[0]["top"]) == 2
    forgetful = Folder(spark, tmp_path / "b")
    forgetful.add([("a", 0, "3")])
    forgetful.add([("a", 0, "3")])
    assert symbols(forgetful.run(seq="seq", ttl="1ms", fields=["seq"]), "a") == predicted("3") * 2  # the query ends


def test_a_table_that_does_not_fit_and_a_model_that_workers_cannot_load_are_refused(spark, tmp_path):
    folder = Folder(spark, tmp_path / "a", "machine double, seq string, event string")
    with pytest.raises(OptionError, match=r"key='machine' is of the type double.*seq='seq' is of the type string"):
        folder.stream(seq="seq")
    with pytest.raises(OptionError, match=r"no column 'x' \(symbol=\)"):
        Folder(spark, tmp_path / "b").stream(seq="seq", symbol="x")
    with pytest.raises(OptionError, match="with seq=, or order="):
        folder.stream()
    with pytest.raises(OptionError, match="is no stream"):
        answer_stream(spark.range(1), MEMORY, key="id", symbol="id", seq="id")
    (tmp_path / "half.tflite").write_bytes(MEMORY.read_bytes()[:3000])
    spark.sparkContext.addFile(str(tmp_path / "half.tflite"))
    with pytest.raises(WorkerError, match=r"Python 3.* on .*: ForeignFileError: half.tflite carries.*PYSPARK_PYTHON"):
        try_workers(spark.sparkContext, "half.tflite", None)
