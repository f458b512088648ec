"""Cases of `benchmarks/cases.py`, a module for each area, and what they share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "data"  # checked-in model files
MEMORY = MODELS / "memory.tflite"


class Row(NamedTuple):
    """What came of a case.

    Attributes:
        input: The input in short.
        right: The right value.
        seen: The value that was seen. The case is ok if both are equal.
    """

    input: str
    right: Any
    seen: Any

    @property
    def ok(self) -> bool:
        """Whether the right value was seen."""
        return bool(self.right == self.seen)


def stepcell(*arguments: object, input: str | bytes = "", **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command `stepcell` of this Python in a process of its own, in the working directory.

    Args:
        arguments: Of the command line.
        input: What it reads from stdin.
        more: Further arguments of `subprocess.run`; 120 seconds are its timeout otherwise.
    """
    command = [sys.executable, "-m", "stepcell.cli", *map(str, arguments)]
    content = input if isinstance(input, bytes) else input.encode()
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, **{"input": content, "capture_output": True, "timeout": 120, "env": environment, **more}
    )
    out, err = (each.decode(errors="replace") for each in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(command, done.returncode, out, err)


def json_lines(text: str) -> list[Any]:
    """Return the values of lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]
