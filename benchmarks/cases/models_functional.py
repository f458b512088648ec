"""Cases M3, M4, M9, M10, M14, M15: answers in units, values, states in sight, constants, causes, samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stepcell.export import export
from stepcell.export.layers.keras_graph import KerasModel
from stepcell.runtime.common.errors import StepcellError

from . import Row, stepcell

L = keras.layers
SEQUENCES = {"return_sequences": True}


def _model(*layers: Any, inputs: int = 2) -> KerasModel:
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((None, inputs)), *layers])


def _exported(model: KerasModel, **options: Any) -> str:
    """Return "written", or the first line of the reason why not."""
    try:
        export(model, "out", steps=1_000, **options)
    except StepcellError as error:
        return str(error).split("\n")[0]
    return "written"


def case_M3_units(folder: Path) -> Row:  # noqa: N802
    """Regression in watts, lux and pascals is written."""
    seen = {}
    for unit, scale in {
        "watts": L.Rescaling(100),
        "lux": L.Rescaling(1e5),
        "pascals": L.Rescaling(10, 101_325),
    }.items():
        model = _model(L.LSTM(16, **SEQUENCES), L.Dense(1), scale)
        seen[unit] = _exported(model)
        report = json.loads(Path("out/parity.json").read_bytes())
        seen[unit] += "" if all(entry["in_units"][0]["range"] > 0 for entry in report["parity"]) else ", no units"
    return Row("LSTM, Dense(1), Rescaling in three units", dict.fromkeys(seen, "written"), seen)


def case_M3_large_states(folder: Path) -> Row:  # noqa: N802
    """A model whose states reach hundreds is written."""
    layers = [L.SimpleRNN(16, activation="linear", recurrent_initializer="identity", **SEQUENCES), L.Dense(1)]
    model = _model(*layers)
    kernel, recurrent, bias, *head = model.get_weights()
    model.set_weights([100 * kernel, 0.9 * recurrent, bias + 5, *head])
    return Row("linear SimpleRNN, states of hundreds", "written", _exported(model))


def case_M3_fault(folder: Path) -> Row:  # noqa: N802
    """A file of one weight off by a thousandth is not taken for that of the model, whatever the unit."""
    seen = []
    for scale in (1e-6, 1.0, 1e6):
        model = _model(L.LSTM(8, **SEQUENCES), L.Dense(1), L.Rescaling(scale))
        model.save("right.keras")
        export(model, "out", formats=["onnx"], steps=200)
        weights = model.get_weights()
        weights[3][0, 0] *= 1.001
        model.set_weights(weights)
        model.save("wrong.keras")
        done = [stepcell("check", "out/model.onnx", "--keras", f"{name}.keras") for name in ("right", "wrong")]
        seen.append([one.returncode for one in done])
    return Row("check with a weight off by 1e-3, at 1e-6, 1, 1e6", [[0, 1]] * 3, seen)


def case_M4(folder: Path) -> Row:  # noqa: N802
    """Dense(1) is written as values without an option."""
    _model(L.LSTM(8, **SEQUENCES), L.Dense(1)).save("power.keras")
    done = stepcell("export", "power.keras", "--out", "out", "--format", "onnx", "--steps", "500")
    return Row("export power.keras", (0, True), (done.returncode, "values" in done.stdout))


def case_M9_decoder(folder: Path) -> Row:  # noqa: N802
    """A decoder with its states as inputs and outputs is written, and the report names the pairs."""
    token, h, c = keras.Input((None,), dtype="int32"), keras.Input((8,), name="h"), keras.Input((8,), name="c")
    y, *states = L.LSTM(8, return_state=True, **SEQUENCES)(L.Embedding(5, 4)(token), initial_state=[h, c])
    notes = export(keras.Model([token, h, c], [L.Dense(5, "softmax")(y), *states]), "out", steps=500).notes
    seen = [note.split(",")[0].split()[-1] for note in notes if note.startswith("its input")]
    return Row("decoder with h and c in sight", ["h0", "c0"], seen)


def case_M9_unused(folder: Path) -> Row:  # noqa: N802
    """Returned states that nothing reads do not matter."""
    source = keras.Input((None, 2))
    y, _, _ = L.LSTM(8, return_state=True, **SEQUENCES)(source)
    return Row("return_state=True, unused", "written", _exported(keras.Model(source, L.Dense(1)(y))))


def case_M10(folder: Path) -> Row:  # noqa: N802
    """A constant initial_state is where the file starts; a constant mask of all steps is none."""
    source = keras.Input((None, 2))
    ones = keras.ops.ones((1, 8))
    started = keras.Model(source, L.Dense(1)(L.GRU(8, **SEQUENCES)(source, initial_state=ones)))
    fixed = keras.Input((6, 2))
    mask = keras.ops.ones((1, 6), "bool")
    masked = keras.Model(fixed, L.Dense(1)(L.GRU(8, **SEQUENCES)(fixed, mask=mask)))
    return Row("constant initial_state, constant mask", ["written"] * 2, [_exported(started), _exported(masked)])


def case_M14(folder: Path) -> Row:  # noqa: N802
    """Only the layer that cannot be stepped is listed, and not what follows from it."""

    class Backwards(L.Layer):
        def call(self, x: Any) -> Any:
            return x[:, ::-1]

    symbol = keras.Input((None,), dtype="int32", name="symbol")
    x = L.LayerNormalization()(L.Embedding(5, 4)(Backwards(name="backwards")(symbol)))
    try:
        export(keras.Model(symbol, L.Dense(5, "softmax")(L.GRU(3)(x))), "out")
        listed = ["written"]
    except StepcellError as error:
        listed = [line.split()[1] for line in str(error).split("\n") if line.startswith("  - ")]
    return Row("a layer that looks ahead", ["backwards"], listed)


def case_M15(folder: Path) -> Row:  # noqa: N802
    """A sensor model is proven on its own data; names that it does not read are refused."""
    _model(L.LSTM(8, **SEQUENCES), L.Dense(1)).save("sensor.keras")
    rows = np.random.default_rng(0).normal(40, 5, (200, 2))
    np.savetxt("sensor.csv", rows, "%.3f", ",", header="left,right", comments="")
    np.savez("other.npz", pressure=rows)
    done = [
        stepcell("export", "sensor.keras", "--out", "out", "--format", "onnx", "--steps", "500", "--sample", name)
        for name in ("sensor.csv", "other.npz")
    ]
    seen = ([one.returncode for one in done], "there is no pressure" in done[1].stderr)
    return Row("export --sample sensor.csv, other.npz", ([0, 1], True), seen)
