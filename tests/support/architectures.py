"""Random causal Keras models from everything that has a step rule: for the property test and the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from support.cells import CELLS
from support.keras_models import with_random_weights

from stepcell.runtime import load

L, ops = keras.layers, keras.ops
Choose = Callable[[Sequence[Any]], Any]  # picks one; hypothesis or a random generator stands behind it
SEQUENCES = {"return_sequences": True}
_BOUNDED = ["tanh", "sigmoid", "softsign", "hard_sigmoid", "hard_tanh", "sparse_sigmoid"]
_ACTIVATIONS = [
    *_BOUNDED,
    "linear",
    "relu",
    "gelu",
    "selu",
    "softplus",
    "silu",
    "elu",
    "mish",
    "leaky_relu",
    "hard_silu",
]

# Keras stacks no stacks, and no cells that return a state by itself.
_IN_A_STACK = [name for name in CELLS if "stacked" not in name and name != "IndRNN"]


def random_model(choose: Choose) -> keras.Model:
    """A model of a few random layers around at least one that has a state."""
    symbols = choose([2, 3, 5, 8])
    source = keras.Input((None,), dtype="int32")
    if choose([True, True, False]):
        x = L.Embedding(symbols, choose([2, 4, 6]), mask_zero=choose([False, False, True]))(source)
    else:
        x = L.CategoryEncoding(symbols, output_mode="one_hot")(source)
    for _ in range(choose([0, 1, 2, 3])):
        x = choose([_recurrent, _window, _per_step, _per_step, _branches, _shared])(x, choose)
    whole = choose([True, True, False])
    x = _recurrent(x, choose, whole)
    if not whole and choose([True, False]):
        x = L.Flatten()(L.LayerNormalization()(L.RepeatVector(2)(x)))
    last = choose(["softmax", "sigmoid", "linear"])
    return with_random_weights(keras.Model(source, L.Dense(symbols, activation=last)(x)), seed=choose(range(100)))


def rated_model(choose: Choose) -> keras.Model:
    """A model with strides or valid padding, along the time or over (time, frequency)."""
    symbols = choose([2, 3, 5, 8])
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(symbols, choose([4, 6]))(source)
    for _ in range(choose([1, 1, 2, 3])):
        for _ in range(choose([0, 0, 1])):
            x = choose([_recurrent, _window, _per_step])(x, choose)
        x = choose([_rate, _rate, _rate_over_frequency, _rated_branches])(x, choose)
    x = _recurrent(x, choose, choose([True, True, False]))
    last = choose(["softmax", "sigmoid", "linear"])
    return with_random_weights(keras.Model(source, L.Dense(symbols, activation=last)(x)), seed=choose(range(100)))


def window_model(choose: Choose) -> keras.Model:
    """A model of a fixed number of time steps that answers once."""
    symbols, length = choose([2, 3, 5]), choose([5, 8, 13])
    source = keras.Input((length,), dtype="int32")
    x = L.Embedding(symbols, choose([3, 4]), mask_zero=choose([False, False, False, True]))(source)
    masked = getattr(x, "_keras_mask", None) is not None
    for _ in range(choose([0, 1, 2])):
        kinds = [_recurrent, _per_step] if masked else [_recurrent, _window, _per_step, _window_layer]
        x = choose(kinds)(x, choose)
        masked = masked or getattr(x, "_keras_mask", None) is not None
    ends = [lambda: _recurrent(x, choose, whole=False), lambda: _recurrent(x, choose, whole=False)]
    if not masked:
        ends += [
            lambda: L.Dense(4, activation="tanh")(L.Dropout(0.1)(L.Flatten()(x))),
            lambda: L.GlobalAveragePooling1D()(x),
            lambda: L.GlobalMaxPooling1D()(_recurrent(x, choose)),
            lambda: _recurrent(x, choose)[:, -1, :],
            lambda: L.Bidirectional(L.GRU(3))(x),
            lambda: L.Concatenate()([L.GRU(3)(x), L.GlobalMaxPooling1D()(x)]),
            lambda: L.LSTM(3)(L.Add()([L.Dense(4)(x), L.MultiHeadAttention(2, 2)(x, x, x)[..., :1]])),
        ]
    last = choose(["softmax", "sigmoid", "linear"])
    answer = L.Dense(symbols, activation=last)(choose(ends)())
    return with_random_weights(keras.Model(source, answer), seed=choose(range(100)))


def _window_layer(x: Any, choose: Choose) -> Any:
    """A layer that shortens a window of time steps."""
    layers = [
        L.Conv1D(4, 2, activation=choose(_BOUNDED)),
        L.Conv1D(3, 2, dilation_rate=2),
        L.Conv1D(4, 3, strides=2),
        L.MaxPooling1D(2),
        L.AveragePooling1D(2, strides=1),
    ]
    return choose(layers)(x) if x.shape[1] > 4 else L.Dense(4)(x)


def operations_model(choose: Choose) -> keras.Model:
    """A model with operations of keras.ops, most of them without a rule, around layers."""
    symbols = choose([2, 3, 5, 8])
    source = keras.Input((None,), dtype="int32")
    x = ops.one_hot(source, symbols) if choose([True, False, False]) else L.Embedding(symbols, choose([4, 6]))(source)
    for _ in range(choose([1, 2, 3, 4])):
        x = choose([_operation, _operation, _per_step, _recurrent])(x, choose)
    whole = choose([True, True, False])
    x = _recurrent(x, choose)
    x = x if whole else x[:, -1]
    answer = choose([ops.softmax, keras.activations.softmax, ops.sigmoid])
    return with_random_weights(keras.Model(source, answer(L.Dense(symbols)(x))), seed=choose(range(100)))


def cells_model(choose: Choose) -> keras.Model:
    """A model with cells that have no rule, alone and stacked, with and without masks."""
    symbols = choose([2, 3, 5, 8])
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(symbols, choose([4, 6]), mask_zero=choose([False, False, True]))(source)
    for _ in range(choose([1, 1, 2])):
        cells = [CELLS[choose(_IN_A_STACK)]() for _ in range(2)] if choose([False, False, True]) else None
        cell = L.StackedRNNCells(cells) if cells else CELLS[choose(list(CELLS))]()
        x = L.RNN(cell, zero_output_for_mask=choose([False, True]), **SEQUENCES)(x)
        x = L.LayerNormalization()(x)
    last = choose(["softmax", "sigmoid", "linear"])
    return with_random_weights(keras.Model(source, L.Dense(symbols, activation=last)(x)), seed=choose(range(100)))


KINDS = {
    "plain": random_model,
    "rate": rated_model,
    "window": window_model,
    "operations": operations_model,
    "cells": cells_model,
}


def difference_of_ways(path: Path, backend: str, ids: Sequence[int], cut: int) -> float:
    """How far three ways part: one at a time, absorbed in two chunks, and with the state taken out in the middle."""
    model = load(path, backend=backend)
    ids = ids[: max(step for step in range(len(ids) + 1) if model.manifest.answers.answers_at(step))]
    cut = min(cut, len(ids) - 1)
    symbols = [model.vocabulary.decode(int(id)) for id in ids]
    stepped, absorbed, early = model.stream(), model.stream(), model.stream()
    expected = [stepped.step(symbol) for symbol in symbols][-1].probabilities
    absorbed.absorb(symbols[:cut])
    answers = [absorbed.absorb(symbols[cut:]).probabilities]
    early.absorb(symbols[:cut])
    late = load(path, backend=backend).stream()
    late.set_state(early.state, symbols_seen=early.symbols_seen)
    answers.append([late.step(symbol) for symbol in symbols[cut:]][-1].probabilities)
    return max(float(np.abs(answer - expected).max()) for answer in answers)


def _operation(x: Any, choose: Choose) -> Any:
    size = x.shape[-1]
    half = size // 2
    make = choose([
        lambda: x[..., :half] if half else x,
        lambda: x[:, :, ::2],
        lambda: ops.concatenate(ops.split(x, [half], axis=-1)[::-1], axis=-1) if half else x,
        lambda: x - ops.mean(x, axis=-1, keepdims=True),
        lambda: ops.clip(x, -0.5, 0.5) + ops.power(x, 2) * 0.1,
        lambda: x * ops.expand_dims(ops.sigmoid(ops.squeeze(x[..., :1], -1)), -1),
        lambda: ops.where(x > 0.1, x, 0.2 * x),
        lambda: ops.cast(ops.logical_and(x > -0.5, x < 0.5), "float32") + x,
        lambda: ops.matmul(x, np.linspace(-1, 1, size * 3, dtype="float32").reshape(size, 3)),
        lambda: ops.einsum("btx,xy->bty", x, np.linspace(1, -1, size * 4, dtype="float32").reshape(size, 4)),
        lambda: ops.tanh(ops.cumsum(x, axis=-1)),
        lambda: ops.sort(x, axis=-1),
        lambda: ops.sin(x) + ops.cos(x) * 0.5,
        lambda: ops.logsumexp(x, axis=-1, keepdims=True) * 0.1 + x,
        lambda: ops.rsqrt(ops.square(x) + 1.0) * x,
        lambda: keras.activations.gelu(x, approximate=choose([True, False])),
        lambda: ops.stack([x, -x], axis=-1)[..., 0],
        lambda: ops.reshape(ops.transpose(ops.reshape(L.Dense(6)(x), (-1, ops.shape(x)[1], 2, 3)), (0, 1, 3, 2)),
                            (-1, ops.shape(x)[1], 6)) if x.shape[1] else ops.floor(x * 4) / 4,
    ])  # fmt: skip
    return make()


def _recurrent(x: Any, choose: Choose, whole: bool = True) -> Any:
    units, options = choose([1, 2, 4]), {"activation": choose(_BOUNDED), "use_bias": choose([True, True, False])}
    gates = {"recurrent_activation": choose(["sigmoid", "hard_sigmoid"])}
    layer = choose([
        lambda: L.LSTM(units, **options, **gates, return_sequences=whole),
        lambda: L.GRU(units, **options, **gates, reset_after=choose([True, False]), return_sequences=whole),
        lambda: L.SimpleRNN(units, **options, return_sequences=whole),
        lambda: L.RNN([L.LSTMCell(units), L.GRUCell(2), L.SimpleRNNCell(3)], return_sequences=whole),
    ])  # fmt: skip
    return layer()(x)


def _window(x: Any, choose: Choose) -> Any:
    size, dilation = choose([1, 2, 3]), choose([1, 2])
    before = L.ZeroPadding1D(((size - 1) * dilation, 0))
    layers = choose([
        lambda: [L.Conv1D(4, size, padding="causal", dilation_rate=dilation, activation=choose(_ACTIVATIONS))],
        lambda: [L.Dense(4), L.Conv1D(6, size, padding="causal", dilation_rate=dilation, groups=2)],
        lambda: [before, L.DepthwiseConv1D(size, depth_multiplier=choose([1, 2]), dilation_rate=dilation)],
        lambda: [before, L.SeparableConv1D(3, size, dilation_rate=dilation)],
        lambda: [L.ZeroPadding1D((size - 1, 0)), choose([L.AveragePooling1D, L.MaxPooling1D])(size, strides=1)],
    ])  # fmt: skip
    for layer in layers():
        x = layer(x)
    return x


def _per_step(x: Any, choose: Choose) -> Any:
    size = x.shape[-1]
    make = choose([
        lambda: L.Dense(choose([1, 3, 6]), activation=choose(_ACTIVATIONS))(x),
        lambda: L.TimeDistributed(L.Dense(3, use_bias=False))(x),
        lambda: L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", activation=choose(_ACTIVATIONS))(x),
        lambda: L.Activation(choose(_ACTIVATIONS))(x),
        lambda: choose([L.LayerNormalization, L.RMSNormalization, L.BatchNormalization])()(x),
        lambda: L.UnitNormalization()(x),
        lambda: L.Rescaling(0.5, offset=0.1)(x),
        lambda: choose([L.ReLU(1.0, 0.1), L.LeakyReLU(), L.ELU(), L.PReLU(shared_axes=[1]), L.Softmax()])(x)
        if getattr(x, "_keras_mask", None) is None else L.ReLU()(x),
        lambda: choose([L.Dropout(0.5), L.GaussianNoise(1.0), L.SpatialDropout1D(0.5), L.AlphaDropout(0.1)])(x),
        lambda: L.Reshape((-1, 6))(L.Permute((1, 3, 2))(L.Reshape((-1, 2, 3))(L.Dense(6)(x)))),
        lambda: keras.ops.tanh(x) * 0.5 + x - 0.1,
        lambda: L.Masking(0.0)(L.ReLU()(x)),
        lambda: L.Normalization(mean=[0.1] * size, variance=[0.5] * size)(x),
    ])  # fmt: skip
    return make()


def _branches(x: Any, choose: Choose) -> Any:
    branches = [choose([_recurrent, _window, _per_step])(x, choose) for _ in range(2)]
    if choose([True, False]):
        return L.Concatenate()([*branches, x])
    same = [L.Dense(4)(branch) for branch in branches]
    masked = any(getattr(branch, "_keras_mask", None) is not None for branch in same)
    pairs = [L.Multiply, L.Maximum, L.Minimum]  # Keras leaves out masked numbers in these
    return choose([L.Add, L.Subtract, L.Average, *([] if masked else pairs)])()(same)


def _shared(x: Any, choose: Choose) -> Any:
    layer = choose([L.GRU, L.LSTM, L.SimpleRNN])(4, **SEQUENCES)
    x = L.Dense(4)(x)
    return L.Add()([layer(x), layer(layer(x))])


def _rate(x: Any, choose: Choose) -> Any:
    size, strides = choose([1, 2, 3]), choose([1, 2, 3])
    layers = choose([
        lambda: [L.Conv1D(4, size, strides=strides, padding=choose(["causal", "valid"]), activation="tanh")],
        lambda: [L.Conv1D(4, size, dilation_rate=choose([1, 2]))],
        lambda: [L.ZeroPadding1D((choose([0, size - 1]), 0)), L.DepthwiseConv1D(size, strides=strides)],
        lambda: [L.SeparableConv1D(3, size, strides=strides)],
        lambda: [choose([L.AveragePooling1D, L.MaxPooling1D])(size, strides=choose([None, strides]))],
        lambda: [L.Cropping1D((size, 0))],
    ])  # fmt: skip
    for layer in layers():
        x = layer(x)
    return x


def _rate_over_frequency(x: Any, choose: Choose) -> Any:
    size, strides = choose([(1, 2), (2, 2), (3, 1)]), choose([(1, 1), (2, 1), (2, 2)])
    x = L.Reshape((-1, 4, 2))(L.Dense(8)(x))
    x = choose([lambda x: x, L.ZeroPadding2D(((size[0] - 1, 0), (1, 0))), L.BatchNormalization()])(x)
    x = choose([
        lambda: L.Conv2D(3, size, strides=strides, activation="tanh"),
        lambda: L.DepthwiseConv2D(size, strides=(strides[0],) * 2, depth_multiplier=2),
        lambda: L.SeparableConv2D(3, size),
        lambda: choose([L.AveragePooling2D, L.MaxPooling2D])(size, strides=strides),
    ])()(x)  # fmt: skip
    return L.Reshape((-1, x.shape[2] * x.shape[3]))(x)


def _rated_branches(x: Any, choose: Choose) -> Any:
    size, strides, padding = choose([1, 2, 3]), choose([1, 2, 3]), choose(["causal", "valid"])
    branches = [L.Conv1D(4, size, strides=strides, padding=padding)(choose([_per_step, _recurrent])(x, choose))
                for _ in range(2)]  # fmt: skip
    return choose([L.Add, L.Multiply, L.Concatenate])()(branches)
