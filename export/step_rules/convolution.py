"""Causal convolutions, and pooling where it is causal: the past inputs are their state."""

from __future__ import annotations

import keras
import numpy as np

from ..arithmetic import Arithmetic, Value
from ..graph import KerasLayer, LayerCall
from .recurrent import activation_name
from .rule import CannotStepError, LayerStep, State, shapes_of, step_rule
from .weights import weights_of
from .window import window_of

_LAYERS = keras.layers


@step_rule(_LAYERS.Conv1D, padded=True)
def conv1d(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Multiply the window, as one row, by the kernel; group by group."""
    window = window_of(layer, call, layer.kernel_size[0], layer.dilation_rate[0], layer.strides[0])
    name = activation_name(layer.activation)
    kernel, *bias = weights_of(layer)  # (size, C / groups, filters)
    groups = layer.groups
    matrices = [part.reshape(-1, part.shape[-1]).copy() for part in np.split(kernel, groups, axis=-1)]

    def apply(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        seen, following = window.look(a, x, state)
        parts = a.split(seen, groups) if groups > 1 else [seen]
        y = [a.matmul(a.reshape(p, [len(m)]), m) for p, m in zip(parts, matrices, strict=True)]
        joined = a.concatenate(y, -1) if groups > 1 else y[0]
        return a.activation(name, joined + a.constant(bias[0]) if bias else joined), following

    return LayerStep(apply, state=window.state)


@step_rule(_LAYERS.DepthwiseConv1D, _LAYERS.SeparableConv1D, padded=True)
def depthwise(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Convolve each channel by itself; SeparableConv1D then mixes them at each step."""
    window = window_of(layer, call, layer.kernel_size[0], layer.dilation_rate[0], layer.strides[0])
    name = activation_name(layer.activation)
    kernel, *others = weights_of(layer)  # (size, C, multiplier)
    mixing = others.pop(0)[0].copy() if type(layer) is _LAYERS.SeparableConv1D else None  # (C multiplier, filters)
    size, channels, multiplier = kernel.shape

    def apply(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        seen, following = window.look(a, x, state)
        products = a.reshape(seen, [size, channels, 1]) * a.constant(kernel)
        y = a.reshape(a.total(products, [0]), [channels * multiplier])
        y = y if mixing is None else a.matmul(y, mixing)
        return a.activation(name, y + a.constant(others[0]) if others else y), following

    return LayerStep(apply, state=window.state)


@step_rule(_LAYERS.AveragePooling1D, _LAYERS.MaxPooling1D, padded=True)
def pooling(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Average or maximum of the window."""
    (size,), (strides,) = np.atleast_1d(layer.pool_size), np.atleast_1d(layer.strides)
    window = window_of(layer, call, int(size), 1, int(strides))
    average = type(layer) is _LAYERS.AveragePooling1D

    def apply(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        seen, following = window.look(a, x, state)
        y = a.total(seen, [0]) * (1 / window.size) if average else a.largest(seen, [0])
        return a.reshape(y, [window.channels]), following

    return LayerStep(apply, state=window.state)


@step_rule(_LAYERS.ZeroPadding1D)
def zero_padding(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Pass on; the zeros are the initial state of the layer that reads them, which checks their number."""
    before, after = layer.padding
    if not call.timed or after:
        raise CannotStepError(f"it puts {after} zeros behind the sequence, whose end a step does not know; "
                              f"use padding=({before + after}, 0)")  # fmt: skip
    shapes_of(call)

    def apply(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        return x, {}

    return LayerStep(apply)
