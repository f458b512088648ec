"""The run folder: the files that a training writes."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import __version__
from ...runtime.common.atomic_write import atomic_write, make_folder, remove_partial_files
from ...runtime.common.errors import OutputError, ResumeError
from ...runtime.common.lock import LOCK_FILE, FolderLock
from ...runtime.format.tensor_specs import SYMBOL
from ...runtime.format.vocabulary import escape_symbol
from ..fitting.checkpoint import HistoryRow
from ..fitting.options import Options
from ..network.network import Network
from ..problems.problem import Problem, Score
from ..problems.value_score import ValueScore
from .plots import draw_curve, draw_state, draw_values

if TYPE_CHECKING:
    from ..fitting.fit import FitResult

MODEL_FILE, RUN_FILE, METRICS_FILE = "model.keras", "run.json", "metrics.json"
HISTORY_FILE, SAMPLE_FILE, CURVE_FILE = "history.csv", "sample.txt", "curve.png"
STATE_FILE, CHECKPOINT_FILE, DATA_FILE, VALUES_FILE = "state.png", "checkpoint.npz", "data.png", "values.png"
INITIAL_STATE_FILE, SAMPLE_RECORDS_FILE = "initial_state.npz", "sample.jsonl"
PLAN_FILE, TRIALS_FILE, TRIALS_TABLE, TRIALS_PLOT = "search.json", "search.db", "search.csv", "search.png"
_ALL_FILES = (
    MODEL_FILE, RUN_FILE, METRICS_FILE, HISTORY_FILE, SAMPLE_FILE, CURVE_FILE, STATE_FILE, CHECKPOINT_FILE, DATA_FILE,
    PLAN_FILE, TRIALS_FILE, f"{TRIALS_FILE}-journal", TRIALS_TABLE, TRIALS_PLOT, INITIAL_STATE_FILE,
    SAMPLE_RECORDS_FILE, VALUES_FILE,
)  # fmt: skip
_CHECKPOINTS = "checkpoint.*.npz"  # of the trials of a search
_SAMPLE = 10_000  # symbols
PREVIOUS = ".previous"  # appended to the name of a folder that an earlier run moves to


class Run:
    """One training and its folder.

    The files: model.keras (the Keras model), run.json (everything needed to repeat the run, and the vocabulary),
    metrics.json (the evaluation), history.csv (a line per row of the history), sample.txt (symbols as they really
    occur, one per line, for the exporter to check on; with features sample.jsonl in its place, of objects as stepcell
    predict reads them), initial_state.npz (the state that follows a reset, where it was learned), and with matplotlib
    curve.png, state.png, of values values.png and, where data were read, data.png; checkpoint.npz while it is not
    finished.
    """

    def __init__(
        self, folder: Path, problem: Problem, network: Network, options: Options, *, resume: bool = False,
        taken: bool = False, base: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Make sure, before hours are spent, that the run can be written to `folder`. Nothing there is changed yet.

        Args:
            folder: Where to write; made if it is not there.
            problem: The problem.
            network: The shape of the network.
            options: The options of training.
            resume: Go on with the run in `folder`.
            taken: A search has taken the folder; the run replaces the one that was its best before.
            base: Which run it goes on from, see `BaseRun.describe`; None: none.

        Raises:
            OutputError: The folder cannot be written, holds files that no run has left there, or another training has
                it, until that is finished or closed.
            ResumeError: There is nothing to go on with, or it is another run; all differences are named.
        """
        self._folder = folder.resolve()
        self._problem = problem
        self._plan = {**_describe_plan(problem, network, options), "from": None if base is None else dict(base)}
        self._begun = resume or taken
        self.checkpoint = self._folder / CHECKPOINT_FILE
        self._lock: FolderLock | None = None
        self._is_new = not self._folder.exists()
        if resume:
            read_plan(self._folder / RUN_FILE, self._plan, ("problem", "network", "options", "from"), "run")
            self._lock = FolderLock(self._folder, "training")
            remove_partial_files(self._folder)
        elif not taken:
            check_free(self._folder)
            self._lock = FolderLock(self._folder, "training")

    def begin(self) -> None:
        """Take the folder, once something has been learned: an earlier run's files move to FOLDER.previous.

        Raises:
            OutputError: They cannot be moved, or the folder cannot be written.
        """
        if self._begun:
            return
        move_aside(self._folder)
        atomic_write(self._folder / RUN_FILE, as_json({**self._plan, "stopped": None}))
        picture = None if self._problem.data is None else self._problem.data.picture()
        if picture is not None:
            atomic_write(self._folder / DATA_FILE, picture)
        self._begun = True

    def finish(self, fitted: FitResult) -> list[Path]:
        """Write the result, each file atomically; remove the checkpoint unless the run can go on from it.

        Args:
            fitted: The result of `fit`.

        Returns:
            The files written.

        Raises:
            OutputError: The folder cannot be written.
        """
        self.begin()
        contents = {
            METRICS_FILE: as_json(_describe_metrics(fitted)),
            HISTORY_FILE: _as_csv(fitted.history).encode(),
            **_sample(fitted),
            MODEL_FILE: _keras_file(fitted),
        }
        pictures = {
            CURVE_FILE: draw_curve(fitted.history),
            STATE_FILE: draw_state(fitted),
            VALUES_FILE: draw_values(fitted),
        }
        if fitted.initial_state:
            contents[INITIAL_STATE_FILE] = _state_file(fitted)
        contents.update({name: picture for name, picture in pictures.items() if picture is not None})
        contents[RUN_FILE] = as_json({**self._plan, **_describe_result(fitted, self._plan["from"])})
        for name, content in contents.items():  # run.json last: it says that all others are there
            atomic_write(self._folder / name, content)
        if fitted.stopped != "interrupted":
            self.checkpoint.unlink(missing_ok=True)
        self.close()
        return [self._folder / name for name in contents]

    def close(self) -> None:
        """Leave the folder to other trainings; one that was made for this run and holds nothing is removed."""
        if self._lock is not None:
            self._lock.release()
        if self._is_new and not self._begun:
            with suppress(OSError):
                self._folder.rmdir()


def check_free(folder: Path) -> None:
    """Make sure that a run can be written to `folder`, which is made if it is not there.

    Raises:
        OutputError: It cannot be written, or holds files that no run has left there.
    """
    make_folder(folder)
    if any(path.name != LOCK_FILE for path in folder.iterdir()) and not _holds_a_run(folder):
        raise OutputError(f"{folder} is not empty and holds no run. Give --out a folder of its own.")


def _holds_a_run(folder: Path) -> bool:
    return (folder / RUN_FILE).exists() or (folder / PLAN_FILE).exists()


def move_aside(folder: Path) -> None:
    """Move the files of a run, if there is one, out of `folder`; only files of an older run make room for them.

    Raises:
        OutputError: They cannot be moved.
    """
    if not _holds_a_run(folder):
        return
    previous = folder.with_name(folder.name + PREVIOUS)
    make_folder(previous)
    try:
        for name in _ALL_FILES:
            (previous / name).unlink(missing_ok=True)
            if (folder / name).exists():
                (folder / name).replace(previous / name)
        for path in folder.glob(_CHECKPOINTS):
            path.unlink()
    except OSError as error:
        raise OutputError(f"Cannot move the earlier run to {previous}: {error.strerror or error}.") from error


def read_plan(path: Path, plan: dict[str, Any], parts: Sequence[str], noun: str, may_change: str = "") -> None:
    """Make sure that the run or search (the `noun`) that was begun at `path` can be resumed as `plan`.

    Args:
        path: File of the earlier plan.
        plan: The present plan.
        parts: Keys that have to be equal in both.
        noun: "run" or "search".
        may_change: The end of a sentence that names what else may differ.

    Raises:
        ResumeError: There is none, it is finished or damaged, or it was begun differently; all differences are named.
    """
    folder = path.parent
    try:
        found = json.loads(path.read_bytes())
        stopped = found.get("stopped")
    except FileNotFoundError:
        raise ResumeError(f"There is no {noun} in {folder} to go on with. Start it without --resume.") from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ResumeError(f"{path} is damaged ({error}). Start again without --resume.") from error
    if stopped not in (None, "interrupted"):
        raise ResumeError(f"The {noun} in {folder} is finished ({stopped}); there is nothing to go on with.")
    wanted = json.loads(json.dumps(plan))  # as JSON, because tuples come back as lists
    differing = [
        "  - {}: {}, now {}".format(part, *_differing(found.get(part), wanted[part]))
        for part in parts if found.get(part) != wanted[part]
    ]  # fmt: skip
    if differing:
        raise ResumeError(
            f"The {noun} in {folder} was started differently. Repeat its command with --resume{may_change}:\n"
            + "\n".join(differing)
        )


def _differing(one: Any, other: Any) -> tuple[Any, Any]:
    """Return two values that differ, of mappings only the keys that do."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    pairs = {name: _differing(one.get(name), other.get(name)) for name in names}
    return {name: a for name, (a, _) in pairs.items()}, {name: b for name, (_, b) in pairs.items()}


def _keras_file(fitted: FitResult) -> bytes:
    with tempfile.TemporaryDirectory(prefix="stepcell-") as workshop:
        path = Path(workshop, MODEL_FILE)
        try:
            fitted.model.save(path)
            return path.read_bytes()
        except OSError as error:
            raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error


def _state_file(fitted: FitResult) -> bytes:
    file = io.BytesIO()
    np.savez(file, **fitted.initial_state)
    return file.getvalue()


def package_version(name: str) -> str:
    """Return the version of a package, without importing it; tensorflow may be installed as tensorflow-cpu."""
    for distribution in (name, f"{name}-cpu", f"{name}-macos"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"


def _describe_plan(problem: Problem, network: Network, options: Options) -> dict[str, Any]:
    return {
        "producer": f"stepcell {__version__}",
        "problem": {"name": problem.name, **problem.to_json()},
        "network": network.to_json(),
        "options": options.to_json(),
        "vocabulary": list(problem.vocabulary.symbols),
        "unknown": problem.vocabulary.unknown,
        "labels": None if problem.labels is None else list(problem.labels.symbols),
        "values": None if problem.data is None or problem.data.values is None else list(problem.data.values.names),
        "normalisation": _describe_normalisation(problem),
        "packages": {name: package_version(name) for name in ("tensorflow", "keras", "numpy")},
        "recipe": asdict(problem.recipe),
    }


def _describe_normalisation(problem: Problem) -> dict[str, Any] | None:
    """Return how the network normalises features and values; None: it reads no numbers."""
    data = problem.data
    if data is None or not (data.scales or data.values):
        return None
    values = None if data.values is None else asdict(data.values)
    return {"features": [asdict(stats) for stats in data.scales], "values": values}


def _describe_result(fitted: FitResult, base: Mapping[str, Any] | None) -> dict[str, Any]:
    problem, recipe = fitted.data.problem, fitted.data.recipe
    last = fitted.history[-1] if fitted.history else None
    monitor = recipe.monitor
    return {
        "training": {
            "problem": problem.name,
            "framing": "truncated BPTT over chunks, state carried between them, random resets"
            if monitor == "carried"
            else "BPTT over whole sequences, state reset before each",
            "longest_length": recipe.time_steps,
            "parameters": fitted.parameters,
            **(fitted.scores[monitor].facts() if monitor in fitted.scores else {"accuracy": None}),
            **({"baselines": baselines} if (baselines := _baseline_facts(fitted)) else {}),
            **({} if problem.data is None else problem.data.record()),
            **({} if base is None else {"from": base}),
        },
        "stopped": fitted.stopped,
        "updates": last.update if last else 0,
        "kept_update": fitted.kept_update,
        "seconds": round(last.seconds, 1) if last else 0.0,
        "cpu_seconds": round(last.cpu_seconds, 1) if last else 0.0,
        "parameters": fitted.parameters,
    }


def _baseline_facts(fitted: FitResult) -> dict[str, Any]:
    return {name: score.facts() for name, score in fitted.baselines.items()}


def _sample(fitted: FitResult) -> dict[str, bytes]:
    """Return file name -> the beginning of a carried evaluation stream, a symbol and its features per line."""
    problem, carried = fitted.data.problem, fitted.data.evaluations["carried"]
    ids, vocabulary = carried.inputs[:_SAMPLE, 0].tolist(), problem.vocabulary
    symbols = [vocabulary.decode(id) for id in ids] if len(vocabulary) else []
    if carried.features is None or problem.data is None:
        return {SAMPLE_FILE: "".join(f"{escape_symbol(symbol)}\n" for symbol in symbols).encode()}
    names = [scale.name for scale in problem.data.scales]
    rows = carried.features[:_SAMPLE, 0]
    records: list[dict[str, Any]] = [
        {name: [float(str(number))] for name, number in zip(names, row, strict=True)} for row in rows
    ]
    if symbols:
        records = [{SYMBOL: symbol, **record} for symbol, record in zip(symbols, records, strict=True)]
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    return {SAMPLE_RECORDS_FILE: "".join(lines).encode()}


def _describe_metrics(fitted: FitResult) -> dict[str, Any]:
    """Return all scores, the carried one by position too, and for few symbols which is taken for which."""
    metrics: dict[str, Any] = {name: score.to_json() for name, score in fitted.scores.items()}
    if fitted.transfer is not None:
        metrics["transfer"] = fitted.transfer.to_json()
    if fitted.learned is not None:
        metrics["learned"] = fitted.learned.to_json()
    if fitted.carried is None:
        return metrics
    metrics["carried"] |= fitted.carried.details(fitted.model.output_shape[-1])
    return metrics


def as_json(content: dict[str, Any]) -> bytes:
    """Return `content` as a file that people can read."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _as_csv(history: Sequence[HistoryRow]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    of_values = any(isinstance(row.evaluation, ValueScore) for row in history)
    judged_names = ["judged_absolute_error", "judged_loss"] if of_values else ["judged_accuracy", "judged_nats"]
    writer.writerow(["update", "seconds", "learning_rate", "loss", "accuracy", *judged_names, "stage", "cpu_seconds"])
    for row in history:
        score = row.evaluation
        judged = ("", "") if score is None else (score.accuracy, score.nats) if isinstance(score, Score) else (
            ",".join(f"{error:.6g}" for error in score.absolute), score.loss
        )  # fmt: skip
        writer.writerow(
            [
                row.update,
                round(row.seconds, 3),
                row.learning_rate,
                row.loss,
                row.accuracy,
                *judged,
                row.stage,
                round(row.cpu_seconds, 3),
            ]
        )
    return file.getvalue()
