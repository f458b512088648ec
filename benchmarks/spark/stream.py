"""Answer rows on Spark, kill the driver at random moments, and compare with a plain loop.

    python benchmarks/spark/stream.py --events 100000 --keys 10000 --kills 10

Writes rows as JSON files into a folder, runs `answer_stream` over them in a process of its own (local[2]), kills that
with signal 9 at random moments and starts it again until a run ends. Then each answer that the sink has committed is
compared with a plain loop over the rows of its key. Last it measures, without kills, rows and processor time of the
same work on Spark (JVM and workers) and in a plain fleet. Exit code 1 if an answer is wrong, missing or there twice.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tree import processor_seconds

from stepcell.runtime import load

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "data" / "memory.tflite"


def write_rows(folder: Path, keys: int, events: int, files: int) -> dict[str, list[str]]:
    """Write rows, in `files` files; return the symbols of each key."""
    chance = random.Random(1)
    per_key = -(-events // keys)
    streams = {f"m{number}": [chance.choice("01234") for _ in range(per_key)] for number in range(keys)}
    rows = [(key, seq) for seq in range(per_key) for key in streams][:events]
    folder.mkdir(parents=True)
    step = -(-len(rows) // files)
    for number in range(files):
        part = rows[number * step : (number + 1) * step]
        again = rows[max(0, number * step - step // 10) : number * step]  # a tenth is delivered again
        lines = [json.dumps({"machine": k, "seq": s, "event": streams[k][s]}) for k, s in (*again, *part)]
        chance.shuffle(lines)
        file = folder / f"{number:04}.json"
        file.write_text("\n".join(lines) + "\n")
        os.utime(file, (number, number))
    wanted = collections.Counter(key for key, _ in rows)
    return {key: streams[key][:count] for key, count in wanted.items()}


def answer(folder: Path, per_batch: int) -> None:
    """Answer the rows of a folder until all are answered."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    from stepcell.runtime.spark import answer_stream

    spark = (
        SparkSession.builder.master("local[2]").config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", "1g").getOrCreate()
    )  # fmt: skip
    spark.sparkContext.setLogLevel("OFF")
    df = spark.readStream.schema("machine string, seq long, event string").option("maxFilesPerTrigger", per_batch)
    answers = answer_stream(df.json(str(folder / "in")), MODEL, key="machine", symbol="event", seq="seq")
    began = time.perf_counter()
    query = (
        answers.writeStream.format("json").option("path", str(folder / "out"))
        .option("checkpointLocation", str(folder / "state")).trigger(availableNow=True).start()
    )  # fmt: skip
    query.awaitTermination()
    print(f"query took {time.perf_counter() - began:.1f} s", flush=True)
    (folder / "seconds").write_text(str(processor_seconds()))


def run(folder: Path, per_batch: int) -> subprocess.Popen[bytes]:
    """Begin to answer the rows of a folder in a process of its own."""
    command = [sys.executable, __file__, "--answer", str(folder), "--per-batch", str(per_batch)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def committed(out: Path) -> set[str]:
    """Return the names of the files that the sink has committed."""
    logs = list((out / "_spark_metadata").glob("*"))
    lines = [line for log in logs if not log.name.startswith(".") for line in log.read_text().splitlines()[1:]]
    return {Path(json.loads(line)["path"]).name for line in lines}


def compare(out: Path, streams: dict[str, list[str]]) -> bool:
    """Compare the answers with a plain loop, and print what was found."""
    wanted, stream = {}, load(MODEL).stream()
    for key, symbols in streams.items():
        stream.reset()
        for seq, symbol in enumerate(symbols):
            prediction = stream.step(symbol)
            wanted[key, seq] = (prediction.symbol, float(prediction.probability))
    got, wrong = collections.Counter[tuple[str, int]](), 0
    for name in committed(out):
        for line in (out / name).read_text().splitlines():
            row = json.loads(line)
            place = row["machine"], row["seq"]
            got[place] += 1
            symbol, probability = wanted[place]
            wrong += row.get("symbol") != symbol or abs(row.get("probability", 9) - probability) > 2e-6
    missing, twice = len(wanted.keys() - got.keys()), sum(count > 1 for count in got.values())
    print(f"{len(wanted):,} wanted, {len(got):,} answered: {wrong} wrong, {missing} missing, {twice} twice", flush=True)
    return not (wrong or missing or twice)


def main() -> int:
    """Run the trial and the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--per-batch", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60, help="a kill comes within so many seconds of a start")
    parser.add_argument("--answer", type=Path)
    options = parser.parse_args()
    if options.answer is not None:
        answer(options.answer, options.per_batch)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder, chance, kills = Path(name) / "work", random.Random(2), 0
        streams = write_rows(folder / "in", options.keys, options.events, options.files)
        while True:
            process = run(folder, options.per_batch)
            try:
                process.wait(chance.uniform(3, options.seconds) if kills < options.kills else None)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # the driver, its JVM and its workers, which the JVM started
                process.wait()
                kills += 1
                print(f"killed {kills} times; {len(committed(folder / 'out'))} files committed", flush=True)
        if process.returncode or not compare(folder / "out", streams):
            return 1
        for each in ("out", "state"):
            shutil.rmtree(folder / each)
        if run(folder, options.per_batch).wait():
            return 1
        spark = float((folder / "seconds").read_text())
        fleet, began = load(MODEL).fleet(), time.process_time()
        longest = max(map(len, streams.values()))
        for seq in range(longest):
            fleet.step({key: symbols[seq] for key, symbols in streams.items() if seq < len(symbols)})
        plain = time.process_time() - began
        print(f"{kills} kills. {options.events:,} rows, seconds of processor time: Spark {spark:.1f}", end=", ")
        print(f"{1e6 * spark / options.events:.0f} us a row; a plain fleet {plain:.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
