"""Keras operations on symbolic tensors: `x + y`, `2 * x`, and those that Keras itself records for masks.

A truth value of Keras is a number here, 1 or 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import layers
from keras.src.ops import nn, numpy

from ..ops import Ops, Value
from .keras_graph import KerasLayer, LayerCall
from .rule import (
    CannotStepError,
    LayerStep,
    NoRuleError,
    axes_of,
    constant_of_step,
    shapes_of,
    stateless,
    step_rule,
    types_named,
)

PAIRWISE: dict[str, Callable[[Ops, Value, Value], Value]] = {
    "Add": lambda a, x, y: x + y,
    "Subtract": lambda a, x, y: x - y,
    "Multiply": lambda a, x, y: x * y,
    "Divide": lambda a, x, y: x / y,
    "TrueDivide": lambda a, x, y: x / y,
    "Maximum": lambda a, x, y: a.maximum(x, y),
    "Minimum": lambda a, x, y: a.minimum(x, y),
    "NotEqual": lambda a, x, y: a.differs(x, y),
    "LogicalOr": lambda a, x, y: a.maximum(x, y),
    "LogicalAnd": lambda a, x, y: x * y,
}
_UNARY: dict[str, Callable[[Ops, Value], Value]] = {
    "Negative": lambda a, x: -x,
    "Absolute": lambda a, x: a.absolute(x),
    "Abs": lambda a, x: a.absolute(x),
    "Exp": lambda a, x: a.exp(x),
    "Log": lambda a, x: a.log(x),
    "Log1p": lambda a, x: a.log(x + 1.0),
    "Square": lambda a, x: x * x,
    "Sqrt": lambda a, x: a.sqrt(x),
    "Tanh": lambda a, x: a.activation("tanh", x),
    "ZerosLike": lambda a, x: x * 0.0,
    "OnesLike": lambda a, x: x * 0.0 + 1.0,
}
# Operation -> activation. Operations with parameters have rules of their own.
_ACTIVATIONS = {
    "".join(part.capitalize() for part in name.split("_")): name
    for name in (
        "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "log_sigmoid", "relu", "relu6", "selu", "sigmoid", "silu",
        "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "tanh_shrink",
    )
}  # fmt: skip


@step_rule(*types_named(numpy, *PAIRWISE), several=True)
def pairwise(operation: KerasLayer, call: LayerCall) -> LayerStep:
    """Combine two values, or a value and a constant, number by number."""
    require_equal_ranks(call)
    combine = PAIRWISE[type(operation).__name__]
    # The position of an input, or a constant.
    operands = [constant_of_step(o.constant, call) if o.position is None else o.position for o in call.operands]

    def apply(a: Ops, values: Any) -> Value:
        given = values if len(call.inputs) > 1 else [values]
        x, y = (
            given[o] if isinstance(o, int) else a.constant(o) if o.ndim else o
            for o in operands
        )  # fmt: skip
        return combine(a, x, y)

    return stateless(apply)


def require_equal_ranks(call: LayerCall) -> None:
    """Raise CannotStepError if the inputs have different numbers of axes: Keras would broadcast over the time."""
    if len({len(shape) for shape in call.step_shapes}) > 1:
        raise CannotStepError(f"its inputs {call.input_shapes} have different numbers of axes; reshape them first")


@step_rule(*types_named(numpy, *_UNARY))
def unary(operation: KerasLayer) -> LayerStep:
    """Work on each number by itself."""
    return stateless(_UNARY[type(operation).__name__])


@step_rule(*types_named(nn, *_ACTIVATIONS))
def activation(operation: KerasLayer) -> LayerStep:
    """Apply an activation."""
    name = _ACTIVATIONS[type(operation).__name__]
    if getattr(operation, "approximate", False):
        raise NoRuleError(f"its {name} is approximate; use the exact one")
    return stateless(lambda a, x: a.activation(name, x))


@step_rule(layers.Concatenate, *types_named(numpy, "Concatenate"), several=True)
def concatenate(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Join the inputs along an axis that is not the time."""
    shapes_of(call)
    (axis,) = axes_of(call, layer.axis)
    return stateless(lambda a, values: a.concatenate(values, axis) if len(call.inputs) > 1 else values)


@step_rule(*types_named(numpy, "Any"))
def any_of(operation: KerasLayer, call: LayerCall) -> LayerStep:
    """Tell whether anything along an axis is true."""
    if operation.axis is None:
        raise CannotStepError("it looks at all time steps, so it looks at the future; give it axis=-1")
    axes, shape = axes_of(call, operation.axis), shapes_of(call)[0]
    left = shape if operation.keepdims else [size for axis, size in enumerate(shape) if axis not in axes]
    return stateless(lambda a, x: a.reshape(a.largest(x, axes), left))


@step_rule(*types_named(numpy, "ExpandDims"))
def expand_dims(operation: KerasLayer, call: LayerCall) -> LayerStep:
    """Insert an axis of size 1 behind the others."""
    shape = shapes_of(call)[0]
    if operation.axis not in (-1, len(call.input_shapes[0])):
        raise NoRuleError(f"it inserts axis {operation.axis}; the last (-1) can be stepped")
    return stateless(lambda a, x: a.reshape(x, [*shape, 1]))
