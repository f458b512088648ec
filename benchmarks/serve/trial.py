"""Records, the answers to them, and a `stepcell serve` that is killed: what the trials of serve have in common."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MODEL = Path(__file__).resolve().parents[2] / "tests" / "data" / "memory.tflite"
SYMBOLS, STREAMS = "01234", 7
PATIENCE = 120.0  # seconds until the last answer has to be there


def make_record(number: int) -> dict[str, Any]:
    """Return the record with this number, from 0: of one of a few streams, numbered in it, each time the same."""
    stream, seq = number % STREAMS, number // STREAMS
    symbol = SYMBOLS[random.Random(number).randrange(len(SYMBOLS))]
    record: dict[str, Any] = {"stream": f"s{stream}", "seq": seq, "symbol": symbol}
    if seq % 50 == 49:
        record["end"] = True
    return record


class Server:
    """`stepcell serve` in a process of its own."""

    def __init__(self, folder: Path, options: Sequence[str], model: Path = MODEL) -> None:
        """Start it with the store `folder`/state.db; its remarks are appended to `folder`/err."""
        command = [sys.executable, "-m", "stepcell.cli", "serve", str(model), "--store", str(folder / "state.db")]
        command += [
            "--keep",
            "20",
        ]  # the file is older than the measure of its memory, which would be made at each start
        self.err = folder / "err"
        with open(self.err, "ab") as err:
            self.process = subprocess.Popen(
                [*command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err
            )

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Let it end.

        Raises:
            RuntimeError: It had ended before, or has a traceback.
        """
        if self.process.poll() is not None:
            raise RuntimeError(f"serve has ended by itself:\n{self.err.read_text()[-2000:]}")
        self.process.terminate()
        self.process.wait(PATIENCE)
        if "Traceback" in self.err.read_text():
            raise RuntimeError(self.err.read_text()[-5000:])


def wait_for(
    condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, pause: float = 0.01
) -> bool:
    """Wait until a condition holds; return False if patience or the process ends before."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until or (process is not None and process.poll() is not None):
            return False
        time.sleep(pause)
    return True


def undisturbed(lines: Sequence[str], folder: Path) -> list[str]:
    """Return the answers to lines, from one run over a file of them."""
    folder.mkdir()
    (folder / "in").write_text("".join(f"{line}\n" for line in lines))
    out = folder / "out"
    server = Server(folder, ["--file", str(folder / "in"), "--out", str(out)])
    if server.process.wait(10 * PATIENCE) != 0:
        raise RuntimeError(server.err.read_text())
    return out.read_text().splitlines()


def compare(found: Sequence[str], expected: Sequence[str]) -> dict[str, int]:
    """Count the answers that are missing, come again, or are wrong, with lists in which each answer is another one."""
    known, seen = set(expected), set[str]()
    counts = {"missing": 0, "repeated": 0, "wrong": 0, "out of order": 0}
    for answer in found:
        counts["repeated"] += answer in seen
        counts["wrong"] += answer not in known
        seen.add(answer)
    counts["missing"] = len(known - seen)
    if not any(counts.values()) and list(found) != list(expected):
        counts["out of order"] = 1
    return counts


def size(path: Path) -> int:
    """Return the size of a file, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def to_line(record: dict[str, Any]) -> str:
    """Return a record as a line."""
    return json.dumps(record)
