"""Cases of M2: models of windows, and the same as endless streams."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with suppress(ImportError):  # before TensorFlow, or it cannot build an interpreter any more
    importlib.import_module("tflite_runtime.interpreter")

import keras
import numpy as np

from stepcell.export import export
from stepcell.runtime import load, read_model_file
from stepcell.runtime.common.errors import StepcellError

from . import Row

L = keras.layers
SEQUENCES = {"return_sequences": True}


def _stepped(model: keras.Model, folder: Path, x: Any, **options: Any) -> tuple[str, int, bool] | str:
    """Return the method, the number of steps without an answer, and whether the answers are those of `predict`.

    A refusal is returned as its message.
    """
    try:
        exported = export(model, folder / "out", values=True, steps=1000, **options)
    except StepcellError as error:
        return str(error)
    window = read_model_file(exported.files[0]).manifest.window
    if window is None:
        return "carried", 0, all(parity.holds for parity in exported.parity)
    windows = np.stack([x[end - window.length : end] for end in range(window.length, len(x) + 1)])
    expected = model.predict(windows, verbose=0)
    silent, right = set(), True
    for path in exported.files[:-1]:
        stream = load(path).stream()
        answers = [stream.step(features=row) for row in x]
        silent.add(sum(answer is None for answer in answers))
        found = np.array([answer.values for answer in answers if answer is not None])
        right &= bool(np.allclose(found, expected.reshape(len(expected), -1), rtol=1e-5, atol=1e-5))
    return window.method, *silent, right


def _numbers(steps: int, size: int) -> Any:
    return np.random.default_rng(1).standard_normal((steps, size)).astype(np.float32)


def _model(length: int | None, *layers: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((length, 2), name="x"), *layers])


def case_M2_tutorial(folder: Path) -> Row:  # noqa: N802
    """The recipe of the tutorials, trained: [70, 80, 90] -> about 102."""
    raw = np.arange(10, 100, 10, dtype="f4")
    x = np.stack([raw[i : i + 3] for i in range(6)])[..., None]
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3, 1)), L.LSTM(50, activation="relu"), L.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, raw[3:], epochs=200, verbose=0)
    series = np.tile(np.concatenate([raw, raw[::-1]]), 5)[:, None]
    return Row("LSTM(50, relu) on windows of 3, trained", ("rows", 2, True), _stepped(model, folder, series))


def case_M2_two_layers(folder: Path) -> Row:  # noqa: N802
    """Two LSTM layers with dropout on windows of 20."""
    layers = L.LSTM(32, **SEQUENCES), L.Dropout(0.2), L.LSTM(32), L.Dense(16, activation="relu"), L.Dense(1)
    return Row("2 LSTM, window of 20", ("rows", 19, True), _stepped(_model(20, *layers), folder, _numbers(80, 2)))


def case_M2_sixty(folder: Path) -> Row:  # noqa: N802
    """A GRU on windows of 60."""
    return Row(
        "GRU, window of 60", ("rows", 59, True),
        _stepped(_model(60, L.GRU(20), L.Dense(1)), folder, _numbers(150, 2)),
    )  # fmt: skip


def case_M2_convolution(folder: Path) -> Row:  # noqa: N802
    """Valid convolution, pooling, LSTM."""
    layers = L.Conv1D(8, 3, activation="relu"), L.MaxPooling1D(2), L.LSTM(8), L.Dense(1)
    return Row("Conv1D, MaxPooling1D, LSTM", ("rows", 19, True), _stepped(_model(20, *layers), folder, _numbers(60, 2)))


def case_M2_flatten(folder: Path) -> Row:  # noqa: N802
    """Flatten of the whole window."""
    layers = L.LSTM(8, **SEQUENCES), L.Flatten(), L.Dropout(0.1), L.Dense(2)
    return Row("LSTM, Flatten, Dense", ("rows", 11, True), _stepped(_model(12, *layers), folder, _numbers(60, 2)))


def case_M2_bidirectional(folder: Path) -> Row:  # noqa: N802
    """Both ways over the window."""
    layers = L.Bidirectional(L.LSTM(8)), L.Dense(1)
    return Row("Bidirectional", ("recompute", 9, True), _stepped(_model(10, *layers), folder, _numbers(40, 2)))


def case_M2_attention(folder: Path) -> Row:  # noqa: N802
    """Attention over the window."""
    source = keras.Input((10, 2), name="x")
    x = L.LSTM(8, **SEQUENCES)(source)
    weights = L.Softmax(axis=1)(L.Dense(1)(x))
    model = keras.Model(source, L.Dense(1)(keras.ops.sum(x * weights, axis=1)))
    return Row("LSTM, attention", ("recompute", 9, True), _stepped(model, folder, _numbers(40, 2)))


def case_M2_forecast(folder: Path) -> Row:  # noqa: N802
    """Encoder and decoder: a forecast of several steps."""
    layers = L.LSTM(8), L.RepeatVector(4), L.LSTM(8, **SEQUENCES), L.TimeDistributed(L.Dense(2))
    return Row("RepeatVector, decoder", ("recompute", 9, True), _stepped(_model(10, *layers), folder, _numbers(40, 2)))


def case_M2_option(folder: Path) -> Row:  # noqa: N802
    """--window for a model of any length."""
    model = _model(None, L.LSTM(8), L.Dense(1))
    return Row("window=6", ("rows", 5, True), _stepped(model, folder, _numbers(40, 2), window=6))


def case_M2_carried(folder: Path) -> Row:  # noqa: N802
    """--carried for a model of windows."""
    model = _model(20, L.LSTM(8), L.Dense(1))
    return Row("carried=True", ("carried", 0, True), _stepped(model, folder, _numbers(40, 2), carried=True))


def case_M2_misfit(folder: Path) -> Row:  # noqa: N802
    """A window that does not fit."""
    model = _model(20, L.LSTM(8), L.Dense(1))
    found = [_stepped(model, folder, _numbers(40, 2), window=length) for length in (0, 30)]
    return Row("window=0, window=30", [True, True], ["Nothing was converted" in str(each) for each in found])
