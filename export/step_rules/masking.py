"""Masking by value. What a masked step does to a state is said where the steps of a model are put together."""

from __future__ import annotations

import keras

from ..arithmetic import Arithmetic, Value
from ..graph import KerasLayer, LayerCall
from .rule import CannotStepError, LayerStep, shapes_of, stateless, step_rule


@step_rule(keras.layers.Masking)
def masking(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Return x, or zeros where all of x has the value that masks; Keras writes the mask down as operations."""
    last = len(shapes_of(call)[0]) - 1
    value = float(layer.mask_value)
    if last < 0 or not call.timed:
        raise CannotStepError(f"it reads {call.input_shapes[0]}, whose last axis is the time; give it features")

    def apply(a: Arithmetic, x: Value) -> Value:
        return x * a.largest(a.differs(x, value), [last])

    return stateless(apply)
