"""How trained networks are asked: as the tutorials ask them, and one symbol at a time as a device will."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ....runtime.common.arrays import AnyArray, Float32, Ids


def answers(model: keras.Sequential, inputs: Float32, batch: int) -> AnyArray:
    """Return the most likely outputs to inputs that are shown batch by batch.

    A stateful layer starts from zeros and keeps its state from one batch to the next, row by row.

    Args:
        model: A network of `Sequential`.
        inputs: float32 of shape (N, T, F).
        batch: Rows that are shown at a time.

    Returns:
        int of shape (N,), or (N, T) where the network answers after every time step.
    """
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_state()
    shown = [model.predict_on_batch(inputs[first : first + batch]) for first in range(0, len(inputs), batch)]
    chosen: AnyArray = np.concatenate(shown).argmax(-1)
    return chosen


def stepped(model: keras.Sequential) -> keras.Sequential:
    """Return a twin with the weights of `model` that answers after every step and carries the state through.

    What it answers to a sequence of T steps is what the cell answers when it is stepped T times.

    Args:
        model: A network whose last two layers are an LSTM and a Dense.

    Returns:
        A network from (B, T, F) to (B, T, K), for any B and T.
    """
    *_, recurrent, readout = model.layers
    settings = {**recurrent.get_config(), "return_sequences": True, "stateful": False}
    twins: tuple[Any, ...] = (keras.layers.LSTM.from_config(settings), type(readout).from_config(readout.get_config()))
    twin = keras.Sequential([keras.Input((None, recurrent.cell.kernel.shape[0])), *twins])
    for layer, original in zip(twins, (recurrent, readout), strict=True):
        layer.set_weights(original.get_weights())
    return twin


def one_hot(ids: Ids, size: int) -> Float32:
    """Return float32 of shape (..., size): one where the id is, else zero."""
    vectors: Float32 = np.eye(size, dtype=np.float32)[ids]
    return vectors


def share(right: AnyArray) -> float:
    """Return the share of true values."""
    return float(np.mean(right))
