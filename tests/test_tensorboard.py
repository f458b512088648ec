"""What TensorBoard is told is the history, also of a training that was resumed."""

from __future__ import annotations

import time

import pytest
import tensorflow as tf
from models import MEMORY

from stepcell.runtime.errors import OutputError
from stepcell.train import Network, Options, Row, fit, tensorboard_log

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
        fitted = fit(MEMORY, Network(units=6), Options(seed=1, updates=110), log)
    scalars = shown(tmp_path / "board")
    assert set(scalars) == LEARNING | HELD_OUT
    assert scalars["learning/loss"] == {row.update: pytest.approx(row.loss) for row in fitted.history}
    assert scalars["learning/rate"] == {row.update: pytest.approx(row.learning_rate) for row in fitted.history}
    judged = {row.update: pytest.approx(row.judged.nats) for row in fitted.history if row.judged}
    assert scalars["held_out/nats"] == judged


class CrashError(Exception):
    """The process is gone."""


def test_a_resumed_training_appends_at_the_right_step(tmp_path):
    board, checkpoint = tmp_path / "board", tmp_path / "checkpoint.npz"
    arguments = (MEMORY, Network(units=6), Options(seed=1, updates=200))

    def crash_after(log, last, begun):
        def observe(row):
            log(row)
            if row.update == last:
                raise CrashError

        return observe

    # The checkpoint is that of update 50; what was written after it is written again.
    with tensorboard_log(board) as log:
        fit(MEMORY, Network(units=6), Options(seed=1, updates=50), log, checkpoint=checkpoint)
    for update in (75, 100):
        with tensorboard_log(board, resume=True) as log:
            log(Row(update, 1.0, 0.5, 0.01, 99.0, 0.0))
    with pytest.raises(CrashError), tensorboard_log(board, resume=True) as log:
        fit(*arguments, crash_after(log, 125, begun=True))
