"""A run folder holds everything of a run, and nothing that is not a run is touched."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import keras
import numpy as np
import pytest
from support.keras_models import MEMORY

from stepcell.runtime.common.errors import OutputError
from stepcell.train import Echo, Memory, Network, Options, Run, fit
from stepcell.train import fit as fit_function
from stepcell.train.fitting.evaluate import Evaluator
from stepcell.train.run import folder as run_folder


def test_a_run_folder_holds_everything_needed_to_repeat_the_run(memory_run, fitted_memory):
    assert {path.name for path in memory_run.iterdir()} == {
        "model.keras", "run.json", "metrics.json", "history.csv", "sample.txt", "curve.png", "state.png",
    }  # fmt: skip
    run = json.loads((memory_run / "run.json").read_text())
    again = fit_function(
        Memory(tuple(map(tuple, run["problem"]["sequences"]))), Network(**run["network"]), Options(**run["options"])
    )
    saved = keras.models.load_model(memory_run / "model.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(saved, again.model.get_weights(), strict=True))
    metrics = json.loads((memory_run / "metrics.json").read_text())
    assert metrics["carried"]["accuracy"] == fitted_memory.scores["carried"].accuracy
    assert (memory_run / "history.csv").read_text().startswith("update,seconds,")
    assert (memory_run / "curve.png").read_bytes().startswith(b"\x89PNG")


def finish(folder, fitted):
    Run(folder, MEMORY, Network(units=20), Options(seed=7)).finish(fitted)


def test_an_earlier_run_moves_aside_and_nothing_that_is_not_a_run_is_touched(fitted_memory, tmp_path):
    folder = tmp_path / "run"
    previous = tmp_path / "run.previous"
    previous.mkdir()
    (previous / "thesis.tex").write_text("years of work")
    finish(folder, fitted_memory)
    (folder / "notes.txt").write_text("mine")
    first = (folder / "run.json").read_bytes()
    for _ in range(2):
        finish(folder, fitted_memory)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.previous"]
    assert (previous / "model.keras").exists()
    assert (previous / "run.json").read_bytes() == first
    assert (previous / "thesis.tex").read_text() == "years of work"
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_run_can_be_written_to_the_current_folder_and_through_a_link(fitted_memory, tmp_path, monkeypatch):
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    monkeypatch.chdir(real)
    for folder in (Path(), tmp_path / "link"):
        finish(folder, fitted_memory)
    assert (real / "model.keras").exists()
    assert (tmp_path / "real.previous" / "model.keras").exists()


def test_a_run_that_has_learned_nothing_yet_leaves_the_earlier_one_alone(fitted_memory, tmp_path):
    finish(tmp_path / "run", fitted_memory)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    Run(tmp_path / "run", Echo(), Network(), Options())
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_folder_that_was_made_for_a_run_that_has_learned_nothing_is_removed(tmp_path):
    (tmp_path / "earlier").mkdir()
    for name in ("new", "earlier"):
        Run(tmp_path / name, Echo(), Network(), Options()).close()
    assert [path.name for path in tmp_path.iterdir()] == ["earlier"]


def test_a_folder_belongs_to_one_training_until_that_is_finished(fitted_memory, tmp_path):
    first = Run(tmp_path / "run", MEMORY, Network(units=20), Options(seed=7))
    (tmp_path / "link").symlink_to(tmp_path / "run")
    for folder in (tmp_path / "run", tmp_path / "link"):
        with pytest.raises(OutputError, match="run is in use: another training writes there. Wait for its end, or"):
            Run(folder, Echo(), Network(), Options())
    first.begin()
    with pytest.raises(OutputError, match="is in use"):
        Run(tmp_path / "run", MEMORY, Network(units=20), Options(seed=7), resume=True)
    first.finish(fitted_memory)
    finish(tmp_path / "run", fitted_memory)
    assert (tmp_path / "run.previous" / "model.keras").exists()


def test_a_training_that_was_killed_leaves_the_folder_to_the_next(tmp_path):
    (tmp_path / ".stepcell.lock").touch()
    Run(tmp_path, MEMORY, Network(), Options()).close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="is not empty and holds no run"):
        Run(tmp_path, MEMORY, Network(), Options())
    with pytest.raises(OutputError, match="Cannot write"):
        Run(Path("/dev/null/run"), MEMORY, Network(), Options())


def test_ctrl_c_during_the_last_evaluation_loses_nothing(monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Evaluator, "score_all", interrupt)
    fitted = fit(MEMORY, Network(units=20), Options(seed=7))
    assert (fitted.stopped, fitted.scores) == ("interrupted", {})
    finish(tmp_path / "run", fitted)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["stopped"], run["training"]["accuracy"]) == ("interrupted", None)
    saved = keras.models.load_model(tmp_path / "run" / "model.keras").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(saved, fitted.model.get_weights(), strict=True))


def test_tensorflow_has_its_version_under_each_name_of_its_packages(monkeypatch):
    def version(distribution):
        if distribution != "tensorflow-cpu":
            raise PackageNotFoundError(distribution)
        return "2.99.0"

    monkeypatch.setattr(run_folder, "version", version)
    assert run_folder.package_version("tensorflow") == "2.99.0"
    assert run_folder.package_version("keras") == "unknown"
