"""Damaged files end in stepcell's own errors: the short version of benchmarks/fuzz.py, in processes of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy

from support.models import DATA

from stepcell.runtime import load

FUZZ = Path(__file__).parents[2] / "benchmarks/fuzz.py"
CASES = 200


def test_two_hundred_damaged_files_end_in_errors_of_our_own(tmp_path):
    for name in ("memory.tflite", "memory.onnx"):
        copy(DATA / name, tmp_path)
        stream = load(DATA / name).stream()
        stream.absorb("3012")
        stream.save(tmp_path / f"{name}.state")
    options = ["--files", str(tmp_path), "--cases", str(CASES), "--seed", "3"]
    process = subprocess.run(
        [sys.executable, str(FUZZ), *options], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert process.returncode == 0, process.stdout + process.stderr
    counts = {name: int(count) for count, name in re.findall(r"^ +(\d+) +(\w+)$", process.stdout, re.M)}
    assert counts.keys() >= {"fine", "DamagedFileError", "DamagedStateError", "ForeignFileError"}
    assert sum(counts.values()) >= CASES
