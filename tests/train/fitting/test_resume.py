"""A training that was interrupted goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.problems import with_recipe
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.export import read_source
from stepcell.runtime.common.errors import ResumeError
from stepcell.train import Echo, Network, Options, Run, Text, fit
from stepcell.train.fitting.checkpoint import read_checkpoint

WORDS = "the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 40
TEXT = with_recipe(Text.of(WORDS), xla=False)  # compiling would take most of the time
ECHO = with_recipe(Echo(6, 2), xla=False)
TRAININGS = {
    "memory that drops out": (
        ECHO,
        Network("lstm", 12, dropout=0.3, chrono_init=9),
        Options(seed=3, max_updates=250),
    ),
    "memory that learns its start": (
        ECHO,
        Network("lstm", 12),
        Options(seed=3, max_updates=250, learn_initial_state=True),
    ),
    "text in two layers": (TEXT, Network("gru", 9, layers=2, embedding=4), Options(seed=3, max_updates=120)),
}


class CrashError(Exception):
    """The process is gone."""


def weights(fitted):
    return [*fitted.model.get_weights(), *fitted.initial_state.values()]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "training", [pytest.param(name, marks=[pytest.mark.slow] if n else []) for n, name in enumerate(TRAININGS)]
)
def test_a_resumed_training_ends_with_the_same_weights_bit_for_bit(training, tmp_path):
    problem, network, options = TRAININGS[training]
    whole = fit(problem, network, options)
    checkpoint = tmp_path / "checkpoint.npz"
    for stop_at in (1, 3):

        def crash(row, stop_at=stop_at):
            if row.update >= stop_at * problem.recipe.updates_per_call + 1:
                raise CrashError

        with pytest.raises(CrashError):
            fit(
                problem, network, options, crash, checkpoint=checkpoint, resume=stop_at > 1, checkpoint_seconds=0.0
            )  # fmt: skip
    resumed = fit(problem, network, options, checkpoint=checkpoint, resume=True)
    assert same(weights(whole), weights(resumed))
    assert whole.scores == resumed.scores
    strip = lambda rows: [(row.update, row.loss, row.accuracy, row.evaluation) for row in rows]  # noqa: E731
    assert strip(whole.history) == strip(resumed.history)


@pytest.mark.slow
def test_a_training_stopped_by_ctrl_c_can_go_on(tmp_path):
    problem, network, options = TRAININGS["text in two layers"]
    checkpoint = tmp_path / "checkpoint.npz"

    def interrupt(row):
        if row.update == 50:
            raise KeyboardInterrupt

    stopped = fit(problem, network, options, interrupt, checkpoint=checkpoint, checkpoint_seconds=0.0)
    assert stopped.stopped == "interrupted"
    resumed = fit(problem, network, options, checkpoint=checkpoint, resume=True)
    assert resumed.stopped == "updates"
    assert same(weights(fit(problem, network, options)), weights(resumed))


def test_a_training_goes_on_where_its_checkpoint_cannot_be_written_and_tries_again(tmp_path):
    checkpoint, warnings = tmp_path / "disk" / "checkpoint.npz", []

    def observe(row):
        if len(warnings) == 2 and not checkpoint.parent.exists():
            checkpoint.parent.mkdir()

    options = Options(seed=3, max_updates=4 * ECHO.recipe.updates_per_call)
    fitted = fit(
        ECHO, Network("lstm", 4), options, observe, checkpoint=checkpoint, checkpoint_seconds=0.0, warn=warnings.append
    )
    assert fitted.stopped == "updates"
    assert len(warnings) == 2
    assert warnings[0].startswith(f"Cannot write {checkpoint}: No such file or directory. The training goes on, and")
    assert read_checkpoint(checkpoint)[0].update == options.max_updates


@pytest.mark.slow
def test_a_run_that_crashed_before_its_first_checkpoint_begins_again_with_resume(tmp_path):
    folder, problem, network = tmp_path / "run", Echo(6, 2), Network("lstm", 12)
    options = Options(seed=3, max_updates=25)
    Run(folder, problem, network, options).begin()
    arguments = ["--symbols=6", "--lag=2", "--units=12", "--seed=3", "--max-updates=25", "--json", "--resume", "--out"]
    result = CliRunner().invoke(app, ["train", "echo", *arguments, str(folder)])
    assert result.exit_code == 0, result.output
    assert same(read_source(folder).model.get_weights(), fit(problem, network, options).model.get_weights())


# In a process that is killed: an echo that is never solved, in a run folder, resumed where there is a checkpoint.
TRAIN = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from support.problems import with_recipe
from stepcell.train import Echo, Network, Options, Run, fit
class Endless(Echo):
    def is_solved(self, scores):
        return False
problem = with_recipe(Endless(6, 2), xla=False)
network, options = Network(units=12, dropout=0.3), Options(seed=4, max_updates=3000, schedule="cosine")
folder = Path(sys.argv[1])
run = Run(folder, problem, network, options, resume=(folder / "run.json").exists())
resume = run.checkpoint.exists()
def observe(row):
    run.begin()
fitted = fit(problem, network, options, observe, checkpoint=run.checkpoint, resume=resume, checkpoint_seconds=0.0)
run.finish(fitted)
"""


@pytest.mark.slow
def test_a_training_killed_at_any_moment_leaves_no_half_written_file_and_goes_on(tmp_path):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    command = [sys.executable, "-c", TRAIN, str(folder), str(Path(__file__).parents[2])]
    moments = random.Random(1)
    for attempt in range(2):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (folder / "checkpoint.npz").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(moments.uniform(0.0, 0.8) + (4 if attempt else 0))  # the second time it has TensorFlow to import
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        read_checkpoint(folder / "checkpoint.npz")
    subprocess.run(command, check=True, capture_output=True)
    assert json.loads((folder / "run.json").read_text())["updates"] == 3000
    subprocess.run([*command[:3], str(whole), command[-1]], check=True, capture_output=True)
    one, other = (read_source(each).model.get_weights() for each in (folder, whole))
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
    run = Run(tmp_path, problem, network, options)
    run.begin()
    run.close()
    Run(tmp_path, problem, network, options, resume=True).close()
    with pytest.raises(ResumeError, match=r"started differently.*\n  - network: {'units': 9}, now {'units': 10}"):
        Run(tmp_path, problem, Network("gru", 10, layers=2, embedding=4), options, resume=True)


def test_a_finished_run_cannot_go_on(memory_run):
    from support.keras_models import MEMORY

    with pytest.raises(ResumeError, match="is finished \\(solved\\)"):
        Run(memory_run, MEMORY, Network(units=20), Options(seed=7), resume=True)
