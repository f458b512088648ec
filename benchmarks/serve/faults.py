"""Let the n-th write of `stepcell serve` fail, or kill it there, for every n of a run of 200 records.

    python benchmarks/serve/faults.py                       # every n, each kind of fault
    python benchmarks/serve/faults.py --records 20 --kind kill --every 3

Records come from a file, answers go to a file that is rotated by size. A small library (faults.c, made by the C
compiler of the machine and preloaded) counts each write, pwrite, fsync and fdatasync of a file in the folder of the
trial:

- error: one call fails with "Input/output error".
- full: a write is done by half, then all fail for 0.2 seconds with "No space left on device".
- kill, half: the process is killed before a call, or in the middle of a write.

Afterwards a service without faults goes on. Files of answers and the states of all streams have to be those of a run
without faults, and no run may end in anything but success, one of stepcell's own errors, or the kill. The exit code is
1 if one does not.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from trial import MODEL, make_record, to_line

from stepcell.runtime import load
from stepcell.runtime.common.errors import StepcellError
from stepcell.runtime.serve.service.options import ServeOptions
from stepcell.runtime.serve.service.start import serve

KINDS = {"error": (errno.EIO, 0.0), "full": (-3, 0.2), "kill": (-1, 0.0), "half": (-2, 0.0)}
PRELOADED = "STEPCELL_FAULTS"
FAILED, BROKEN = 1, 3  # exit codes of a run that ended in an error of stepcell, or in another one


class Trials:
    """Services that run in forked processes, in which everything is imported and the model is loaded."""

    def __init__(self, folder: Path, records: int, commit_records: int) -> None:
        """Write the records, and run once without a fault."""
        self.folder, self.commit_records, self.model = folder, commit_records, load(MODEL, backend="numpy")
        self.lines = folder / "in"
        self.lines.write_text("".join(f"{to_line(make_record(number))}\n" for number in range(records)))
        self.faults = ctypes.CDLL(None)
        self.faults.faults_set.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_double]
        self.faults.faults_calls.restype = ctypes.c_long
        self.calls, self.expected = 0, (b"", [])
        quiet = folder / "quiet"
        code = self.run(quiet, 0, 0, 0.0)
        self.calls = int((quiet / "calls").read_text())
        self.expected = self.result(quiet)
        if code or self.expected[0].count(b"\n") != records:
            raise RuntimeError(f"the run without faults ended with {code}: {(quiet / 'told').read_text()}")

    def run(self, folder: Path, number: int, kind: int, seconds: float) -> int:
        """Run a service in a process of its own; return its exit code, or minus its signal."""
        folder.mkdir(exist_ok=True)
        process = os.fork()
        if not process:
            os._exit(self._serve(folder, number, kind, seconds))
        _, status = os.waitpid(process, 0)
        return os.waitstatus_to_exitcode(status)

    def _serve(self, folder: Path, number: int, kind: int, seconds: float) -> int:
        told: list[str] = []
        disk = folder / "disk"
        disk.mkdir(exist_ok=True)
        options = ServeOptions(
            disk / "state.db", file=(self.lines,), out=disk / "out", out_rotate="5KB",
            commit_records=self.commit_records, keep=20,
        )  # fmt: skip
        self.faults.faults_set(os.fsencode(disk.resolve()), number, kind, seconds)
        code = 0
        try:
            serve(self.model, options, told.append)
        except StepcellError as error:
            told.append(str(error))
            code = FAILED
        except BaseException as error:
            told.append(f"{type(error).__name__}: {error}")
            code = BROKEN
        self.faults.faults_set(b"", 0, 0, 0.0) if number else None
        with open(folder / "told", "a") as file:
            file.write("\n".join(told) + "\n")
        (folder / "calls").write_text(str(self.faults.faults_calls()))
        return code

    def result(self, folder: Path) -> tuple[bytes, list[tuple[object, ...]]]:
        """Return the content of all files of answers, and the rows of all streams."""
        disk = folder / "disk"
        answers = b"".join(file.read_bytes() for file in [*sorted(disk.glob("out.*")), disk / "out"])
        with closing(sqlite3.connect(disk / "state.db")) as database:
            rows = database.execute("SELECT key, state, symbols_seen FROM streams ORDER BY key")
            return answers, list(rows)

    def judge(self, number: int, kind: str) -> tuple[str, str]:
        """Put in a fault, go on without one; return how the first run ended, and what is wrong ("" if nothing is)."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            folder = Path(name)
            code = self.run(folder, number, *KINDS[kind])
            ends = {0: "went on", FAILED: "ended with an error", -signal.SIGKILL: "killed"}
            wrong = [] if code in ends else [f"ended with {code}"]
            again = self.run(folder, 0, 0, 0.0)
            if again:
                wrong.append(f"the next run ended with {again}")
            elif self.result(folder)[0] != self.expected[0]:
                wrong.append("other answers")
            elif self.result(folder)[1] != self.expected[1]:
                wrong.append("other states")
            told = (folder / "told").read_text().strip().replace("\n", " | ") if wrong else ""
            return ends.get(code, "broken"), "; ".join(wrong) + (f" ({told})" if told else "")


def inside(wanted: argparse.Namespace) -> int:
    """Run all trials, in a process in which the library is preloaded."""
    failures, memory = 0, "/dev/shm" if Path("/dev/shm").is_dir() else None  # where a sync takes no time
    for commit_records in wanted.commit_records or [32]:
        with tempfile.TemporaryDirectory(prefix="faults-", dir=memory) as name:
            trials = Trials(Path(name), wanted.records, commit_records)
            for kind in wanted.kind or KINDS:
                began, ends, wrong = time.monotonic(), Counter[str](), 0
                for number in range(1, trials.calls + 1, wanted.every):
                    end, problem = trials.judge(number, kind)
                    ends[end] += 1
                    if problem:
                        wrong += 1
                        print(f"  {kind} at call {number}: {problem}", flush=True)
                failures += wrong
                words = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
                print(
                    f"{kind}, transactions of {commit_records}: {trials.calls} calls, {ends.total()} trials: {words}; "
                    f"{wrong} wrong; {time.monotonic() - began:.0f} s",
                    flush=True,
                )
    return int(failures > 0)


def main() -> int:
    """Make the library and run this script with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--commit-records", type=int, action="append", help="records of a transaction [32]")
    parser.add_argument("--kind", choices=KINDS, action="append", help="[all]")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try each N-th call alone")
    wanted = parser.parse_args()
    if os.environ.get(PRELOADED):
        return inside(wanted)
    with tempfile.TemporaryDirectory() as name:
        library = Path(name) / "faults.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library), PRELOADED: "1"}
        return subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
