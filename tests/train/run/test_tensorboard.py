"""What TensorBoard is told is the history, also of a training that was resumed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import tensorflow as tf
from support.keras_models import MEMORY

from stepcell.runtime.common.errors import OutputError
from stepcell.train import HistoryRow, Network, Options, fit, tensorboard_log
from stepcell.train.fitting.checkpoint import read_checkpoint, write_checkpoint

LEARNING = {"learning/loss", "learning/accuracy", "learning/rate"}
HELD_OUT = {"held_out/nats", "held_out/accuracy"}


def shown(folder):
    """Return what TensorBoard shows: by name, the value at each step. A start record makes it forget later steps."""
    scalars = {}
    for path in sorted(folder.iterdir()):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            if event.HasField("session_log"):
                scalars = {name: {s: v for s, v in by.items() if s < event.step} for name, by in scalars.items()}
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                assert event.step not in scalars.setdefault(value.tag, {})
                scalars[value.tag][event.step] = float(tf.make_ndarray(value.tensor))
    return scalars


def wait_for_the_next_second():
    time.sleep(1.01 - time.time() % 1)  # the names of the files have the time in whole seconds


def test_loss_accuracy_and_learning_rate_of_each_block_and_every_evaluation_are_written(tmp_path):
    with tensorboard_log(tmp_path / "board") as log:
        fitted = fit(MEMORY, Network("rnn", 3), Options(seed=1, max_updates=110), log)
    scalars = shown(tmp_path / "board")
    assert set(scalars) == LEARNING | HELD_OUT
    assert scalars["learning/loss"] == {row.update: pytest.approx(row.loss) for row in fitted.history}
    assert scalars["learning/rate"] == {row.update: pytest.approx(row.learning_rate) for row in fitted.history}
    judged = {row.update: pytest.approx(row.evaluation.nats) for row in fitted.history if row.evaluation}
    assert scalars["held_out/nats"] == judged


def test_a_resumed_training_appends_at_the_right_step(tmp_path):
    board, checkpoint = tmp_path / "board", tmp_path / "checkpoint.npz"
    problem, network = MEMORY, Network("rnn", 3)
    with tensorboard_log(board) as log:
        first = fit(problem, network, Options(seed=1, max_updates=50), log, checkpoint=checkpoint)
        log(replace(first.history[-1], update=75, loss=99.0))  # after the checkpoint, so it will be made again
    state, snapshot = read_checkpoint(checkpoint)
    write_checkpoint(checkpoint, replace(state, stopped=""), snapshot)
    wait_for_the_next_second()
    with tensorboard_log(board, resume=True) as log:
        whole = fit(problem, network, Options(seed=1, max_updates=125), log, checkpoint=checkpoint, resume=True)
    assert [row.update for row in whole.history] == [25, 50, 75, 100, 125]
    assert shown(board)["learning/loss"] == {row.update: pytest.approx(row.loss) for row in whole.history}


def test_a_new_training_in_the_same_folder_replaces_what_was_shown(tmp_path):
    row = HistoryRow(50, 1.0, 0.5, 0.01, 0.3, 0.9)
    with tensorboard_log(tmp_path) as log:
        log(replace(row, update=10))
        log(row)
    wait_for_the_next_second()
    with tensorboard_log(tmp_path) as log:
        log(replace(row, update=20))
    assert shown(tmp_path)["learning/loss"] == {20: pytest.approx(0.3)}


def test_nothing_is_written_before_something_is_learned(tmp_path):
    with tensorboard_log(tmp_path):
        pass
    with tensorboard_log(None) as log:
        log(HistoryRow(1, 1.0, 0.5, 0.01, 0.3, 0.9))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write to the folder"), tensorboard_log(tmp_path / "file"):
        raise AssertionError("training began")
