"""Replace the model of `stepcell serve` while records come: killed at random, and with many streams.

    python benchmarks/serve/new_model.py                          # 100 kills
    python benchmarks/serve/new_model.py --streams 100000         # how long records wait, and what taking over takes

Kills: a log grows, the model file is replaced by another one of the same symbols, and the service is killed with
kill -9 at random moments, while it catches up, steps both models, or takes over. All inputs are kept (--keep), so that
each answer has to be the one that the model it names gives to all that came before in its stream: none missing, none
wrong, none twice. After each kill the streams of the store have to be of one model.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stepcell.runtime import load
from stepcell.runtime.streams.saved_state import parse_saved_streams

DATA = Path(__file__).parents[2] / "tests" / "data"
NAMES = ("lstm", "gru", "three_lstm", "stack")
STREAMS = 20
KEEP = ("--keep", "100000")


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the service on the log of a folder."""
    command = [sys.executable, "-m", "stepcell.cli", "serve", "model.tflite", "--store", "state.db", "--file", "log"]
    command += ["--follow", "--out", "out", *options]
    return subprocess.Popen(command, cwd=folder, stderr=open(folder / "err", "ab"))


def replace(folder: Path, name: str) -> None:
    """Put another model in the place of model.tflite, at once."""
    shutil.copy(DATA / f"{name}.tflite", folder / "new")
    os.replace(folder / "new", folder / "model.tflite")


def owner_of(store: Path) -> str:
    """Return the model of a store, all of whose streams have to be of it."""
    with sqlite3.connect(store) as database:
        ((owner,),) = database.execute("SELECT fingerprint FROM model")
        rows = database.execute("SELECT state FROM streams").fetchall()
    mixed = [row for (row,) in rows if parse_saved_streams(row, "row").fingerprint != owner]
    if mixed:
        raise SystemExit(f"{len(mixed)} of {len(rows)} streams are of another model than the store")
    return str(owner)


def kill(kills: int, seed: int) -> None:
    """Run the trial of kills and print what was found."""
    draw, number = random.Random(seed), 0
    models = {load(DATA / f"{name}.tflite").manifest.fingerprint: load(DATA / f"{name}.tflite") for name in NAMES}
    with tempfile.TemporaryDirectory() as name:
        folder, records, found = Path(name), list[dict[str, object]](), dict[str, int]()
        (folder / "log").touch()
        replace(folder, "lstm")
        for _ in range(kills):
            process = start(folder, *KEEP, "--shadow", str(draw.choice([0, 20, 200])), "--commit-records", "7")
            until = time.monotonic() + draw.uniform(2.0, 7.0)  # it takes a second or two to start
            replaced = time.monotonic() + draw.uniform(0.5, 4.0)
            while time.monotonic() < until:
                with open(folder / "log", "a") as log:
                    for _ in range(draw.randint(1, 40)):
                        stream = f"s{draw.randrange(STREAMS)}"
                        record: dict[str, object] = {"stream": stream, "symbol": str(draw.randrange(7)), "n": number}
                        if draw.random() < 0.01:
                            record["start"] = True
                        number += 1
                        records.append(record)
                        log.write(json.dumps(record) + "\n")
                if replaced < time.monotonic():
                    replace(folder, draw.choice(NAMES))
                    replaced = until
                time.sleep(draw.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            process.wait()
            if (folder / "state.db").exists():
                owner = owner_of(folder / "state.db")
                found[owner] = found.get(owner, 0) + 1
        process = start(folder, *KEEP)
        if not is_answered(folder, number - 1, process):
            raise SystemExit(f"the last record is not answered:\n{(folder / 'err').read_text()[-3000:]}")
        process.terminate()
        process.wait()
        answers = [json.loads(line) for line in (folder / "out").read_text().splitlines()]
        events = [answer for answer in answers if "event" in answer]
        answered = [answer for answer in answers if "event" not in answer]
        wrong = 0
        right = {fingerprint: right_answers(records, model) for fingerprint, model in models.items()}
        for answer in answered:
            wrong += right[answer["model"]][answer["n"]] != (answer["symbol"], round(answer["probability"], 6))
        numbers = [answer["n"] for answer in answered]
        missing, twice = len(records) - len(set(numbers)), len(numbers) - len(set(numbers))
        print(
            f"{kills} kills, {len(records):,} records, {len(events)} events of a new model: {missing} missing, {twice} "
            f"twice, {wrong} wrong; stores found of each model: {sorted(found.values())}"
        )
        if missing or twice or wrong:
            raise SystemExit(1)


def is_answered(folder: Path, number: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the answer to a record; return False if it does not come."""
    until = time.monotonic() + 120
    while f'"n": {number},' not in (folder / "out").read_text():
        if time.monotonic() > until or process.poll() is not None:
            return False
        time.sleep(0.2)
    return True


def right_answers(records: list[dict[str, object]], model: object) -> list[tuple[str, float]]:
    """Return what one model answers to all records."""
    streams: dict[object, object] = {}
    found = []
    for record in records:
        stream = streams.setdefault(record["stream"], model.stream())  # type: ignore[attr-defined]
        if record.get("start"):
            stream.reset()  # type: ignore[attr-defined]
        answer = stream.step(record["symbol"])  # type: ignore[attr-defined]
        found.append((answer.symbol, round(answer.probability, 6)))
    return found


def fill(folder: Path, streams: int, steps: int) -> None:
    """Let so many streams make so many steps."""
    with open(folder / "log", "a") as log:
        for step in range(steps):
            for stream in range(streams):
                log.write(f'{{"stream": "s{stream}", "symbol": "{(stream + step) % 7}"}}\n')


def many(streams: int, steps: int) -> None:
    """Replace the model of many streams while one of them is stepped, and print how long its records wait."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        replace(folder, "lstm")
        fill(folder, streams, steps)
        process = start(folder, "--shadow", "0", "--commit-records", "1000")
        wait_until(lambda: (folder / "out").exists() and lines(folder / "out") >= streams * steps, 3600)
        replace(folder, "gru")
        began, waits = time.monotonic(), list[float]()
        count = lines(folder / "out")
        while not taken(folder) and time.monotonic() < began + 3600:
            with open(folder / "log", "a") as log:
                log.write('{"stream": "s0", "symbol": "1"}\n')
            sent, before = time.monotonic(), (folder / "out").stat().st_size
            wait_until(lambda before=before: (folder / "out").stat().st_size > before)  # type: ignore[misc]
            waits.append(time.monotonic() - sent)
            time.sleep(0.01)
        took = time.monotonic() - began
        waits.sort()
        process.terminate()
        process.wait()
        print(
            f"{streams:,} streams of {steps} steps: the new model had taken over {took:.1f} s after the file was "
            f"replaced; {len(waits):,} records meanwhile waited {1000 * waits[len(waits) // 2]:.1f} ms (the median), "
            f"{1000 * waits[int(0.99 * len(waits))]:.0f} ms (99 %), {1000 * waits[-1]:.0f} ms (the longest)"
        )
        print((folder / "err").read_text().splitlines()[-1], count, owner_of(folder / "state.db")[:12])


def taken(folder: Path) -> bool:
    """Tell whether a model has taken over."""
    return "has taken over" in (folder / "err").read_text()


def lines(path: Path) -> int:
    """Return the number of lines of a file."""
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def wait_until(is_true: object, seconds: float = 120) -> None:
    """Wait until a function returns True."""
    until = time.monotonic() + seconds
    while not is_true():  # type: ignore[operator]
        if time.monotonic() > until:
            raise SystemExit("waited too long")
        time.sleep(0.0005)


def main() -> None:
    """Run the trial that the options name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--streams", type=int, default=0)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.streams:
        many(options.streams, options.steps)
    else:
        kill(options.kills, options.seed)


if __name__ == "__main__":
    main()
