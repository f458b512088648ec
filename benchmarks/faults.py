"""Ten faults put into the source on purpose, one after the other: how many tests notice each?

    python benchmarks/faults.py                  # all, about ten minutes; or: make faults
    python benchmarks/faults.py vocabulary fork  # those with one of these words in their name

Each is one line that is replaced in a copy of the source, in which the tests named beside it are run. A fault that no
test notices is a finding, and so is a line that is no longer found: mend the table. Exit code 1 where there is one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Fault(NamedTuple):
    """One line that is replaced.

    Attributes:
        name: What is wrong then.
        file: The file, from the root.
        old: The line without the blanks before it; it stands in the file once.
        new: What stands there in its place.
        tests: Where the tests are that should notice.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


STREAMS = ("tests/runtime/streams", "tests/runtime/interpreters")
FAULTS = (
    Fault(
        "h and c change places where the next state is fed back",
        "runtime/interpreters/numpy_backend.py",
        "feedback = [(as_bytes(tensors[tensor.name]), as_bytes(tensors[tensor.next])) for tensor in manifest.state]",
        "feedback = [(as_bytes(tensors[a.name]), as_bytes(tensors[b.next]))"
        " for a, b in zip(manifest.state, manifest.state[::-1])]",
        STREAMS,
    ),
    Fault(
        "a run that fails in the middle leaves the state there",
        "runtime/streams/stream_state.py",
        "self._park(before)",
        "pass",
        STREAMS,
    ),
    Fault(
        "a fork shares the interpreter",
        "runtime/streams/stream.py",
        "return type(self)(self.pool, self.snapshot())",
        "new = type(self)(self.pool, self.snapshot()); new._backend = self._backend; return new",
        STREAMS,
    ),
    Fault(
        "a reset keeps the state",
        "runtime/streams/stream_state.py",
        "self._park(Snapshot(after_reset(manifest, self.snapshot().state if manifest.static else {})))",
        "self._park(Snapshot(self.snapshot().state))",
        STREAMS,
    ),
    Fault(
        "a state that another model has saved is taken",
        "runtime/streams/saved_state.py",
        "if self.fingerprint != wanted.fingerprint and not ignore_fingerprint:",
        "if False:",
        STREAMS,
    ),
    Fault(
        "the tolerance of int8 files is loose",
        "export/parity/tolerance.py",
        "INT8: Tolerance(state=0.3, agreement=0.98, nll=0.01, noise=0.05),",
        "INT8: Tolerance(state=30, agreement=0.1, nll=10, noise=5),",
        ("tests/export/parity", "tests/export/test_quantization.py"),
    ),
    Fault(
        "the vocabulary is off by one",
        "runtime/format/vocabulary.py",
        "return self.symbols[id]",
        "return self.symbols[id - 1]",
        ("tests/runtime/format", "tests/runtime/streams", "tests/runtime/tasks"),
    ),
    Fault(
        "a file is written in place",
        "runtime/common/atomic_write.py",
        "atomic_rename(temporary, path)",
        "path.write_bytes(content)",
        ("tests/runtime/common", "tests/runtime/streams", "tests/runtime/serve"),
    ),
    Fault(
        "an unknown symbol moves the state as the first one does",
        "runtime/streams/input_encoder.py",
        "return self._vocabulary.encode(symbol)  # type: ignore[arg-type]  # None is no symbol, and is told so",
        "return self._vocabulary.encode(symbol if symbol in self._vocabulary.symbols else self._vocabulary.symbols[0])",
        STREAMS,
    ),
    Fault(
        "the rows of streams in lockstep are mixed",
        "runtime/streams/lockstep.py",
        "self._batch.compute(ids)",
        "self._batch.compute(ids[::-1])",
        STREAMS,
    ),
)


def copy_source(folder: Path) -> Path:
    """Copy the files of the project to `folder`/source, and let `folder` be where Python finds it as stepcell."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    (folder / "stepcell").symlink_to(folder / "source")
    return folder / "source"


def put_in(fault: Fault, source: Path) -> str | None:
    """Replace the line; return what stood in the file, or None if the line is not there once."""
    content = (source / fault.file).read_text() if (source / fault.file).exists() else ""
    lines = re.findall(rf"^ *{re.escape(fault.old)}$", content, re.M)
    if len(lines) != 1:
        return None
    blanks = lines[0][: -len(fault.old)]
    (source / fault.file).write_text(content.replace(f"{lines[0]}\n", f"{blanks}{fault.new}\n", 1))
    return content


@cache
def failing(tests: tuple[str, ...], source: Path, fault: str | None) -> tuple[frozenset[str], int]:
    """Run tests in the copy, which has `fault` in it; return which of them failed, and how many passed."""
    environment = {**os.environ, "PYTHONPATH": str(source.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-q", "-rfE", "-m", "not slow", "-p", "no:cacheprovider", "-n", "auto", "--dist", "loadscope"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=source, env=environment, text=True, capture_output=True, check=False)
    passed = re.search(r"(\d+) passed", done.stdout)
    return frozenset(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)), int(passed[1]) if passed else 0


def main(words: list[str]) -> int:
    """Put the faults in, those with one of `words` in their name; print a line for each."""
    findings = 0
    with tempfile.TemporaryDirectory() as folder:
        source = copy_source(Path(folder))
        for fault in FAULTS:
            if words and not any(word in fault.name for word in words):
                continue
            before = put_in(fault, source)
            if before is None:
                findings += 1
                print(f"NOT FOUND  {fault.name}: {fault.file} has not once the line {fault.old}", flush=True)
                continue
            failed, passed = failing(fault.tests, source, fault.name)
            (source / fault.file).write_text(before)
            noticed = failed - failing(fault.tests, source, None)[0]  # others fail without it
            findings += not noticed
            print(f"{len(noticed) or 'NONE':>4} of {len(failed) + passed} tests notice  {fault.name}", flush=True)
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
