"""Causal convolutions and pooling: their state is the past inputs that they still look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import layers

from ..ops import Ops, Value
from .keras_graph import KerasLayer, LayerCall
from .recurrent import activation_name
from .rule import CannotStepError, LayerStep, State, shapes_of, stateless, step_rule, weights_of

PAST = "past"


@dataclass(frozen=True)
class Window:
    """A window on the last `size` inputs, every `dilation`-th of them.

    A sequence begins with zeros in the past: causal padding.

    Attributes:
        size: How many inputs are looked at.
        dilation: Steps from one to the next.
        channels: Numbers in an input, C.
    """

    size: int
    dilation: int
    channels: int

    @property
    def length(self) -> int:
        """How many past inputs are kept."""
        return (self.size - 1) * self.dilation

    @property
    def state(self) -> dict[str, tuple[int, ...]]:
        """The state: the past inputs, oldest first. A window of one input has none."""
        return {PAST: (self.length, self.channels)} if self.length else {}

    def look(self, a: Ops, x: Value, state: State) -> tuple[Value, dict[str, Value]]:
        """Return the inputs in the window, shape (B, size, C), oldest first, and the next state."""
        now = a.reshape(x, [1, self.channels])
        if not self.length:
            return now, {}
        inputs = a.concatenate([state[PAST], now], 0)
        return a.rows(inputs, 0, self.dilation), {PAST: a.rows(inputs, 1)}


def window_of(layer: KerasLayer, call: LayerCall, size: int, dilation: int, strides: int) -> Window:
    """Return the window of a convolution or pooling layer.

    Raises:
        CannotStepError: It looks at the future, or its output has other time steps than its input.
    """
    length = (size - 1) * dilation
    padding = f"padding={layer.padding!r}"
    if not call.timed or len(call.step_shapes[0]) != 1:
        raise CannotStepError(f"it works along a sequence that is made within one step: {call.input_shapes[0]}")
    if layer.data_format != "channels_last":
        raise CannotStepError(f"its data_format is {layer.data_format!r}; channels_last can be stepped")
    if strides != 1:
        raise CannotStepError(f"its strides are {strides}, so it does not answer at each step; use strides=1")
    causal = (
        (layer.padding == "causal" and not call.padding)
        or (layer.padding == "valid" and call.padding == length)
        or (not length and not call.padding)
    )
    if not causal and layer.padding == "same":
        raise CannotStepError(f"its padding is 'same', not causal, so it looks at the future; {_remedy(layer, length)}")
    if not causal:
        shift = call.padding - (length if layer.padding == "valid" else 0)
        raise CannotStepError(
            f"with {padding} and {call.padding} zeros before the sequence its output is {abs(shift)} steps "
            f"{'longer' if shift > 0 else 'shorter'} than the sequence; {_remedy(layer, length)}"
        )
    ((channels,),) = shapes_of(call)
    return Window(size, dilation, channels)


def _remedy(layer: KerasLayer, length: int) -> str:
    zeros = f"put ZeroPadding1D(({length}, 0)) before it and give it padding='valid'"
    return "use padding='causal'" if type(layer).__name__ == "Conv1D" else zeros


def _windowed(window: Window, function: Callable[[Ops, Value], Value]) -> LayerStep:
    """Return the step of a layer that computes `function` of its window, (B, size, C)."""

    def apply(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        seen, following = window.look(a, x, state)
        return function(a, seen), following

    return LayerStep(apply, state=window.state)


@step_rule(layers.Conv1D, padded=True)
def conv1d(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Multiply the window, as one row, by the kernel; group by group."""
    window = window_of(layer, call, layer.kernel_size[0], layer.dilation_rate[0], layer.strides[0])
    name = activation_name(layer.activation)
    kernel, *bias = weights_of(layer)  # (size, C / groups, filters)
    groups = layer.groups
    matrices = [part.reshape(-1, part.shape[-1]).copy() for part in np.split(kernel, groups, axis=-1)]

    def convolve(a: Ops, seen: Value) -> Value:
        parts = a.split(seen, groups) if groups > 1 else [seen]
        y = [a.matmul(a.reshape(p, [len(m)]), m) for p, m in zip(parts, matrices, strict=True)]
        joined = a.concatenate(y, -1) if groups > 1 else y[0]
        return a.activation(name, joined + a.constant(bias[0]) if bias else joined)

    return _windowed(window, convolve)


@step_rule(layers.DepthwiseConv1D, layers.SeparableConv1D, padded=True)
def depthwise(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Convolve each channel by itself; SeparableConv1D then mixes them at each step."""
    window = window_of(layer, call, layer.kernel_size[0], layer.dilation_rate[0], layer.strides[0])
    name = activation_name(layer.activation)
    kernel, *others = weights_of(layer)  # (size, C, multiplier)
    mixing = others.pop(0)[0].copy() if type(layer) is layers.SeparableConv1D else None  # (C multiplier, filters)
    size, channels, multiplier = kernel.shape

    def convolve(a: Ops, seen: Value) -> Value:
        products = a.reshape(seen, [size, channels, 1]) * a.constant(kernel)
        y = a.reshape(a.total(products, [0]), [channels * multiplier])
        y = y if mixing is None else a.matmul(y, mixing)
        return a.activation(name, y + a.constant(others[0]) if others else y)

    return _windowed(window, convolve)


@step_rule(layers.AveragePooling1D, layers.MaxPooling1D, padded=True)
def pooling(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Average or maximum of the window."""
    (size,), (strides,) = np.atleast_1d(layer.pool_size), np.atleast_1d(layer.strides)
    window = window_of(layer, call, int(size), 1, int(strides))
    average = type(layer) is layers.AveragePooling1D

    def pool(a: Ops, seen: Value) -> Value:
        y = a.total(seen, [0]) * (1 / window.size) if average else a.largest(seen, [0])
        return a.reshape(y, [window.channels])

    return _windowed(window, pool)


@step_rule(layers.ZeroPadding1D)
def zero_padding(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Pass on; the zeros are the initial state of the layer that reads them, which checks their number."""
    before, after = layer.padding
    if not call.timed or after:
        raise CannotStepError(
            f"it puts {after} zeros behind the sequence, whose end a step does not know; "
            f"use padding=({before + after}, 0)"
        )
    shapes_of(call)
    return stateless(lambda a, x: x)
