"""The runtime in a process of its own: an interpreter that crashes takes nothing else down."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

_CHATTER = ("INFO:", "WARNING:", "W0000", "I0000")  # what interpreters write to stderr when nothing is wrong


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes:
        output: What it wrote to stdout; "" where it failed.
        failure: Why it failed, in words; None where it did not.
    """

    output: str
    failure: str | None


def run_runtime(*arguments: str, timeout: float = 120.0) -> Outcome:
    """Run `python -m stepcell.runtime` with `arguments`; `timeout` is in seconds."""
    command = [sys.executable, "-m", "stepcell.runtime.worker", *arguments]
    try:
        process = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return Outcome("", f"gave no answer within {timeout:g} seconds")
    if not process.returncode:
        return Outcome(process.stdout, None)
    if process.returncode < 0:
        return Outcome("", f"crashed (signal {-process.returncode})")
    lines = [line for line in process.stderr.splitlines() if line.strip() and not line.startswith(_CHATTER)]
    if any(line.startswith("Traceback (most recent call last):") for line in lines):
        lines = lines[-1:]
    return Outcome("", " ".join(lines) or f"ended with exit code {process.returncode}")
