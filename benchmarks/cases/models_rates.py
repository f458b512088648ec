"""Cases of M16, and those of M11 over images: strides, valid padding, and convolutions over frequency."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with suppress(ImportError):  # before TensorFlow, or it cannot build an interpreter any more
    importlib.import_module("tflite_runtime.interpreter")

import keras
import numpy as np

from stepcell.export import export
from stepcell.runtime import load
from stepcell.runtime.common.errors import StepcellError

from . import Row

L = keras.layers
STEPS = 60
SEQUENCES = {"return_sequences": True}


def _model(shape: Sequence[int], *layers: Any) -> keras.Model:
    return keras.Sequential([keras.Input((None, *shape), name="x"), *layers, L.Dense(3, activation="softmax")])


def _stepped(model: keras.Model, folder: Path) -> tuple[tuple[int, int], bool] | str:
    """Return the first step that answers, the steps between two answers, and whether all are those of Keras.

    A refusal is returned as its message.
    """
    try:
        exported = export(model, folder, formats=["tflite"], labels=["a", "b", "c"], steps=300)
    except StepcellError as error:
        return str(error)
    x = np.random.default_rng(1).standard_normal((STEPS, *model.input_shape[2:])).astype(np.float32)
    whole = np.asarray(model(x[None], training=False))[0]
    device = load(exported.files[0])
    stream = device.stream()
    answers = [stream.step(features={"x": frame}) for frame in x]
    steps = [step for step, answer in enumerate(answers, 1) if answer is not None]
    found = np.array([answer.probabilities for answer in answers if answer is not None])
    times = steps[0], steps[1] - steps[0]
    return times, found.shape == whole.shape and float(np.abs(found - whole).max()) < 1e-5


def _refused(model: keras.Model, folder: Path, cause: str) -> bool | str:
    found = _stepped(model, folder)
    return cause in found and "Nothing was converted" in found if isinstance(found, str) else "exported"


def case_M16_strides(folder: Path) -> Row:  # noqa: N802
    """A strided convolution before a GRU."""
    model = _model((4,), L.Conv1D(8, 5, strides=2, padding="causal", activation="relu"), L.GRU(8, **SEQUENCES))
    return Row("Conv1D(8, 5, strides=2, causal), GRU", ((1, 2), True), _stepped(model, folder))


def case_M16_valid(folder: Path) -> Row:  # noqa: N802
    """Valid padding: answers from the step on at which the window is full."""
    model = _model((4,), L.Conv1D(8, 5), L.LSTM(8, **SEQUENCES))
    return Row("Conv1D(8, 5), LSTM", ((5, 1), True), _stepped(model, folder))


def case_M16_chain(folder: Path) -> Row:  # noqa: N802
    """A chain of rates."""
    model = _model((4,), L.Conv1D(8, 3, strides=2), L.BatchNormalization(), L.MaxPooling1D(2), L.GRU(8, **SEQUENCES))
    return Row("Conv1D(strides=2), MaxPooling1D(2), GRU", ((5, 4), True), _stepped(model, folder))


def case_M16_frequency(folder: Path) -> Row:  # noqa: N802
    """A front end of keyword spotting: Conv2D over log-mel frames."""
    model = _model(
        (40,), L.Reshape((-1, 40, 1)), L.ZeroPadding2D(((4, 0), (2, 2))),
        L.Conv2D(8, (5, 5), strides=(2, 2), activation="relu"), L.BatchNormalization(),
        L.DepthwiseConv2D((1, 3), padding="same"), L.Conv2D(12, (1, 1)), L.MaxPooling2D((1, 2)), L.Reshape((-1, 120)),
        L.GRU(16, **SEQUENCES),
    )  # fmt: skip
    return Row("Conv2D, DepthwiseConv2D, MaxPooling2D, GRU", ((1, 2), True), _stepped(model, folder))


def case_M16_branches(folder: Path) -> Row:  # noqa: N802
    """Branches of two rates."""
    source = keras.Input((None, 4), name="x")
    mixed = L.Add()([L.GRU(4)(L.MaxPooling1D(2)(source)), L.GRU(4)(source)])
    model = keras.Model(source, L.Dense(3, activation="softmax")(mixed))
    return Row("branches with and without strides", True, _refused(model, folder, "are there at different steps"))


def case_M16_same(folder: Path) -> Row:  # noqa: N802
    """Padding on both sides of the time."""
    model = _model((4,), L.Conv1D(8, 3, strides=2, padding="same"), L.GRU(8, **SEQUENCES))
    return Row("Conv1D(padding='same')", True, _refused(model, folder, "use padding='causal'"))


def case_M16_upsampling(folder: Path) -> Row:  # noqa: N802
    """More answers than steps."""
    model = _model((4,), L.UpSampling1D(2), L.GRU(8, **SEQUENCES))
    return Row("UpSampling1D(2)", True, _refused(model, folder, "several time steps of one"))


def case_M11_convlstm(folder: Path) -> Row:  # noqa: N802
    """ConvLSTM1D over rows."""
    model = _model((6, 2), L.ConvLSTM1D(3, 3, padding="same", **SEQUENCES), L.Reshape((-1, 18)))
    return Row("ConvLSTM1D", ((1, 1), True), _stepped(model, folder))


def case_M11_images(folder: Path) -> Row:  # noqa: N802
    """Images within one step."""
    each = L.TimeDistributed
    model = _model(
        (8, 8, 1), each(L.Conv2D(4, 3, padding="same", activation="relu")), each(L.MaxPooling2D()), each(L.Flatten()),
        L.LSTM(8, **SEQUENCES),
    )  # fmt: skip
    return Row("TimeDistributed(Conv2D, MaxPooling2D, Flatten), LSTM", ((1, 1), True), _stepped(model, folder))
