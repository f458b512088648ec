"""hard_sigmoid as Keras 2 had it; Keras 3 has another function under that name."""

from __future__ import annotations

from typing import Any

import keras

from ..ops import HARD_SIGMOID_KERAS2


def hard_sigmoid_keras2(x: Any) -> Any:
    """Return 0.2 x + 0.5, but nothing below 0 or above 1: hard_sigmoid of Keras 1 and 2 (keras/backend.py there)."""
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


keras.saving.register_keras_serializable("stepcell", HARD_SIGMOID_KERAS2)(hard_sigmoid_keras2)


def keras_activation(name: str) -> Any:
    """Return the function that is called `name` in a step rule; None: there is none."""
    return hard_sigmoid_keras2 if name == HARD_SIGMOID_KERAS2 else getattr(keras.activations, name, None)
