"""Dense layers and activations: each time step by itself."""

from __future__ import annotations

import keras

from ..arithmetic import Arithmetic, Value
from ..graph import KerasLayer
from .recurrent import activation_name
from .rule import Apply, LayerStep, State, step_rule
from .weights import weights_of


@step_rule(keras.layers.Dense)
def dense(layer: KerasLayer) -> LayerStep:
    """Multiply by the kernel, add the bias, apply the activation: shape (B, units)."""
    kernel, *bias = weights_of(layer)
    return LayerStep(_elementwise(activation_name(layer.activation)), kernel, bias[0] if bias else None)


@step_rule(keras.layers.Activation)
def activation(layer: KerasLayer) -> LayerStep:
    """Apply the activation."""
    return LayerStep(_elementwise(activation_name(layer.activation)))


@step_rule(
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.ActivityRegularization,
)
def identity(layer: KerasLayer) -> LayerStep:
    """Return x: these layers act in training alone."""
    return LayerStep(_elementwise("linear"))


def _elementwise(name: str) -> Apply:
    def apply(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        return a.activation(name, x), {}

    return apply
