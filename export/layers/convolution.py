"""Convolutions and pooling of one dimension: along the time, or along a row that is made within one step."""

from __future__ import annotations

import numpy as np
from keras import layers

from ...runtime.format.tensor_specs import AnswerTimes
from ..ops import Ops, Value
from . import convolution_2d
from .keras_graph import KerasLayer, LayerCall
from .past import PastInputs, past_inputs
from .recurrent import activation_name
from .rule import CannotStepError, LayerStep, Steps, shapes_of, step_rule, weights_of


def _window_of(layer: KerasLayer, call: LayerCall, size: int, dilation: int, strides: int) -> PastInputs:
    if len(call.step_shapes[0]) != 1:
        raise CannotStepError(f"it works along a sequence that is made within one step: {call.input_shapes[0]}")
    return past_inputs(layer, call, size, dilation, strides)


@step_rule(layers.Conv1D, padded=True)
def conv1d(layer: KerasLayer, call: LayerCall) -> Steps:
    """Multiply the window, as one row, by the kernel; group by group."""
    if not call.timed:
        return convolution_2d.conv2d(layer, call)
    window = _window_of(layer, call, layer.kernel_size[0], layer.dilation_rate[0], layer.strides[0])
    name = activation_name(layer.activation)
    kernel, *bias = weights_of(layer)  # (size, C / groups, filters)
    groups = layer.groups
    matrices = [part.reshape(-1, part.shape[-1]).copy() for part in np.split(kernel, groups, axis=-1)]

    def convolve(a: Ops, seen: Value) -> Value:
        parts = a.split(seen, groups) if groups > 1 else [seen]
        y = [a.matmul(a.reshape(p, [len(m)]), m) for p, m in zip(parts, matrices, strict=True)]
        joined = a.concatenate(y, -1) if groups > 1 else y[0]
        return a.activation(name, joined + a.constant(bias[0]) if bias else joined)

    return window.step(convolve)


@step_rule(layers.DepthwiseConv1D, layers.SeparableConv1D, padded=True)
def depthwise(layer: KerasLayer, call: LayerCall) -> Steps:
    """Convolve each channel by itself; SeparableConv1D then mixes them at each step."""
    if not call.timed:
        return convolution_2d.depthwise(layer, call)
    window = _window_of(layer, call, layer.kernel_size[0], layer.dilation_rate[0], layer.strides[0])
    name = activation_name(layer.activation)
    kernel, *others = weights_of(layer)  # (size, C, multiplier)
    mixing = others.pop(0)[0].copy() if type(layer) is layers.SeparableConv1D else None  # (C multiplier, filters)
    size, channels, multiplier = kernel.shape

    def convolve(a: Ops, seen: Value) -> Value:
        products = a.reshape(seen, [size, channels, 1]) * a.constant(kernel)
        y = a.reshape(a.total(products, [0]), [channels * multiplier])
        y = y if mixing is None else a.matmul(y, mixing)
        return a.activation(name, y + a.constant(others[0]) if others else y)

    return window.step(convolve)


@step_rule(layers.AveragePooling1D, layers.MaxPooling1D, padded=True)
def pooling(layer: KerasLayer, call: LayerCall) -> Steps:
    """Average or maximum of the window."""
    if not call.timed:
        return convolution_2d.pooling(layer, call)
    (size,), (strides,) = np.atleast_1d(layer.pool_size), np.atleast_1d(layer.strides)
    window = _window_of(layer, call, int(size), 1, int(strides))
    average = type(layer) is layers.AveragePooling1D

    def pool(a: Ops, seen: Value) -> Value:
        y = a.total(seen, [0]) * (1 / window.size) if average else a.largest(seen, [0])
        return a.reshape(y, window.shape)

    return window.step(pool)


@step_rule(layers.ZeroPadding1D)
def zero_padding(layer: KerasLayer, call: LayerCall) -> Steps:
    """Pass on; the zeros are the initial state of the layer that reads them, which checks their number."""
    before, after = layer.padding
    if not call.timed:
        return convolution_2d.zero_padding(layer, call)
    if after:
        raise CannotStepError(
            f"it puts {after} zeros behind the sequence, whose end a step does not know; "
            f"use padding=({before + after}, 0)"
        )
    shapes_of(call)
    return LayerStep(lambda a, x, state: (x, {}))


@step_rule(layers.Cropping1D)
def cropping(layer: KerasLayer, call: LayerCall) -> Steps:
    """Pass on from the first step that is left."""
    before, after = layer.cropping
    if not call.timed:
        return convolution_2d.cropping(layer, call)
    if after:
        raise CannotStepError(f"it cuts {after} steps off the end of the sequence, which a step does not know; "
                              f"use cropping=({before}, 0)")  # fmt: skip
    return LayerStep(lambda a, x, state: (x, {}), answers=AnswerTimes(before + 1))
