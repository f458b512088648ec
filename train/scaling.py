"""Features on their way into a network: fed as they are, brought to mean 0 and variance 1 by the model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from ..runtime.reading import Scale

Tensor: TypeAlias = Any
PREFIX = "network."  # of layers beside features: no feature is called like that
_JOINED = f"{PREFIX}inputs"


def with_scaled(looked_up: Tensor, scales: Sequence[Scale]) -> tuple[list[Tensor], Tensor]:
    """Return the Keras inputs of the features, and `looked_up` (B, T, N) with them behind, (B, T, N + F).

    Each feature is an input (B, T, 1) of its own, with the constants of `scales` behind it.
    """
    inputs, scaled = [], []
    for scale in scales:
        x = given = keras.Input((None, 1), name=scale.name)
        if scale.logarithmic:  # a clock that is put back must not make a logarithm of a negative number
            x = keras.ops.log1p(keras.layers.ReLU(name=f"{scale.name}.not_negative")(x))
        normalization = keras.layers.Normalization(
            axis=-1, mean=[scale.mean], variance=[scale.variance], name=f"{scale.name}.normalization"
        )
        inputs.append(given)
        scaled.append(normalization(x))
    return inputs, keras.layers.Concatenate(name=_JOINED)([looked_up, *scaled])


def scaling_of(model: keras.Model) -> Callable[[Tensor], Tensor] | None:
    """Return what a model of `Network.build` makes of its features, (T, B, F) each; None where it has none."""
    if len(model.inputs) == 1:
        return None
    _, *scaled = model.get_layer(_JOINED).input
    part = keras.Model(model.inputs[1:], scaled)

    def scaling(numbers: Tensor) -> Tensor:
        return tf.concat(tf.nest.flatten(part(tf.split(numbers, len(scaled), -1))), -1)

    return scaling
