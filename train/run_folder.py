"""The run folder: what a training leaves behind."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..runtime.errors import OutputError
from ..runtime.vocabulary import escape_symbol
from ..runtime.whole_file import make_folder, move_whole_file, write_whole_file
from .curve import draw_curve
from .fit import Fitted, Options, Row
from .network import Network
from .problem import Problem

MODEL_FILE, RUN_FILE, METRICS_FILE = "model.keras", "run.json", "metrics.json"
HISTORY_FILE, SAMPLE_FILE, CURVE_FILE = "history.csv", "sample.txt", "curve.png"
_SAMPLE = 10_000  # symbols
_PREVIOUS = ".previous"  # appended to the name of a folder that an earlier run moves to


def prepare_run_folder(folder: Path) -> None:
    """Make sure, before hours are spent, that the run can be written to `folder`.

    Raises:
        OutputError: It cannot be written, or it holds files that no run has left there.
    """
    make_folder(folder.parent)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RUN_FILE).exists():
        raise OutputError(f"{folder} is not empty and holds no run. Give --out a folder of its own.")
    make_folder(folder)


def write_run_folder(folder: Path, problem: Problem, network: Network, options: Options, fitted: Fitted) -> list[Path]:
    """Write the run into `folder`; an earlier run there moves to the folder's name with ".previous" appended.

    The files: model.keras (the Keras model), run.json (everything needed to repeat the run, and the vocabulary),
    metrics.json (the evaluation), history.csv (a line per block of updates), sample.txt (symbols as they really occur,
    one per line, for the exporter to check on), curve.png (where matplotlib is installed).

    Returns:
        The files written.

    Raises:
        OutputError: The folder cannot be written.
    """
    contents = {
        RUN_FILE: _as_json(_describe_run(problem, network, options, fitted)),
        METRICS_FILE: _as_json({name: score.to_json() for name, score in fitted.scores.items()}),
        HISTORY_FILE: _as_csv(fitted.history).encode(),
        SAMPLE_FILE: _sample(problem, options.seed).encode(),
    }
    curve = draw_curve(fitted.history)
    if curve is not None:
        contents[CURVE_FILE] = curve
    try:
        # Everything is finished beside the folder, then the folder changes places with it.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as workshop:
            finished = Path(workshop, folder.name)
            finished.mkdir()
            for name, content in contents.items():
                write_whole_file(finished / name, content)
            fitted.model.save(finished / MODEL_FILE)
            write_whole_file(finished / MODEL_FILE, (finished / MODEL_FILE).read_bytes())
            if any(folder.iterdir()):
                previous = folder.with_name(folder.name + _PREVIOUS)
                if previous.exists():
                    previous.rename(Path(workshop, "before-that"))
                folder.rename(previous)
            else:
                folder.rmdir()
            move_whole_file(finished, folder)
    except OSError as error:
        raise OutputError(f"Cannot write the run folder {folder}: {error.strerror or error}.") from error
    return [folder / name for name in (MODEL_FILE, *contents)]


def _describe_run(problem: Problem, network: Network, options: Options, fitted: Fitted) -> dict[str, Any]:
    last = fitted.history[-1] if fitted.history else None
    return {
        "producer": f"stepcell {__version__}",
        "problem": {"name": problem.name, **problem.to_json()},
        "network": network.to_json(),
        "options": asdict(options),
        "vocabulary": list(problem.vocabulary.symbols),
        "labels": None if problem.labels is None else list(problem.labels.symbols),
        "training": {
            "problem": problem.name,
            "framing": "truncated BPTT over chunks, state carried between them, random resets",
            "longest_length": problem.recipe.time_steps,
            "accuracy": fitted.scores["carried"].accuracy,
        },
        "stopped": fitted.stopped,
        "updates": last.update if last else 0,
        "seconds": round(last.seconds, 1) if last else 0.0,
        "parameters": fitted.parameters,
        "packages": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
    }


def _sample(problem: Problem, seed: int) -> str:
    """Return the beginning of a carried evaluation stream, one symbol per line."""
    ids = problem.evaluations(seed)["carried"].inputs[:_SAMPLE, 0]
    return "".join(f"{escape_symbol(problem.vocabulary.decode(int(id)))}\n" for id in ids)


def _as_json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _as_csv(history: Sequence[Row]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["update", "seconds", "learning_rate", "loss", "accuracy", "carried_accuracy", "carried_nats"])
    for row in history:
        carried = (row.carried.accuracy, row.carried.nats) if row.carried else ("", "")
        writer.writerow([row.update, round(row.seconds, 3), row.learning_rate, row.loss, row.accuracy, *carried])
    return file.getvalue()
