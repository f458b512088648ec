"""A checkpoint holds the numbers that were written, or is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest

from stepcell.runtime.common.errors import ResumeError
from stepcell.train.fitting.checkpoint import HistoryRow, Snapshot, TrainingState, read_checkpoint, write_checkpoint

WEIGHTS = (np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32))


@pytest.fixture
def path(tmp_path):
    state = TrainingState([HistoryRow(10, 1.5, 0.1, 1e-3, 0.7, 0.5)], 0.5, WEIGHTS, 1)
    write_checkpoint(tmp_path / "checkpoint.npz", state, Snapshot(WEIGHTS, (np.array(5),), ()))
    return tmp_path / "checkpoint.npz"


def test_a_checkpoint_is_read_as_it_was_written(path):
    state, snapshot = read_checkpoint(path)
    assert (state.update, state.best_loss, state.evaluations_since) == (10, 0.5, 1)
    assert all(np.array_equal(*pair) for pair in zip(snapshot.weights, WEIGHTS, strict=True))
    assert int(snapshot.optimizer[0]) == 5


def test_any_other_byte_and_any_other_length_is_refused(path):
    content, dice = path.read_bytes(), random.Random(1)
    for place in dice.sample(range(len(content)), 60):
        flipped = bytearray(content)
        flipped[place] ^= 1 << dice.randrange(8)
        for damaged in (bytes(flipped), content[:place], content[place:]):
            if damaged == content:
                continue
            path.write_bytes(damaged)
            with pytest.raises(ResumeError, match="is damaged"):
                read_checkpoint(path)


def test_arrays_without_the_checksum_are_refused(path):
    np.savez(path, **{"weights/0": WEIGHTS[0]})
    with pytest.raises(ResumeError, match="its content is not that of its checksum"):
        read_checkpoint(path)
