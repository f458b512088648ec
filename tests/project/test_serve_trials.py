"""Short versions of the trials of serve in benchmarks/serve: kill -9 at random moments, and faults at writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRIALS = Path(__file__).parents[2] / "benchmarks/serve"


def run(script, *arguments):
    command = [sys.executable, str(TRIALS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("source", ["file", "rotated"])
def test_a_service_that_is_killed_with_kill_9_leaves_out_no_answer_and_repeats_none(source):
    assert "0 missing, 0 repeated, 0 wrong, 0 out of order" in run("kills.py", "--source", source, "--kills", 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["error", "full", "kill", "half"])
def test_a_write_that_fails_or_is_killed_loses_nothing_and_repeats_nothing(kind):
    assert shutil.which("cc"), "a C compiler is needed"
    found = run("faults.py", "--records", 12, "--commit-records", 4, "--every", 11, "--kind", kind)
    assert "0 wrong" in found
