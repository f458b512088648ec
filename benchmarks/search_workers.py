"""Wall time of a search by two workers beside that of one, over a PostgreSQL of its own.

    python benchmarks/search_workers.py [--trials 12] [--max-updates 1500] [--rounds 3] [--storage URL]

Each worker is a process of its own and computes with one thread: it takes two cores that do nothing else. The networks
are of one size, and none solves the problem, so that trials take about as long. A round is one worker alone, then two
at once on another study; the imports of TensorFlow, the evaluation and the network that the second worker trains again
are within the time. With --storage the database is one that is there, and not one that is started for this.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


def search(workers: int, url: str, study: str, folder: Path, trials: int, max_updates: int) -> dict[str, float]:
    """Return wall and CPU seconds of a search from its start to the end of the last worker."""
    command = [
        sys.executable, "-m", "stepcell.cli", "train", "echo", "--lag", "10", "--units", "48", "--cell", "lstm",
        "--layers", "1", "--search", str(trials), "--max-updates", str(max_updates), "--threads", "1",
        "--storage", url, "--study", study,
    ]  # fmt: skip
    began, before = time.monotonic(), os.times()
    outs = [folder / f"{study}-{worker}" for worker in range(workers)]
    running = [
        subprocess.Popen([*command, "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for out in outs
    ]
    for one in running:
        _, error = one.communicate()
        if one.returncode:
            raise SystemExit(error)
    wall, after = time.monotonic() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    tables = [list(csv.DictReader((out / "search.csv").read_text().splitlines())) for out in outs]
    assert all(len(table) == trials for table in tables), "a trial is missing"
    assert len({(out / "metrics.json").read_bytes() for out in outs}) == 1, "the workers end with different networks"
    return {"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--max-updates", type=int, default=1_500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--storage")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.storage is None:
            from support.postgresql import Database

            url = stack.enter_context(Database()).url
        else:
            url = given.storage
        ratios = []
        for number in range(given.rounds):
            name = f"{os.getpid()}-{number}"
            one = search(1, url, f"one-{name}", folder, given.trials, given.max_updates)
            two = search(2, url, f"two-{name}", folder, given.trials, given.max_updates)
            ratios.append(round(two["seconds"] / one["seconds"], 3))
            print(json.dumps({"one": one, "two": two, "ratio": ratios[-1]}), flush=True)
        print(f"two workers take {statistics.median(ratios)} of the wall time of one ({given.trials} trials)")


if __name__ == "__main__":
    main()
