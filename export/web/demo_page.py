"""A page that shows what a network remembers: its state drawn, swapped and restored, and the figures of a run."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from ...runtime.common.errors import NotSteppableError
from ...runtime.format.model_file import ModelFile
from .javascript import javascript_module, script_json


@dataclass(frozen=True)
class FileFigures:
    """One file on one interpreter, compared with Keras.

    Attributes:
        file: Name of the file.
        bytes: Its size.
        runtime: Interpreter and version.
        steps: Symbols stepped with the state carried.
        error: Largest difference of a probability.
        allowed: The largest that is allowed.
        microseconds: Processor time of a step; None: not measured.
    """

    file: str
    bytes: int
    runtime: str
    steps: int
    error: float
    allowed: float
    microseconds: float | None


@dataclass(frozen=True)
class RunFigures:
    """The figures of a training and its export.

    Attributes:
        curve: Update, accuracy and mean nats of each evaluation.
        updates: Updates of the training.
        seconds: Its time.
        parameters: Weights of the network.
        files: Each file on each interpreter.
    """

    curve: Sequence[tuple[int, float, float]]
    updates: int
    seconds: float
    parameters: int
    files: Sequence[FileFigures]


def read_figures(run: Path, report: Path) -> RunFigures:
    """Return the figures of the run folder `run` and of its export, whose parity.json is `report`."""
    about = json.loads((run / "run.json").read_text(encoding="utf-8"))
    with open(run / "history.csv", encoding="utf-8", newline="") as history:
        judged = [row for row in csv.DictReader(history) if row["judged_nats"]]
    curve = [(int(row["update"]), float(row["judged_accuracy"]), float(row["judged_nats"])) for row in judged]
    exported = json.loads(report.read_text(encoding="utf-8"))
    entries = exported["parity"]
    found = []
    for file, runtime in dict.fromkeys((entry["file"], entry["runtime"]) for entry in entries):
        same = [entry for entry in entries if (entry["file"], entry["runtime"]) == (file, runtime)]
        found.append(
            FileFigures(
                file,
                exported["files"][file]["bytes"],
                runtime,
                max(entry["steps"] for entry in same if entry["start"] != "each"),
                max(entry["max_abs_error"] for entry in same),
                exported["gates"][same[0]["quantization"]]["max_abs_error"],
                min((entry["microseconds"] for entry in same if entry["microseconds"] is not None), default=None),
            )
        )
    return RunFigures(curve, about["updates"], about["seconds"], about["parameters"], found)


def demo_page(file: ModelFile, sequences: Sequence[Sequence[str]], figures: RunFigures) -> str:
    """Return the text of a page that steps `file` through two sequences which agree in the middle.

    Args:
        file: An LSTM that answers with the next symbol.
        sequences: Two of the same length, which differ in the first and the last symbol alone.
        figures: What the page tells of training and export.

    Raises:
        NotSteppableError: There is no JavaScript for something in the file, or it is not such a network.
    """
    manifest = file.manifest
    if len(manifest.state) != 2 or manifest.state[0].shape != manifest.state[1].shape or not manifest.output_symbols:
        raise NotSteppableError(
            f"{file.name} cannot be shown: the page is for an LSTM of one layer that answers with a symbol. "
            "Nothing was written."
        )
    folder = files(__package__)
    parts = {
        "TITLE": escape(manifest.name),
        "STYLE": folder.joinpath("demo.css").read_text(encoding="utf-8"),
        "MODULE": javascript_module(file),
        "RUN": script_json({"sequences": [list(each) for each in sequences], **asdict(figures)}),
        "SCRIPT": folder.joinpath("demo.js").read_text(encoding="utf-8"),
    }
    template = folder.joinpath("demo.html").read_text(encoding="utf-8")
    # In one pass: what is put in is not searched. Nothing in the module ends a script.
    return re.sub(r"@([A-Z]+)@", lambda found: parts[found[1]], template)
