"""Keras operations on symbolic tensors: `x + y`, `2 * x`, and those that Keras writes down for masks by itself.

What is true or false in Keras is a number here, 1 or 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras.src.ops import nn, numpy

from ..ops import Ops, Value, Weights
from .keras_graph import KerasLayer, LayerCall
from .rule import CannotStepError, LayerStep, axes_of, shapes_of, stateless, step_rule, types_named

_PAIRWISE: dict[str, Callable[[Ops, Value, Value], Value]] = {
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
_ACTIVATIONS = {
    "Gelu": "gelu",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "TanhShrink": "tanh_shrink",
}


@step_rule(*types_named(numpy, *_PAIRWISE), several=True)
def pairwise(operation: KerasLayer, call: LayerCall) -> LayerStep:
    """Combine two values, or a value and a constant, number by number."""
    if len({len(shape) for shape in call.step_shapes}) > 1:
        raise CannotStepError(f"its inputs {call.input_shapes} have different numbers of axes; reshape them first")
    combine = _PAIRWISE[type(operation).__name__]
    rank = len(call.step_shapes[0])
    positions = [operand.position for operand in call.operands]
    constants = [None if o.position is not None else _constant(o.constant, rank) for o in call.operands]

    def apply(a: Ops, values: Any) -> Value:
        given = values if len(call.inputs) > 1 else [values]
        x, y = (
            given[position] if position is not None else constant if constant is None or constant.ndim == 0 else
            a.constant(constant) for position, constant in zip(positions, constants, strict=True)
        )  # fmt: skip
        return combine(a, x, y)

    return stateless(apply)


@step_rule(*types_named(numpy, *_UNARY))
def unary(operation: KerasLayer) -> LayerStep:
    """Work on each number by itself."""
    function = _UNARY[type(operation).__name__]
    return stateless(function)


@step_rule(*types_named(nn, *_ACTIVATIONS))
def activation(operation: KerasLayer) -> LayerStep:
    """Apply an activation."""
    name = _ACTIVATIONS[type(operation).__name__]
    if getattr(operation, "approximate", False):
        raise CannotStepError(f"its {name} is approximate; use the exact one")
    return stateless(lambda a, x: a.activation(name, x))


@step_rule(*types_named(numpy, "Concatenate"), several=True)
def concatenate(operation: KerasLayer, call: LayerCall) -> LayerStep:
    """Join the inputs along an axis that is not the time."""
    (axis,) = axes_of(call, operation.axis)
    return stateless(lambda a, values: a.concatenate(values, axis))


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
        raise CannotStepError(f"it inserts axis {operation.axis}; the last (-1) can be stepped")
    return stateless(lambda a, x: a.reshape(x, [*shape, 1]))


def _constant(value: Any, rank: int) -> Weights:
    """Return a constant as it is in a step, where there are `rank` axes after the batch."""
    array = np.asarray(value, np.float32)
    extra: Sequence[int] = array.shape[: max(array.ndim - rank, 0)]
    if any(size != 1 for size in extra):
        raise CannotStepError(f"its constant of shape {array.shape} has another value for each time step")
    return array.reshape(array.shape[len(extra) :])
