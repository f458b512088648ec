"""Fixtures shared by all tests: models that are trained and exported once."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Once TensorFlow has been imported, tflite-runtime can no longer build an interpreter in the same process.
importlib.import_module("tflite_runtime.interpreter")

import keras
import numpy as np
import pytest
from stepcell.export import Exported, export, read_source
from stepcell.runtime import Model, load
from stepcell.train import Fitted, Memory, Network, Options, fit, prepare_run_folder, write_run_folder

DATA = Path(__file__).with_name("data")
# (backend, file) for every interpreter; all of them are installed with the extra `dev`.
RUNTIMES = [("litert", "memory.tflite"), ("tflite", "memory.tflite"), ("onnxruntime", "memory.onnx")]
MEMORY = Memory.conflicting()


def sharp_model(cell: str, layers: int, *, units: int = 12, symbols: int = 7, embedding: int = 5, seed: int = 1, **options):
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


@pytest.fixture(scope="session")
def fitted_memory() -> Fitted:
    return fit(MEMORY, Network(units=20), Options(seed=7))


@pytest.fixture(scope="session")
def memory_run(fitted_memory, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "memory"
    prepare_run_folder(folder)
    write_run_folder(folder, MEMORY, Network(units=20), Options(seed=7), fitted_memory)
    return folder


@pytest.fixture(scope="session")
def exported_memory(memory_run, tmp_path_factory) -> Exported:
    source = read_source(memory_run)
    return export(
        source.model,
        tmp_path_factory.mktemp("build"),
        vocabulary=source.vocabulary,
        name=source.name,
        training=source.training,
        sample=source.sample,
        steps=1000,
    )


@pytest.fixture(scope="session", params=RUNTIMES, ids=[backend for backend, _ in RUNTIMES])
def model(request) -> Model:
    """The checked-in memory model on each interpreter in turn."""
    backend, name = request.param
    return load(DATA / name, backend=backend)
