"""Weights of a layer as numpy constants."""

from __future__ import annotations

import numpy as np

from ..arithmetic import Weights
from ..graph import KerasLayer
from .rule import CannotStepError


def weights_of(layer: KerasLayer) -> list[Weights]:
    """Return copies of the layer's weights, float32, in the order of Keras.

    `layer.variables` would not do: they hold the state of random seeds too, which passes for a bias.
    They are copied because a graph that refers to Keras variables is converted to a file without weights, silently.

    Raises:
        CannotStepError: A weight is not finite.
    """
    weights = [np.array(variable, np.float32) for variable in layer.weights]
    for array, variable in zip(weights, layer.weights, strict=True):
        bad = int(np.size(array) - np.isfinite(array).sum())
        if bad:
            raise CannotStepError(f"its {variable.name} holds {bad} numbers that are not finite; train it again")
    return weights
