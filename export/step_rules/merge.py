"""Layers with several inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import keras

from ..arithmetic import Arithmetic, Value
from ..graph import KerasLayer, LayerCall
from .rule import CannotStepError, LayerStep, axes_of, shapes_of, stateless, step_rule

_LAYERS = keras.layers
# What each does with the values so far and one more.
_PAIRWISE: dict[type, Callable[[Arithmetic, Value, Value], Value]] = {
    _LAYERS.Add: lambda a, x, y: x + y,
    _LAYERS.Average: lambda a, x, y: x + y,
    _LAYERS.Subtract: lambda a, x, y: x - y,
    _LAYERS.Multiply: lambda a, x, y: x * y,
    _LAYERS.Maximum: lambda a, x, y: a.maximum(x, y),
    _LAYERS.Minimum: lambda a, x, y: a.minimum(x, y),
}


@step_rule(*_PAIRWISE, several=True)
def merge(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Combine the inputs number by number."""
    if len({len(shape) for shape in call.step_shapes}) > 1:
        raise CannotStepError(f"its inputs {call.input_shapes} have different numbers of axes; reshape them first")
    pair = _PAIRWISE[type(layer)]
    factor = 1 / len(call.inputs) if type(layer) is _LAYERS.Average else None

    def apply(a: Arithmetic, values: list[Value]) -> Value:
        result = reduce(lambda x, y: pair(a, x, y), values)
        return result if factor is None else result * factor

    return stateless(apply)


@step_rule(_LAYERS.Concatenate, several=True)
def concatenate(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Join the inputs along an axis that is not the time."""
    shapes_of(call)
    (axis,) = axes_of(call, layer.axis)
    return stateless(lambda a, values: a.concatenate(values, axis) if len(call.inputs) > 1 else values)
