"""Keras models that several tests use, the standard models among them, and the problem most of them learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np

from stepcell.runtime import Vocabulary
from stepcell.train import Memory

L = keras.layers
SYMBOLS = 6
MEMORY = Memory.conflicting()


def sharp_model(
    cell: str, layers: int, *, units: int = 12, symbols: int = 7, embedding: int = 5, seed: int = 1, **options
):
    """An untrained model whose answers depend strongly on its state: the last kernel is ten times the usual."""
    random = np.random.default_rng(seed)
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}[cell]
    stack = [layer(units + 2 * n, return_sequences=True, **options) for n in range(layers)]
    first = [keras.layers.Embedding(symbols, embedding)] if embedding else []
    source = keras.Input((None,), dtype="int32") if embedding else keras.Input((None, symbols))
    model = keras.Sequential([source, *first, *stack, keras.layers.Dense(symbols, activation="softmax")])
    weights = [random.normal(0, 1 / np.sqrt(w.shape[0]), w.shape).astype("float32") for w in model.get_weights()]
    model.set_weights([*weights[:-2], 10 * weights[-2], weights[-1]])
    return model


def with_random_weights(model: keras.Model, seed: int = 2) -> keras.Model:
    """The model with weights of which none is special: no zero bias, no variance of 1."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        values = random.normal(0, 0.3, variable.shape)
        variable.assign(np.abs(values) + 0.2 if "variance" in variable.name else values)
    return model


def masked(zero_output: bool) -> keras.Model:
    """A model of SYMBOLS symbols whose masked steps hold the state."""
    layers, sequences = keras.layers, {"return_sequences": True}
    source = keras.Input((None,), dtype="int32")
    x = layers.Embedding(SYMBOLS, 4, mask_zero=True)(source)
    y = layers.LSTM(4, zero_output_for_mask=zero_output, **sequences)(x)
    stacked = layers.RNN([layers.GRUCell(3), layers.LSTMCell(2)], **sequences)(y)
    y = layers.Concatenate()([layers.Dense(3)(y), x, stacked])
    z = layers.Add()([layers.GRU(3, **sequences)(y), layers.SimpleRNN(3, **sequences)(y)])
    answer = layers.Dense(SYMBOLS, activation="softmax")(layers.LSTM(3, **sequences)(z))
    return with_random_weights(keras.Model(source, answer))


def ids_in() -> Any:
    """The input of a model that reads symbols as ids."""
    return keras.Input((None,), dtype="int32", name="symbol")


def window() -> keras.Model:
    """A convolution, whose state is in no product, before a recurrent layer: a file with two phases."""
    source = ids_in()
    x = L.Conv1D(6, 3, padding="causal", activation="tanh")(L.Embedding(7, 5)(source))
    x = L.LSTM(9, return_sequences=True)(x)
    return with_random_weights(keras.Model(source, L.Dense(7, activation="softmax")(x)))


def convolution() -> keras.Model:
    """Groups, pooling, depthwise and pointwise kernels, a slope that is learned."""
    source = ids_in()
    x = L.Conv1D(8, 3, padding="causal", dilation_rate=2, groups=2, activation="relu")(L.Embedding(7, 6)(source))
    x = L.AveragePooling1D(3, strides=1)(L.ZeroPadding1D((2, 0))(x))
    x = L.SeparableConv1D(6, 2)(L.ZeroPadding1D((1, 0))(L.PReLU(shared_axes=[1])(x)))
    return with_random_weights(keras.Model(source, L.Dense(7, activation="softmax")(x)))


def stack() -> keras.Model:
    """Each recurrent layer there is, a normalization and a residual connection; it answers once for a sequence."""
    source = ids_in()
    x = L.LSTM(9, return_sequences=True)(L.Embedding(7, 5)(source))
    x = L.Add()([L.LayerNormalization()(L.GRU(9, return_sequences=True)(x)), x])
    return with_random_weights(keras.Model(source, L.Dense(7, activation="softmax")(L.SimpleRNN(8)(x))))


HOURS, SPEEDS = 24, 3


def wide() -> keras.Model:
    """A symbol, a second id and numbers in; the next symbol, values and another label out."""
    symbol, hour = (keras.Input((None,), dtype="int32", name=name) for name in ("event", "hour"))
    speed = keras.Input((None, SPEEDS), name="speed")
    x = L.Concatenate()([L.Embedding(7, 4)(symbol), L.Embedding(HOURS, 3)(hour), L.Dense(5, activation="tanh")(speed)])
    x = L.LSTM(9, return_sequences=True)(x)
    outputs = [
        L.Dense(7, activation="softmax", name="next")(x),
        L.Dense(2, name="gap")(x),
        L.Dense(3, activation="softmax", name="mood")(L.GRU(4, return_sequences=True)(x)),
    ]
    model = keras.Model([symbol, hour, speed], outputs)
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.7, w.shape).astype("f4") for w in model.get_weights()])
    return model


def vectors() -> keras.Model:
    """A symbol and a matrix (2, 3) in, the next symbol and values out."""
    symbol, vector = ids_in(), keras.Input((None, 2, 3), name="vector")
    x = L.LSTM(8)(L.Concatenate()([L.Embedding(7, 5)(symbol), L.Reshape((-1, 6))(vector)]))
    outputs = [L.Dense(7, activation="softmax", name="next")(x), L.Dense(2, name="value")(x)]
    return with_random_weights(keras.Model([symbol, vector], outputs))


def sensor() -> keras.Model:
    """Four numbers in, two numbers out: no symbol anywhere."""
    return with_random_weights(keras.Sequential([keras.Input((None, 4), name="features"), L.GRU(8), L.Dense(2)]))


def sigmoid() -> keras.Model:
    """Each answer is a probability for itself."""
    layers = [L.Embedding(7, 5), L.GRU(9, return_sequences=True), L.Dense(7, activation="sigmoid")]
    return with_random_weights(keras.Sequential([ids_in(), *layers]))


def labelled() -> keras.Model:
    """Six symbols in, three labels out."""
    return with_random_weights(keras.Sequential([ids_in(), L.Embedding(6, 4), L.LSTM(8), L.Dense(3, "softmax")]))


def growing(activation: str, layers: int = 1) -> keras.Model:
    """A state that doubles at each step: after 128 of them it is infinite."""
    source = ids_in()
    x = L.Embedding(3, 2)(source)
    for _ in range(layers):
        x = L.SimpleRNN(2, activation="relu", return_sequences=True)(x)
    model = keras.Model(source, L.Dense(3, activation=activation)(x))
    _, *recurrent, _, bias = model.get_weights()
    cell = [np.full((2, 2), 0.5), 2 * np.eye(2), np.full(2, 0.25)]
    assert len(recurrent) == 3 * layers
    model.set_weights([np.ones((3, 2)), *cell * layers, np.array([[1, -1, 0.5], [0, 0, 0.5]]), bias])
    return model


def latch() -> keras.Model:
    """A state that symbol 2 sets for ever: -1 before, +1 after it."""
    model = keras.Sequential(
        [ids_in(), L.Embedding(3, 1), L.SimpleRNN(1, return_sequences=True), L.Dense(3, "softmax")]
    )
    weights = ([[-1], [-1.5], [20]], [[1]], [[6]], [0], [[2, -2, 0.5]], [0, 0, 0])
    model.set_weights([np.array(w, "float32") for w in weights])
    return model


def biased() -> keras.Model:
    """An LSTM before a softmax whose bias is 1/7, 2/7, ..., 1: bytes that can be found in a file."""
    layers = [L.Embedding(7, 3), L.LSTM(4, return_sequences=True), L.Dense(7, activation="softmax")]
    model = with_random_weights(keras.Sequential([ids_in(), *layers]))
    layers[-1].bias.assign(np.arange(1, 8, dtype="float32") / 7)
    return model


class Standard(NamedTuple):
    """A standard model: how Keras makes it, and how it is exported; without `proven` its file is made unproven."""

    build: Callable[[], keras.Model]
    options: Mapping[str, Any] = MappingProxyType({})
    proven: bool = True


def _letters(count: int, **options: Any) -> Vocabulary:
    return Vocabulary(tuple("abcdefghijklm"[:count]), **options)


STATES = {"h0": [x / 12 for x in range(-6, 6)], "c0": [x / 6 for x in range(-6, 6)]}
# What each of them is: `STANDARD` of support/models.py.
STANDARD = {
    "lstm": Standard(lambda: sharp_model("lstm", 1), {"quantize": ["float16"], "sequence": True}),
    "lstm40": Standard(
        lambda: sharp_model("lstm", 1, units=40, symbols=20), {"quantize": ["int8"], "allow_inaccurate": ["int8"]}
    ),
    "three_lstm": Standard(lambda: sharp_model("lstm", 3, units=4)),
    "gru": Standard(lambda: sharp_model("gru", 1)),
    "gru_reset_before": Standard(lambda: sharp_model("gru", 1, reset_after=False)),
    "two_gru": Standard(lambda: sharp_model("gru", 2, units=6)),
    "rnn": Standard(lambda: sharp_model("rnn", 1)),
    "started": Standard(lambda: sharp_model("lstm", 1), {"initial_state": STATES}),
    "text": Standard(
        lambda: sharp_model("gru", 1, symbols=9),
        {"vocabulary": Vocabulary((*"abc é", "\n", "\\", "🙂", "�"), unknown="�")},
    ),
    "labelled": Standard(labelled, {"vocabulary": _letters(6), "labels": Vocabulary(("low", "middle", "high"))}),
    "sigmoid": Standard(sigmoid),
    "stack": Standard(stack, {"quantize": ["float16"]}),
    "masked": Standard(lambda: masked(True)),
    "window": Standard(window),
    "convolution": Standard(convolution),
    "wide": Standard(wide, {"vocabulary": _letters(7)}),
    "vectors": Standard(vectors),
    "sensor": Standard(sensor, {"values": True}),
    "latch": Standard(latch, proven=False),
    "biased": Standard(biased, proven=False),
    "growing_softmax": Standard(lambda: growing("softmax"), proven=False),
    "growing_sigmoid": Standard(lambda: growing("sigmoid"), proven=False),
    "growing_two": Standard(lambda: growing("softmax", layers=2), proven=False),
}
