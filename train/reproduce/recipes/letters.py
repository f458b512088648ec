"""The alphabet as the tutorial codes it: a letter is its number divided by 26, one feature."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from ....runtime.common.arrays import AnyArray, Float32, Ids
from .answering import answers, share, stepped

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIZE = len(LETTERS)
ALL: Ids = np.arange(SIZE, dtype=np.int32)
CHANCE = 1 / SIZE
_ROUNDS = 12  # times that the alphabet is streamed


def code(ids: AnyArray) -> Float32:
    """Return float32 of the shape of `ids`: A is 0, Z is 25/26."""
    return ids.astype(np.float32) / SIZE


def build(layers: list[keras.layers.Layer]) -> keras.Sequential:
    """Return a network that ends in a probability for each letter."""
    model = keras.Sequential([*layers, keras.layers.Dense(SIZE, activation="softmax")])
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def reporter(epochs: int, progress: Callable[[float], None]) -> keras.callbacks.Callback:
    """Return what makes one `fit` of many epochs report its progress."""
    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: progress((epoch + 1) / epochs))


def streamed(model: keras.Sequential) -> float:
    """Return the share of right answers on the alphabet written twelve times, the state carried all along.

    The answer after Z does not count: what follows it is nowhere said.
    """
    stream = np.tile(ALL, _ROUNDS)
    found = answers(stepped(model), code(stream)[None, :, None], 1)[0]
    return share(found[stream < SIZE - 1] == stream[stream < SIZE - 1] + 1)
