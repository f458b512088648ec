"""Models and files that several tests use."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from stepcell.runtime import load
from stepcell.train import Memory

DATA = Path(__file__).with_name("data")
# (backend, file) for every interpreter, all of which are installed with the extra `dev`, and for numpy.
INTERPRETERS = [("litert", "memory.tflite"), ("tflite", "memory.tflite"), ("onnxruntime", "memory.onnx")]
RUNTIMES = [*INTERPRETERS, ("numpy", "memory.tflite"), ("numpy", "memory.onnx")]
WAYS = [*RUNTIMES, ("litert", "memory.tflite", "low latency")]
MEMORY = Memory.conflicting()


class LowLatency:
    """A model all of whose streams step in two phases."""

    def __init__(self, model):
        self._model = model

    def stream(self):
        return self._model.stream(low_latency=True)


def open_way(backend: str, name: str, *low_latency: str):
    """Return the model of one of `WAYS`."""
    model = load(DATA / name, backend=backend)
    return LowLatency(model) if low_latency else model


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
