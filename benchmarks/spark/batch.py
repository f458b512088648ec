"""Score a Parquet table on Spark and with `score` in plain processes over shards, and compare processor times.

    python benchmarks/spark/batch.py --events 2000000

Both read, sort and score the same rows, which stand in the files in mixed order: Spark from one folder of Parquet files
(local[2], the JVM counts), and two plain processes, each a shard by the hash of the key. Exit code 1 if bits differ by
more than 1e-5 or ranks beyond near-ties.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tree import processor_seconds

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "data" / "memory.tflite"
SHARDS = 2


def write_table(folder: Path, events: int, length: int) -> None:
    """Write the rows as Parquet: a folder for Spark, and a file for each shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    cases = np.repeat(np.arange(events // length), length)
    times = np.tile(np.arange(length), events // length)
    order = random.permutation(len(cases))
    cases, times = cases[order], times[order]
    symbols = random.integers(0, 5, len(cases)).astype("U1")
    names = np.char.add("case", cases.astype("U8"))
    (folder / "all").mkdir(parents=True)
    for part in range(8):
        rows = slice(part * len(cases) // 8, (part + 1) * len(cases) // 8)
        table = pa.table({"case": names[rows], "time": times[rows], "activity": symbols[rows]})
        pq.write_table(table, folder / "all" / f"{part}.parquet")
    for shard in range(SHARDS):
        chosen = cases % SHARDS == shard
        table = pa.table({"case": names[chosen], "time": times[chosen], "activity": symbols[chosen]})
        pq.write_table(table, folder / f"shard{shard}.parquet")


def score_on_spark(folder: Path) -> None:
    """Score the folder and write the scores as Parquet."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    from stepcell.runtime.spark import score_table

    spark = (
        SparkSession.builder.master("local[2]").config("spark.sql.shuffle.partitions", "4")
        .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", "1g").getOrCreate()
    )  # fmt: skip
    spark.sparkContext.setLogLevel("OFF")
    began = time.perf_counter()
    scores = score_table(spark.read.parquet(str(folder / "all")), MODEL, key="case", symbol="activity", order="time")
    scores.write.parquet(str(folder / "scores"))
    print(f"Spark took {time.perf_counter() - began:.1f} s", flush=True)
    (folder / "seconds").write_text(str(processor_seconds()))


def score_shard(folder: Path, shard: int) -> None:
    """Read, sort and score a shard as `stepcell score` does, and write the scores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from stepcell.runtime import load
    from stepcell.runtime.data import EventsReader
    from stepcell.runtime.tasks.score import score_ids

    reader = EventsReader(symbol="activity", sequence="case", order="time")
    model = load(MODEL)
    recording = reader.read(folder / f"shard{shard}.parquet")
    ids = model.vocabulary.encode_all(recording.symbols)[recording.ids].astype(np.int32)
    stream, bits, ranks = model.stream(), [], []
    for first, last in zip(recording.starts[:-1].tolist(), recording.starts[1:].tolist(), strict=True):
        stream.reset()
        found = score_ids(stream, ids[first:last])
        bits.append(found.bits)
        ranks.append(found.ranks)
    pq.write_table(pa.table({"bits": np.concatenate(bits), "rank": np.concatenate(ranks)}), folder / f"plain{shard}.pq")


def run(*commands: list[str]) -> float:
    """Run commands at the same time and return the processor time of all, that of a JVM excepted."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    processes = [subprocess.Popen([sys.executable, __file__, *each], stderr=subprocess.DEVNULL) for each in commands]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"{commands} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(folder: Path) -> bool:
    """Compare the sorted bits and the counts of ranks of both."""
    import pyarrow.parquet as pq

    spark = pq.read_table(folder / "scores")
    plain = [pq.read_table(folder / f"plain{shard}.pq") for shard in range(SHARDS)]
    ours = np.sort(spark["bits"].drop_null().to_numpy())
    theirs = np.sort(np.concatenate([each["bits"].to_numpy() for each in plain]))
    theirs = theirs[~np.isnan(theirs)]
    ranks = np.bincount(spark["rank"].drop_null().to_numpy(), minlength=6)
    others = np.bincount(np.concatenate([each["rank"].to_numpy() for each in plain]), minlength=6)
    worst = float(np.abs(ours - theirs).max()) if len(ours) == len(theirs) else np.inf
    print(f"{len(ours):,} symbols scored; sorted bits differ by {worst:.1e}; ranks {ranks[1:]} and {others[1:]}")
    return worst <= 1e-5 and int(np.abs(ranks[1:] - others[1:]).sum()) <= len(ours) // 100_000


def main() -> int:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--length", type=int, default=50)
    parser.add_argument("--spark", type=Path)
    parser.add_argument("--shard", nargs=2)
    options = parser.parse_args()
    if options.spark is not None:
        score_on_spark(options.spark)
        return 0
    if options.shard is not None:
        score_shard(Path(options.shard[0]), int(options.shard[1]))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder, options.events, options.length)
        run(["--spark", name])
        spark = float((folder / "seconds").read_text())
        plain = run(*(["--shard", name, str(shard)] for shard in range(SHARDS)))
        print(
            f"{options.events:,} rows, seconds of processor time: Spark {spark:.1f}, {SHARDS} plain processes ", end=""
        )
        print(f"{plain:.1f}; ratio {spark / plain:.2f}", flush=True)
        return 0 if compare(folder) else 1


if __name__ == "__main__":
    sys.exit(main())
