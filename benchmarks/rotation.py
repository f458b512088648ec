"""Kill `stepcell predict --input log --follow --state s` at random moments while its log grows and is rotated.

    python benchmarks/rotation.py                # 200 kills of each kind
    python benchmarks/rotation.py --kills 20

- renamed: the log is renamed to log.1, log.2, ... while it is read. Its lines repeat, so that no bytes tell one file
  from another. The union of the answers has to be that of an undisturbed run.
- down: the same, and the log is renamed up to twice after each kill, while nothing reads it.
- copytruncate: the log is copied and truncated while it is read and after kills. Each answer has to be that of the
  lines which its state has seen, each gap between two lines has to be said, and all lines that are in the log at the
  end have to be answered.

Prints a row for each kind; the exit code is 1 if a number is wrong.
"""

from __future__ import annotations

import argparse
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
from typing import Any

from stepcell.runtime import load, read_model_file
from stepcell.runtime.format.model_file import pack

MEMORY = Path(__file__).resolve().parents[1] / "tests" / "data" / "memory.tflite"
PERIOD = "3012340124"
KINDS = ("renamed", "down", "copytruncate")
PATIENCE = 60.0  # seconds until the last line has to be answered


class Trial:
    """A log that is written, rotated and read by processes that are killed."""

    def __init__(self, folder: Path, kind: str, seed: int) -> None:
        """Begin with an empty log in `folder`."""
        self.kind, self.random, self.log = kind, random.Random(seed), folder / "log"
        self.folder, self.written, self.runs = folder, 0, 0
        self.log.touch()
        file = read_model_file(MEMORY)
        manifest = file.manifest
        reading = {"kind": "events", "symbol": "e", "format": "jsonl"}
        object.__setattr__(manifest, "training", {"data": {"reading": reading}})
        self.model = folder / "model.tflite"
        self.model.write_bytes(pack(file.payload, manifest, file.format))

    def write(self, lines: int) -> None:
        """Append lines."""
        with open(self.log, "a") as file:
            for _ in range(lines):
                line: dict[str, Any] = {"m": 1, "e": PERIOD[self.written % len(PERIOD)]}
                if self.kind == "copytruncate":
                    line["id"] = self.written
                file.write(json.dumps(line) + "\n")
                self.written += 1

    def rotate(self) -> None:
        """Rename the log, or copy and truncate it."""
        older = [each for each in self.folder.glob("log.*") if each.suffix[1:].isdigit()]
        for each in sorted(older, key=lambda one: -int(one.suffix[1:])):
            each.rename(each.with_name(f"log.{int(each.suffix[1:]) + 1}"))
        if self.kind == "copytruncate":
            shutil.copyfile(self.log, self.folder / "log.1")
            os.truncate(self.log, 0)
        else:
            self.log.rename(self.folder / "log.1")
            self.log.touch()

    def start(self) -> tuple[subprocess.Popen[bytes], Path, Path]:
        """Start the command; return it, its stdout and its stderr."""
        out, err = (self.folder / f"{name}{self.runs}" for name in ("out", "err"))
        self.runs += 1
        options = ["--format", "jsonl"] if self.kind == "copytruncate" else ["--key", "m", "--symbol-field", "e"]
        command = [
            sys.executable, "-m", "stepcell.cli", "predict", str(self.model), "--input", str(self.log), "--follow",
            "--state", str(self.folder / "s"), "--json", "--save-every", str(self.random.choice([7, 100, 1000])),
            "--save-interval", "0.2", *options,
        ]  # fmt: skip
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        return process, out, err

    def disturb(self, process: subprocess.Popen[bytes], out: Path) -> None:
        """Write and rotate while the command runs, and kill it."""
        wait_for(lambda: out.stat().st_size > 0 or process.poll() is not None)
        for _ in range(self.random.randint(1, 8)):
            self.write(self.random.randint(1, 400))
            time.sleep(self.random.uniform(0, 0.15))
            if self.random.random() < 0.4:
                self.rotate()
        process.kill()
        process.wait()
        for _ in range(self.random.randint(0, 2) if self.kind != "renamed" else 0):
            self.rotate()
            self.write(self.random.randint(0, 300))

    def finish(self) -> tuple[Path, Path]:
        """Let the command answer all lines; return its stdout and its stderr."""
        process, out, err = self.start()
        sizes = [-1]

        def is_quiet() -> bool:
            sizes.append(out.stat().st_size)
            return sizes[-1] == sizes[-2] and sizes[-1] > 0

        wait_for(is_quiet, pause=1.0)
        process.send_signal(signal.SIGTERM)
        process.wait()
        return out, err


def wait_for(condition: Any, pause: float = 0.02) -> None:
    """Wait until a condition holds, or patience ends."""
    until = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < until:
        time.sleep(pause)


def answers(out: Path) -> list[dict[str, Any]]:
    """Return the whole answers of a run: a killed one may have begun a line."""
    return [json.loads(line) for line in out.read_bytes().split(b"\n")[:-1]]


def run(kind: str, kills: int, seed: int) -> list[str]:
    """Return a row of the table: kind, kills, lines, answers, wrong ones."""
    with tempfile.TemporaryDirectory(prefix="rotation-") as name:
        trial, outputs = Trial(Path(name), kind, seed), []
        trial.write(20)
        for _ in range(kills):
            process, out, err = trial.start()
            trial.disturb(process, out)
            outputs.append((out, err))
        trial.write(5)
        outputs.append(trial.finish())
        judge = judge_copies if kind == "copytruncate" else judge_union
        given, wrong, note = judge(trial, outputs)
        return [kind, str(kills), str(trial.written), str(given), str(wrong), note]


def judge_union(trial: Trial, outputs: list[tuple[Path, Path]]) -> tuple[int, int, str]:
    """Compare the union of all answers with an undisturbed run."""
    stream, expected = load(MEMORY).stream(), {}
    for number in range(trial.written):
        prediction = stream.step(PERIOD[number % len(PERIOD)])
        expected[number + 1] = (prediction.symbol, round(prediction.probability, 6))
    found = [answer for out, _ in outputs for answer in answers(out)]
    wrong = sum(expected.get(one["seen"]) != (one["symbol"], one["probability"]) for one in found)
    missing = expected.keys() - {answer["seen"] for answer in found}
    return len(found), wrong + len(missing), f"{len(missing)} missing"


def judge_copies(trial: Trial, outputs: list[tuple[Path, Path]]) -> tuple[int, int, str]:
    """Check each answer against the lines that its state has seen, and each gap against the remarks."""
    model, history, wrong, given, gaps, unsaid = load(MEMORY), list[int](), 0, 0, 0, 0
    spare = 0  # remarks of the run before: it may have been killed before the first line behind a gap
    for out, err in outputs:
        remarks = err.read_text()
        first = next((line for line in remarks.splitlines() if "symbols seen" in line), "s: 0 symbols")
        del history[int(first.split(": ")[1].split()[0]) :]
        stream, jumps = model.stream(), 0
        stream.absorb([PERIOD[id % len(PERIOD)] for id in history])
        for answer in answers(out):
            expected = stream.step(answer["input"])
            wrong += (expected.symbol, round(expected.probability, 6)) != (answer["symbol"], answer["probability"])
            jumps += answer["id"] != (history[-1] + 1 if history else 0)
            history.append(answer["id"])
            given += 1
        said = sum(
            remarks.count(words) for words in ("has been truncated", "has been overwritten", "has changed since")
        )
        gaps, unsaid = gaps + jumps, unsaid + max(0, jumps - said - spare)
        spare = max(0, said - max(0, jumps - spare))
    left = [json.loads(line)["id"] for line in trial.log.read_text().splitlines()]
    missing = set(left) - set(history)
    return given, wrong + unsaid + len(missing), f"{gaps} gaps, {unsaid} unsaid, {len(missing)} missing"


def main() -> int:
    """Run the trials that are asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, action="append", help="kinds of trials; all if none is given")
    wanted = parser.parse_args()
    rows = [["kind", "kills", "lines", "answers", "wrong", ""]]
    for kind in wanted.kind or KINDS:
        rows.append(run(kind, wanted.kills, wanted.seed))
        print("  ".join(cell.ljust(13) for cell in rows[-1]), flush=True)
    return int(any(row[4] != "0" for row in rows[1:]))


if __name__ == "__main__":
    sys.exit(main())
