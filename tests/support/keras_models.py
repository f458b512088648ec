"""Keras models that several tests use, and the problem most of them learn."""

from __future__ import annotations

import keras
import numpy as np

from stepcell.train import Memory

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
