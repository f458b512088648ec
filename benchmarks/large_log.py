"""Peak memory and speed of training on a log that is larger than memory.

Writes a log of interleaved sequences, compressed, and trains on it in a process of its own:

    python benchmarks/large_log.py 5_000_000 --updates 300

`--without-text` gives the rows to the sorter without a file between: reading a row takes some microseconds whatever the
size, and the memory of one block, so that all else can be measured with 200 million events in minutes.

Prints JSON: bytes of the log, peak memory of the whole process (VmHWM) and after reading, processor seconds of reading,
and symbols per processor second of updates, beside those from a log of 200,000 events, which is in memory.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stepcell.runtime.common.arrays import Indices
from stepcell.runtime.data import EventsReader, Recording, RowParser, storage
from stepcell.runtime.data.recording_builder import RecordingBuilder
from stepcell.runtime.data.row_errors import RowErrors
from stepcell.runtime.data.sorted_rows import Rows

_EVENTS_OF_A_MACHINE = 200
_ACTIVE = 4_096  # machines whose events are interleaved
_KINDS = 40
_SMALL = 200_000


def generated(events: int) -> Iterator[tuple[int, Indices, Indices]]:
    """Yield the time of the first event, machines and kinds; four of five events follow from the two before."""
    random = np.random.default_rng(0)
    successor = random.integers(0, _KINDS, (_KINDS, _KINDS))
    state = random.integers(0, _KINDS, (_ACTIVE, 2))
    written = 0
    while written < events:
        count = min(_ACTIVE, events - written)
        follows = successor[state[:, 0], state[:, 1]]
        symbols = np.where(random.random(_ACTIVE) < 0.8, follows, random.integers(0, _KINDS, _ACTIVE))
        state = np.stack([state[:, 1], symbols], axis=1)
        active = random.permutation(_ACTIVE)[:count]
        first = written // (_ACTIVE * _EVENTS_OF_A_MACHINE) * _ACTIVE  # machines come and go
        yield written, first + active, symbols[active]
        written += count


def write_log(path: Path, events: int) -> None:
    """Write the log, compressed."""
    with gzip.open(path, "wt", compresslevel=1, newline="\n") as file:
        file.write("time,machine,event\n")
        for first, machines, kinds in generated(events):
            pairs = enumerate(zip(machines.tolist(), kinds.tolist(), strict=True), start=first)
            file.write("".join(f"{at},m{machine},e{kind}\n" for at, (machine, kind) in pairs))


@dataclass(frozen=True)
class Generated(EventsReader):
    """Give generated rows to the sorter, as reading the file would."""

    def read(self, path: Path) -> Recording:
        """Return the recording of as many events as the name of `path` says."""
        events = int(path.name)
        parser = RowParser.of(self)
        assert parser.times is not None
        parser.times.read("0")  # it decides that times are numbers
        builder: Any = RecordingBuilder(path.name, RowErrors(path.name), parser)
        for kind in range(_KINDS):
            _ = builder._symbols[f"e{kind}"]
        parts, waiting = [], 0
        for first, machines, kinds in generated(events):
            parts.append(Rows(machines.astype(np.int32), first + np.arange(len(kinds)), kinds.astype(np.int32),
                              np.empty((len(kinds), 0))))  # fmt: skip
            waiting += len(kinds)
            if waiting >= storage.BLOCK or first + len(kinds) == events:
                rows = Rows(*map(np.concatenate, zip(*parts, strict=True)))
                for machine in range(len(builder._sequences), int(rows.sequences.max()) + 1):
                    _ = builder._sequences[f"m{machine}"]
                builder._sorter.add(rows)
                parts, waiting = [], 0
        recording, _ = builder.finish()
        return recording


def peak() -> int:
    """Return the largest memory of this process so far, in bytes; pages of mapped files count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status does not have VmHWM")


def measure(path: Path, updates: int) -> dict[str, float]:
    """Train on a log and return the figures."""
    from stepcell.train import Events, Network, Options, fit

    begin = time.process_time()
    kind = EventsReader if path.suffix else Generated
    problem = Events.from_file(path, kind("event", "machine", "time", end="<end>"))
    read, after_reading = time.process_time() - begin, peak()
    report = problem.data
    assert report is not None
    report.table()
    described, seconds = time.process_time() - begin - read, []
    fit(problem, Network("lstm", 64), Options(max_updates=updates), lambda row: seconds.append(time.process_time()))
    calls = np.diff(seconds)[2:]  # the first ones hold the compilation
    made = problem.batches(0, 1, 0).inputs.size * problem.recipe.updates_per_call
    return {
        "events": len(problem.corpus.train.ids) + len(problem.corpus.held_out.ids),
        "sequences": len(problem.corpus.train) + len(problem.corpus.held_out),
        "reading_cpu_seconds": round(read, 1),
        "events_read_per_cpu_second": round((len(problem.corpus.train.ids) + len(problem.corpus.held_out.ids)) / read),
        "table_cpu_seconds": round(described, 1),
        "peak_after_reading": after_reading,
        "peak": peak(),
        "symbols_per_cpu_second": round(made / float(np.median(calls))),
    }


def main() -> None:
    """Make the logs and measure each in a process of its own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("events", type=int, nargs="?", default=5_000_000)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--folder", type=Path, default=None, help="where the logs are made and removed")
    parser.add_argument("--without-text", action="store_true", help="give generated rows to the sorter")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.updates)))
        return
    results = {}
    with tempfile.TemporaryDirectory(prefix="stepcell-", dir=arguments.folder or "/var/tmp") as folder:
        for name, events in (("in_memory", _SMALL), ("large", arguments.events)):
            path = Path(folder, str(events) if arguments.without_text else f"{name}.csv.gz")
            if not arguments.without_text:
                write_log(path, events)
            command = [sys.executable, __file__, "--measure", str(path), "--updates", str(arguments.updates)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[name] = json.loads(done.stdout.splitlines()[-1])
            if path.exists():
                results[name]["log_bytes"] = path.stat().st_size
                path.unlink()
    results["speed_ratio"] = round(
        results["large"]["symbols_per_cpu_second"] / results["in_memory"]["symbols_per_cpu_second"], 3
    )
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
