"""Cases of M8 and M11: operations, lookup layers, cells and layers without a rule, packages, --custom."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with suppress(ImportError):  # before TensorFlow, or it cannot build an interpreter any more
    importlib.import_module("tflite_runtime.interpreter")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

import keras
import numpy as np
from support import cells

from stepcell.export import build_step_function, export
from stepcell.runtime import load
from stepcell.runtime.common.errors import StepcellError

from . import Row

L, ops = keras.layers, keras.ops
STEPS, SEQUENCES = 50, {"return_sequences": True}


def _around(*body: Any, shape: tuple[int, ...] = (5,)) -> keras.Model:
    """A model of three answers around layers or functions, with the weights that these begin with."""
    keras.utils.set_random_seed(1)
    source = x = keras.Input((None, *shape), name="x")
    for each in body:
        x = each(x)
    return keras.Model(source, L.Dense(3, activation="softmax")(x))


def _difference(model: keras.Model, folder: Path) -> float | str:
    """Return the largest difference of both files from Keras on a sequence; a refusal as its message."""
    try:
        exported = export(model, folder / "out", labels=["a", "b", "c"], steps=200)
    except StepcellError as error:
        return str(error)
    x = np.random.default_rng(1).standard_normal((STEPS, *model.input_shape[2:])).astype(np.float32)
    whole = np.asarray(model(x[None], training=False))[0]
    worst = 0.0
    for path in exported.files[:-1]:
        stream = load(path).stream()
        found = np.array([stream.step(features={"x": frame}).probabilities for frame in x])
        worst = max(worst, float(np.abs((found if whole.ndim == 2 else found[-1]) - whole).max()))
    return worst


def _exported(what: str, folder: Path, *models: keras.Model) -> Row:
    found = [_difference(model, folder / str(number)) for number, model in enumerate(models)]
    refused = [each for each in found if isinstance(each, str)]
    return Row(what, "equal Keras", refused[0][:90] if refused else "equal Keras" if max(found) < 1e-5 else max(found))


def _refused(what: str, cause: str, model: keras.Model) -> Row:
    try:
        build_step_function(model)
    except StepcellError as error:
        return Row(what, cause, cause if cause in str(error) else str(error)[:90])
    return Row(what, cause, "taken")


def case_M8_operations(folder: Path) -> Row:  # noqa: N802
    """Slices, split, mean, clip, power, squeeze, expand_dims, where and comparisons."""

    def body(x: Any) -> Any:
        one, two = ops.split(x, [3], axis=-1)
        gate = ops.expand_dims(ops.squeeze(x[..., :1], -1), -1)
        parts = [one, ops.clip(two, -0.1, 0.1), ops.power(x, 2), ops.where(x > 0, x, 0.1 * x), gate]
        return L.Concatenate()([*parts, ops.mean(x, axis=-1, keepdims=True), ops.cast(x < 0.1, "float32")])

    return _exported("operations behind a GRU", folder, _around(L.GRU(6, **SEQUENCES), body))


def case_M8_last(folder: Path) -> Row:  # noqa: N802
    """`h[:, -1, :]` and a softmax operation as the last call."""
    return _exported(
        "h[:, -1, :]", folder, _around(L.GRU(6, **SEQUENCES), lambda x: x[:, -1, :]),
        _around(L.GRU(6, **SEQUENCES), lambda x: ops.softmax(x)),
    )  # fmt: skip


def case_M8_tied(folder: Path) -> Row:  # noqa: N802
    """Tied embeddings: the matrix of the embedding is the last one."""
    source = keras.Input((None,), dtype="int32")
    embedding = L.Embedding(6, 5)
    x = L.GRU(5, **SEQUENCES)(embedding(source))
    model = keras.Model(source, ops.softmax(ops.matmul(x, ops.transpose(embedding.embeddings))))
    exported = export(model, folder, steps=200)
    return Row("softmax(h @ E.T)", "proven", "proven" if all(p.holds for p in exported.parity) else "not")


def case_M8_words(folder: Path) -> Row:  # noqa: N802
    """StringLookup before the embedding."""
    source = keras.Input((None,), dtype="string")
    ids = L.StringLookup(vocabulary=["go", "stop"])(source)
    model = keras.Model(source, L.Dense(2, activation="softmax")(L.GRU(4, **SEQUENCES)(L.Embedding(3, 4)(ids))))
    exported = export(model, folder, steps=200)
    words = load(exported.files[0]).vocabulary
    return Row("StringLookup(go, stop)", "[UNK] go stop, unknown [UNK]",
               f"{' '.join(words.symbols)}, unknown {words.unknown}")  # fmt: skip


def case_M11_cells(folder: Path) -> Row:  # noqa: N802
    """minGRU, IndRNN, FastGRNN, LRU, a Mamba-like cell, a stack."""
    made = [_around(L.RNN(make(), **SEQUENCES)) for make in cells.CELLS.values()]
    return _exported(f"RNN over {len(made)} cells", folder, *made)


def case_M11_ncps(folder: Path) -> Row:  # noqa: N802
    """CfC, LTC and a wired NCP."""
    import ncps
    import ncps.keras

    return _exported(
        "CfC, LTC, NCP", folder, _around(ncps.keras.CfC(6, backbone_units=8, **SEQUENCES)),
        _around(ncps.keras.LTC(6, **SEQUENCES)), _around(ncps.keras.LTC(ncps.wirings.AutoNCP(10, 4), **SEQUENCES)),
    )  # fmt: skip


def case_M11_lmu(folder: Path) -> Row:  # noqa: N802
    """LMU with feedback and without."""
    import keras_lmu

    return _exported(
        "LMU", folder, _around(keras_lmu.LMU(2, 4, 8, L.SimpleRNNCell(5), hidden_to_memory=True, **SEQUENCES)),
        _around(keras_lmu.LMU(2, 4, 8, L.Dense(5), **SEQUENCES)),
    )  # fmt: skip


def case_M11_tcn(folder: Path) -> Row:  # noqa: N802
    """keras-tcn."""
    from tcn import TCN

    return _exported("TCN", folder, _around(TCN(8, 3, dilations=(1, 2, 4), **SEQUENCES)))


def case_M11_layers(folder: Path) -> Row:  # noqa: N802
    """ConvLSTM1D, SpectralNormalization, Lambda."""

    def rows(x: Any) -> Any:
        return L.Reshape((-1, 20))(L.ConvLSTM1D(2, 3, padding="same", **SEQUENCES)(x))

    return _exported(
        "ConvLSTM1D, SpectralNormalization, Lambda", folder, _around(rows, shape=(10, 3)),
        _around(L.GRU(6, **SEQUENCES), L.SpectralNormalization(L.Dense(4))),
        _around(L.GRU(6, **SEQUENCES), L.Lambda(lambda x: ops.sin(x))),
    )  # fmt: skip


def case_M11_noise(folder: Path) -> Row:  # noqa: N802
    """A cell that draws numbers at inference."""
    return _refused("a cell with noise", "draws random numbers", _around(L.RNN(cells.NoisyCell(4), **SEQUENCES)))


def case_M11_variable(folder: Path) -> Row:  # noqa: N802
    """A cell that assigns a variable."""
    return _refused("a cell with a variable", "AssignVariableOp", _around(L.RNN(cells.VariableCell(4), **SEQUENCES)))


def case_M11_time(folder: Path) -> Row:  # noqa: N802
    """A layer that looks along the time."""
    return _refused(
        "x - mean over time", "it looks along the time: it differs by",
        _around(L.GRU(4, **SEQUENCES), L.Lambda(lambda x: x - ops.mean(x, axis=1, keepdims=True))),
    )  # fmt: skip


_MY_CELLS = """
import keras
class Halving(keras.layers.Layer):
    def __init__(self, units, **o): super().__init__(**o); self.units = self.state_size = units
    def build(self, s): self.w = self.add_weight(shape=(s[-1], self.units)); self.built = True
    def call(self, x, states): h = 0.5 * states[0] + keras.ops.matmul(x, self.w); return h, [h]
    def get_config(self): return {**super().get_config(), "units": self.units}
"""
_SAVE = """
import keras, my_cells
rnn = keras.layers.RNN(my_cells.Halving(4), return_sequences=True)
keras.Sequential([keras.Input((None, 3)), rnn, keras.layers.Dense(2, activation="softmax")]).save("m.keras")
"""


def case_M11_custom(folder: Path) -> Row:  # noqa: N802
    """A saved model with a cell of one's own, by the command, without and with --custom."""
    (folder / "my_cells.py").write_text(_MY_CELLS)
    subprocess.run([sys.executable, "-c", _SAVE], check=True, capture_output=True)

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "stepcell.cli", "export", "m.keras", "--out", "out", "--steps", "200", *words]
        return subprocess.run(line, capture_output=True, text=True)

    without, done = command(), command("--custom", "my_cells.py")
    hint = "--custom FILE.py" in without.stderr
    return Row("export m.keras", "1 with hint, 0", f"{without.returncode}{' with hint' * hint}, {done.returncode}")
