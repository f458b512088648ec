"""The notebooks run as they are, from the first cell to the last, and say what they promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import DOCS, ROOT

FOLDER = ROOT / "examples/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# What each of them prints, among other things.
PRINTED = {
    "1_train_and_see_the_state": [
        "100% right, 2,185 parameters",
        "after 3012: 3",
        "after 4012: 4",
        "with the state of the other: 4",
        "with its own again: 3",
    ],
    "2_export_your_keras_model": ["model.float16.tflite", "from Keras", "'h1': (1, 12)", "(Bidirectional)"],
    "3_watch_a_log": ["ship      ", "<-- alert"],
    "4_microcontroller_c": ["['memory.h']", "2 -> 4 (0.99", "state: 160 bytes"],
}
# Cells in their order in one namespace, as a kernel runs them; lines with a ! are commands.
RUN = """
import json, re, subprocess, sys
def shell(command):
    subprocess.run(command, shell=True, check=True)
namespace = {"__name__": "__main__", "shell": shell}
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        sys.stdout.flush()
        code = re.sub(r"^!(.+)$", lambda found: f"shell({found[1]!r})", "".join(cell["source"]), flags=re.M)
        exec(compile(code, f"cell {number}", "exec"), namespace)
"""


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(path, tmp_path):
    (tmp_path / "tests").symlink_to(ROOT / "tests")  # a checkout
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # those of this environment
    environment = {**os.environ, "PATH": commands, "MPLBACKEND": "agg", "COLUMNS": "160"}
    command = [sys.executable, "-c", RUN, str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in PRINTED[path.stem] if line not in done.stdout] == [], done.stdout


def test_every_notebook_is_of_version_4_and_has_no_outputs():
    assert [path.stem for path in NOTEBOOKS] == list(PRINTED)
    for notebook in map(read, NOTEBOOKS):
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        assert notebook["metadata"]["kernelspec"]["language"] == "python"
        ids = [cell["id"] for cell in notebook["cells"]]
        assert len(set(ids)) == len(ids)
        for cell in notebook["cells"]:
            wanted = {"cell_type", "id", "metadata", "source"}
            if cell["cell_type"] == "code":
                wanted |= {"execution_count", "outputs"}
                assert (cell["execution_count"], cell["outputs"]) == (None, [])
            assert set(cell) == wanted


def test_every_notebook_stands_on_the_page_of_notebooks_and_begins_with_a_title():
    page = (DOCS / "notebooks.md").read_text()
    assert re.findall(r"\]\(\.\./examples/notebooks/(\w+)\.ipynb\)", page) == list(PRINTED)
    titles = ["".join(read(path)["cells"][0]["source"]).splitlines()[0] for path in NOTEBOOKS]
    assert [title for title in titles if not title.startswith("# ") or title[2:] not in page] == []
