"""Convolutions and pooling over images: (time, frequency, channels), or (rows, columns, channels) within one step.

A convolution is one product: the patches of the image, as rows, by the kernel, as a matrix. A row of (places, channels)
within one step, as the layers of one dimension have it inside of TimeDistributed, is an image of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from keras import layers

from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes
from ..ops import Ops, Value
from .keras_graph import KerasLayer, LayerCall
from .patches import Pair, Patches, patches_of, step_of_patches
from .recurrent import activation_name
from .rule import CannotStepError, LayerStep, shapes_of, stateless, step_rule, weights_of


@step_rule(layers.Conv2D, padded=True)
def conv2d(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Multiply the patches by the kernel, group by group."""
    name = activation_name(layer.activation)
    kernel, *bias = weights_of(layer)  # ([rows,] columns, C / groups, filters)
    groups = layer.groups
    matrices = [part.reshape(-1, part.shape[-1]).copy() for part in np.split(kernel, groups, axis=-1)]

    def convolve(a: Ops, patches: Patches, seen: Value) -> Value:
        seen = patches.padded(a, seen)
        parts = a.split(seen, groups) if groups > 1 else [seen]
        rows = [a.reshape(part, [len(patches.indices), len(m)]) for part, m in zip(parts, matrices, strict=True)]
        y = [a.matmul(row, matrix) for row, matrix in zip(rows, matrices, strict=True)]
        joined = a.concatenate(y, -1) if groups > 1 else y[0]
        return a.activation(name, joined + a.constant(bias[0]) if bias else joined)

    return step_of_patches(layer, call, layer.kernel_size, layer.strides, layer.dilation_rate, convolve)


@step_rule(layers.DepthwiseConv2D, layers.SeparableConv2D, padded=True)
def depthwise(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Convolve each channel by itself; SeparableConv2D then mixes them at each place."""
    name = activation_name(layer.activation)
    kernel, *others = weights_of(layer)  # ([rows,] columns, C, multiplier)
    mixed = isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D)
    mixing = others.pop(0) if mixed else None
    mixing = None if mixing is None else mixing.reshape(mixing.shape[-2:])  # (C multiplier, filters)
    channels, multiplier = kernel.shape[-2:]
    places = prod(kernel.shape[:-2])
    factors = kernel.reshape(places * channels, multiplier).copy()

    def convolve(a: Ops, patches: Patches, seen: Value) -> Value:
        outputs = len(patches.indices)
        # No array has more than four axes, the most that all interpreters broadcast.
        products = a.reshape(patches.padded(a, seen), [outputs, places * channels, 1]) * a.constant(factors)
        y = a.total(a.reshape(products, [outputs, places, channels * multiplier]), [1])
        y = a.reshape(y, [outputs, channels * multiplier])
        y = y if mixing is None else a.matmul(y, mixing)
        return a.activation(name, y + a.constant(others[0]) if others else y)

    return step_of_patches(layer, call, layer.kernel_size, layer.strides, layer.dilation_rate, convolve)


@step_rule(layers.AveragePooling2D, layers.MaxPooling2D, padded=True)
def pooling(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Average or maximum of the patches; padding counts for neither."""
    average = isinstance(layer, layers.AveragePooling1D | layers.AveragePooling2D)

    def pool(a: Ops, patches: Patches, seen: Value) -> Value:
        if average:
            counts = patches.places if patches.inside is None else patches.inside.sum(axis=1, keepdims=True)
            y = a.total(patches.padded(a, seen), [1]) * a.constant(np.array(1 / counts, np.float32))
        else:
            y = a.largest(seen, [1])  # the index of padding is that of a place in the patch
        return a.reshape(y, [len(patches.indices), y.shape[-1]])

    return step_of_patches(layer, call, layer.pool_size, layer.strides, (1, 1), pool)


@step_rule(layers.ZeroPadding2D)
def zero_padding(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Put zeros around the frequencies; those before the time are the initial state of the layer that reads them."""
    _require_channels_last(layer)
    time, frequency = _pairs(layer.padding)
    if call.timed and time[1]:
        raise CannotStepError(
            f"it puts {time[1]} zeros behind the sequence, whose end a step does not know; "
            f"use padding=(({sum(time)}, 0), {frequency})"
        )
    size, zeros = _image(call, time, frequency)
    return _copied(patches_of(size, (1, 1), (1, 1), (1, 1), zeros), call)


@step_rule(layers.Cropping2D)
def cropping(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Cut frequencies off, and pass on from the first step that is left."""
    _require_channels_last(layer)
    time, frequency = _pairs(layer.cropping)
    if call.timed and time[1]:
        raise CannotStepError(f"it cuts {time[1]} steps off the end of the sequence, which a step does not know; "
                              f"use cropping=(({time[0]}, 0), {frequency})")  # fmt: skip
    size, ((top, bottom), (left, right)) = _image(call, time, frequency)
    answers = AnswerTimes(time[0] + 1) if call.timed else EVERY_STEP
    return _copied(patches_of(size, (1, 1), (1, 1), (1, 1), ((-top, -bottom), (-left, -right))), call, answers)


@step_rule(
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D
)
def global_pooling(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Average or maximum over all places of an image or a row that is made within one step."""
    if call.timed:
        raise CannotStepError(
            "it looks at the whole sequence, so it looks at the future; let a recurrent layer with "
            "return_sequences=False sum it up, or put it into TimeDistributed if it is to work on each step"
        )
    _require_channels_last(layer)
    shape = shapes_of(call)[0]
    over, channels = list(range(len(shape) - 1)), shape[-1]
    left = [1] * len(over) + [channels] if layer.keepdims else [channels]
    if isinstance(layer, layers.GlobalMaxPooling1D | layers.GlobalMaxPooling2D):
        return stateless(lambda a, x: a.reshape(a.largest(x, over), left))
    return stateless(lambda a, x: a.reshape(a.total(x, over) * (1 / prod(shape[:-1])), left))


def _require_channels_last(layer: KerasLayer) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":  # Cropping1D has none
        raise CannotStepError(f"its data_format is {layer.data_format!r}; channels_last can be stepped")


def _pairs(zeros: Sequence[Any]) -> tuple[Pair, Pair]:
    """Return what a layer puts before and behind the rows and the columns; one of one dimension has columns alone."""
    pairs = [zeros] if isinstance(zeros[0], int) else zeros
    before, behind = pairs[-1]
    return (0, 0) if len(pairs) == 1 else (pairs[0][0], pairs[0][1]), (before, behind)


def _image(call: LayerCall, rows: tuple[int, ...], columns: tuple[int, ...]) -> tuple[Pair, tuple[Pair, Pair]]:
    """Return rows and columns of the image of a step, and what is put around them: nothing along the time."""
    shape = shapes_of(call)[0]
    if call.timed:
        return (1, shape[0]), ((0, 0), (columns[0], columns[1]))
    size = (1, shape[0]) if len(shape) == 2 else (shape[0], shape[1])
    return size, ((rows[0], rows[1]), (columns[0], columns[1]))


def _copied(patches: Patches, call: LayerCall, answers: AnswerTimes = EVERY_STEP) -> LayerStep:
    """Return the step that makes an image of patches of one place each."""
    shape = patches.shape[1:] if call.timed or len(call.step_shapes[0]) == 2 else patches.shape

    def apply(a: Ops, x: Value, state: object) -> tuple[Value, dict[str, Value]]:
        y = patches.padded(a, patches.cut(a, x))
        return a.reshape(y, [*shape, x.shape[-1]]), {}

    return LayerStep(apply, answers=answers)
