"""The training history for TensorBoard, as it grows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...runtime.common.atomic_write import make_folder
from ...runtime.common.errors import OutputError
from ..fitting.checkpoint import HistoryRow
from ..problems.value_score import ValueScore


@contextmanager
def tensorboard_log(folder: Path | None, *, resume: bool = False) -> Iterator[Callable[[HistoryRow], None]]:
    """Give an observer for `fit` that writes every row to `folder`, on disk when it returns.

    The step is the number of updates. Nothing is written before the first row.

    Args:
        folder: The log folder of TensorBoard; made if it does not exist. None: nothing is written.
        resume: Keep the history of an earlier process up to the update that this one goes on from. Else TensorBoard
            no longer shows it.

    Raises:
        OutputError: The folder cannot be written.
    """
    if folder is None:
        yield lambda _: None
        return
    make_folder(folder)
    import tensorflow as tf

    summary = tf.compat.v1.SummaryMetadata
    scalar = summary(plugin_data=summary.PluginData(plugin_name="scalars"), data_class=1)  # DATA_CLASS_SCALAR
    writer = None

    def observe(row: HistoryRow) -> None:
        nonlocal writer
        try:
            if writer is None:
                _write_restart(folder, row.update if resume else 0)
                writer = tf.summary.create_file_writer(str(folder))
            with writer.as_default(step=row.update):
                for name, value in _scalars(row).items():
                    # Not tf.summary.scalar, which does the same but needs the package tensorboard only to write.
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=scalar)
            writer.flush()
        except tf.errors.OpError as error:
            raise OutputError(f"Cannot write for TensorBoard to {folder}: {error.message}") from error

    try:
        yield observe
    finally:
        if writer is not None:
            writer.close()


def _scalars(row: HistoryRow) -> dict[str, float]:
    scalars = {"learning/loss": row.loss, "learning/accuracy": row.accuracy, "learning/rate": row.learning_rate}
    if isinstance(row.evaluation, ValueScore):
        errors = {f"held_out/absolute_error_{index}": error for index, error in enumerate(row.evaluation.absolute)}
        scalars |= {"held_out/loss": row.evaluation.loss, **errors}
    elif row.evaluation:
        scalars |= {"held_out/nats": row.evaluation.nats, "held_out/accuracy": row.evaluation.accuracy}
    return scalars


def _write_restart(folder: Path, step: int) -> None:
    """Tell TensorBoard to drop `step` and later steps of older files: they are made again.

    A file with a start record does that (`SessionLog` in TensorFlow's event.proto). Files are read in the order of
    their names, so this one's sorts after all older ones and before those that TensorFlow makes from now on.
    """
    import tensorflow as tf

    now = int(time.time())
    name = f"events.out.tfevents.{now:010d}.{socket.gethostname()}.!{os.getpid()}.restart"
    version = tf.compat.v1.Event(wall_time=now, file_version="brain.Event:2")
    start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    with tf.io.TFRecordWriter(str(folder / name)) as file:
        for event in (version, tf.compat.v1.Event(wall_time=now, step=step, session_log=start)):
            file.write(event.SerializeToString())
