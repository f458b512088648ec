"""Dense layers, and lookups that turn the id of a symbol into a vector."""

from __future__ import annotations

from math import prod

import numpy as np
from keras import layers
from keras.src.ops import nn

from ..ops import Ops, Value
from .keras_graph import KerasLayer, LayerCall
from .recurrent import activation_name
from .rule import (
    CannotStepError,
    LayerStep,
    Lookup,
    NoRuleError,
    shapes_of,
    stateless,
    step_rule,
    types_named,
    weights_of,
)


@step_rule(layers.Dense)
def dense(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Multiply by the kernel, add the bias, apply the activation: shape (B, ..., units)."""
    if not call.step_shapes[0]:
        raise CannotStepError(f"it works along the time steps of its input {call.input_shapes[0]}, so it looks at the "
                              "future; give its input a last axis of features")  # fmt: skip
    name = activation_name(layer.activation)
    kernel, *bias = weights_of(layer)
    return LayerStep(lambda a, x, state: (a.activation(name, x), {}), kernel, bias[0] if bias else None)


@step_rule(layers.EinsumDense)
def einsum_dense(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Do the einsum as one matrix product between two reorderings of axes."""
    name = activation_name(layer.activation)
    kernel, *bias = weights_of(layer)
    x_axes, kernel_axes, y_axes = _labels(layer.equation, call, kernel.ndim)
    sizes = {**dict(zip(kernel_axes, kernel.shape, strict=True)), **dict(zip(x_axes, shapes_of(call)[0], strict=True))}
    summed = [label for label in kernel_axes if label in x_axes]
    made = [label for label in kernel_axes if label not in x_axes]
    kept = [label for label in x_axes if label not in kernel_axes]
    if sorted(kept + made) != sorted(y_axes):
        raise NoRuleError(f"its equation {layer.equation!r} is no matrix product; use Dense, or an equation whose "
                              "kernel shares with the input the axes that are summed, and no others")  # fmt: skip
    order = [x_axes.index(label) for label in kept + summed]
    matrix = kernel.transpose([kernel_axes.index(label) for label in summed + made])
    matrix = matrix.reshape(prod(sizes[label] for label in summed), -1).copy()
    back = [(kept + made).index(label) for label in y_axes]
    rows, shape = [sizes[label] for label in kept], [sizes[label] for label in kept + made]
    if bias and bias[0].ndim > len(y_axes):
        raise CannotStepError("its bias has another value for each time step; leave the time out of bias_axes")

    def apply(a: Ops, x: Value) -> Value:
        columns = a.reshape(a.transpose(x, order), [*rows, matrix.shape[0]])
        y = a.transpose(a.reshape(a.matmul(columns, matrix), shape), back)
        return a.activation(name, y + a.constant(bias[0]) if bias else y)

    return stateless(apply)


def _labels(equation: str, call: LayerCall, kernel_rank: int) -> tuple[str, str, str]:
    """Return the axes of input, kernel and output in a step: those of the equation without batch and time."""
    left, y_axes = equation.replace(" ", "").split("->")
    x_axes, kernel_axes = left.split(",")
    free = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in equation]
    missing = "".join(free[: len(call.input_shapes[0]) - len(x_axes.replace("...", ""))])
    x_axes, y_axes = x_axes.replace("...", missing), y_axes.replace("...", missing)
    outer = 2 if call.timed else 1
    if x_axes[:outer] != y_axes[:outer] or set(x_axes[:outer]) & set(kernel_axes) or len(kernel_axes) != kernel_rank:
        raise CannotStepError(f"its equation {equation!r} mixes the time steps, so it looks at the future; "
                              "leave the first two axes as they are")  # fmt: skip
    return x_axes[outer:], kernel_axes, y_axes[outer:]


@step_rule(layers.Embedding)
def embedding(layer: KerasLayer) -> Lookup:
    """Return the embedding matrix, shape (V, N). With mask_zero Keras writes the mask down as operations."""
    (table,) = weights_of(layer)
    return Lookup(table)


@step_rule(layers.CategoryEncoding)
def one_hot(layer: KerasLayer) -> Lookup:
    """Return the identity, shape (V, V)."""
    if layer.output_mode != "one_hot":
        raise CannotStepError(f"its output_mode is {layer.output_mode!r}; one_hot can be stepped")
    return Lookup(np.eye(layer.num_tokens, dtype=np.float32))


@step_rule(*types_named(nn, "OneHot"))
def one_hot_operation(operation: KerasLayer) -> Lookup:
    """Return the identity, shape (V, V)."""
    if operation.axis != -1:
        raise CannotStepError(f"it adds axis {operation.axis}; the last (-1) can be stepped")
    return Lookup(np.eye(operation.num_classes, dtype=np.float32))
