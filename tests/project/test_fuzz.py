"""Damaged files end in stepcell's own errors: the short version of benchmarks/fuzz.py, in processes of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest
from support.models import DATA

from stepcell.runtime import load

pytest.importorskip("pyarrow")
FUZZ = Path(__file__).parents[2] / "benchmarks/fuzz.py"
CASES, DAMAGES = 200, 30
READ = (
    "models",
    "checkpoints",
    "hidden state",
    "json lines",
    "live lines",
    "parquet",
    "run folders",
    "stores",
    "tables",
    "texts",
)


@pytest.mark.slow
def test_damaged_files_of_all_kinds_end_in_errors_of_our_own_or_in_a_valid_reading(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    for name in ("memory.tflite", "memory.onnx"):
        copy(DATA / name, files)
        stream = load(DATA / name).stream()
        stream.absorb("3012")
        stream.save(files / f"{name}.state")
    options = ["--files", str(files), "--keep", str(tmp_path), "--seed", "3", "--jobs", "1"]
    counts = ["--cases", str(CASES), "--damages", str(DAMAGES), "--keras", "0", "--keras2", "0"]
    process = subprocess.run(
        [sys.executable, str(FUZZ), *options, *counts],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert process.returncode == 0, process.stdout + process.stderr
    found = {
        kind: {result: int(count) for count, result in re.findall(r"(\d+) (\w+)", results)}
        for kind, results in re.findall(r"^([a-z0-9 ]+): (.+)$", process.stdout, re.M)
    }
    assert found.keys() >= set(READ)
    assert found["models"].keys() >= {"fine", "DamagedFileError", "DamagedStateError", "ForeignFileError"}
    for kind, results in found.items():
        assert sum(results.values()) >= (CASES if kind == "models" else DAMAGES)
        assert set(results) - {"fine"}, f"no {kind} were refused"
