"""A training that was interrupted goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from stepcell.export import read_source
from stepcell.runtime.common.errors import ResumeError
from stepcell.train import Echo, Network, Options, Run, Text, fit
from stepcell.train.commands.training import train_problem
from stepcell.train.fitting.checkpoint import read_checkpoint

TEXT = Text.of("the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 40)
TRAININGS = {
    "memory that drops out": (
        Echo(6, 2),
        Network("lstm", 12, dropout=0.3, chrono_init=9),
        Options(seed=3, max_updates=400),
    ),
    "memory that learns its start": (
        Echo(6, 2),
        Network("lstm", 12),
        Options(seed=3, max_updates=400, learn_initial_state=True),
    ),
    "text in two layers": (TEXT, Network("gru", 9, layers=2, embedding=4), Options(seed=3, max_updates=120)),
}


class CrashError(Exception):
    """The process is gone."""


def weights(fitted):
    return [*fitted.model.get_weights(), *fitted.initial_state.values()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(autouse=True)
def checkpoint_after_every_block(monkeypatch):
    monkeypatch.setattr("stepcell.train.fitting.fit._CHECKPOINT_SECONDS", 0.0)
    for problem in (Echo, Text):  # without XLA: compiling it would take most of the time
        recipe = problem.recipe.fget
        monkeypatch.setattr(problem, "recipe", property(lambda self, recipe=recipe: replace(recipe(self), xla=False)))


@pytest.mark.parametrize("training", TRAININGS)
def test_a_resumed_training_ends_with_the_same_weights_bit_for_bit(training, tmp_path):
    problem, network, options = TRAININGS[training]
    whole = fit(problem, network, options)
    checkpoint = tmp_path / "checkpoint.npz"
    for stop_at in (1, 3):

        def crash(row, stop_at=stop_at):
            if row.update >= stop_at * problem.recipe.updates_per_call + 1:
                raise CrashError

        with pytest.raises(CrashError):
            fit(problem, network, options, crash, checkpoint=checkpoint, resume=stop_at > 1)
    resumed = fit(problem, network, options, checkpoint=checkpoint, resume=True)
    assert same(weights(whole), weights(resumed))
    assert whole.scores == resumed.scores
    strip = lambda rows: [(row.update, row.loss, row.accuracy, row.evaluation) for row in rows]  # noqa: E731
    assert strip(whole.history) == strip(resumed.history)


def test_a_training_stopped_by_ctrl_c_can_go_on(tmp_path):
    problem, network, options = TRAININGS["text in two layers"]
    checkpoint = tmp_path / "checkpoint.npz"

    def interrupt(row):
        if row.update == 50:
            raise KeyboardInterrupt

    assert fit(problem, network, options, interrupt, checkpoint=checkpoint).stopped == "interrupted"
    resumed = fit(problem, network, options, checkpoint=checkpoint, resume=True)
    assert resumed.stopped == "updates"
    assert same(weights(fit(problem, network, options)), weights(resumed))


def test_a_run_that_crashed_before_its_first_checkpoint_begins_again_with_resume(tmp_path):
    problem, options = Echo(6, 2), Options(seed=3, max_updates=25)
    network = Network("lstm", 12)
    Run(tmp_path / "run", problem, network, options).begin()
    train_problem(lambda: problem, tmp_path / "run", units=12, seed=3, max_updates=25, resume=True)
    found = read_source(tmp_path / "run").model.get_weights()
    assert same(found, fit(problem, network, options).model.get_weights())


def test_a_training_killed_at_any_moment_leaves_no_half_written_file_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    arguments = ["train", "echo", "--symbols", "6", "--lag", "2", "--units", "12", "--dropout", "0.3"]
    arguments += ["--max-updates", "3000", "--schedule", "cosine", "--seed", "4", "--out", str(folder)]
    code = (
        "import sys, stepcell.train.fitting.fit as engine; engine._CHECKPOINT_SECONDS = 0.0\n"
        "from dataclasses import replace; from stepcell.train.problems.echo import Echo; recipe = Echo.recipe.fget\n"
        "Echo.recipe = property(lambda self: replace(recipe(self), xla=False)); Echo.is_solved = lambda *_: False\n"
        "from stepcell.cli import app; app(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, *arguments]
    moments = random.Random(1)
    for attempt in range(2):
        process = subprocess.Popen([*command, *(["--resume"] if attempt else [])], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (folder / "checkpoint.npz").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(moments.uniform(0.0, 0.8) + (4 if attempt else 0))  # the second time it has TensorFlow to import
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        read_checkpoint(folder / "checkpoint.npz")
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert json.loads((folder / "run.json").read_text())["updates"] == 3000
    whole = tmp_path / "whole"
    subprocess.run([*command[:-1], str(whole)], check=True, capture_output=True)
    import keras

    one, other = (keras.models.load_model(f / "model.keras").get_weights() for f in (folder, whole))
    assert same(one, other)
    finished = {"model.keras", "run.json", "metrics.json", "history.csv", "sample.txt", "curve.png", "state.png"}
    assert {path.name for path in folder.iterdir()} == finished


def test_a_damaged_checkpoint_is_refused(tmp_path):
    problem, network, options = TRAININGS["text in two layers"]
    checkpoint = tmp_path / "checkpoint.npz"
    with pytest.raises(ResumeError, match="There is no checkpoint"):
        fit(problem, network, options, checkpoint=checkpoint, resume=True)
    fit(problem, network, Options(max_updates=10), checkpoint=checkpoint)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(ResumeError, match="is damaged"):
        fit(problem, network, options, checkpoint=checkpoint, resume=True)


def test_another_command_cannot_go_on_with_a_run(tmp_path):
    problem, network, options = TRAININGS["text in two layers"]
    with pytest.raises(ResumeError, match="There is no run"):
        Run(tmp_path, problem, network, options, resume=True)
    Run(tmp_path, problem, network, options).begin()
    Run(tmp_path, problem, network, options, resume=True)
    with pytest.raises(ResumeError, match="started differently.*\n.*- network: .*'units': 9.*now .*'units': 10"):
        Run(tmp_path, problem, Network("gru", 10, layers=2, embedding=4), options, resume=True)


def test_a_finished_run_cannot_go_on(memory_run):
    from support.keras_models import MEMORY

    with pytest.raises(ResumeError, match="is finished \\(solved\\)"):
        Run(memory_run, MEMORY, Network(units=20), Options(seed=7), resume=True)
