"""Cases M1, M6, M7 and M13: files of Keras 2, inputs by name, mixed precision, compiled models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py

from stepcell.export import export, read_source
from stepcell.export.sources.referee import one_process
from stepcell.runtime.common.errors import StepcellError

from . import Row, stepcell

FILES = Path(__file__).resolve().parents[2] / "tests/data/keras2"
STEPS = ("--steps", "300")


def _reference(folder: Path) -> str:
    return str(json.loads((folder / "parity.json").read_bytes())["reference"]).split()[0]


def _exported(*arguments: object) -> str:
    """Export a model and return the reference of its proof, or the message that refuses it."""
    done = stepcell("export", *arguments, "--out", "build", "--format", "onnx", *STEPS)
    return done.stderr.strip() if done.returncode else _reference(Path("build"))


def case_M1_formats(folder: Path) -> Row:  # noqa: N802
    """Every format of Keras 2 gets in, and tf_keras is the reference of its proof."""
    sources = [
        (FILES / "symbols.h5",), (FILES / "old_gru.h5",), (FILES / "cudnn.h5",), (FILES / "saved_model",),
        (FILES / "symbols.json", "--weights", FILES / "symbols_alone.h5"),
        (FILES / "symbols.json", "--weights", FILES / "symbols.weights.h5"),
        (FILES / "symbols.json", "--weights", FILES / "symbols_checkpoint"),
    ]  # fmt: skip
    seen = [_exported(*source) for source in sources]
    return Row(".h5 (2.21, 2.1.6, cuDNN), SavedModel, json with .h5, .weights.h5, checkpoint", ["tf_keras"] * 7, seen)


def case_M1_names(folder: Path) -> Row:  # noqa: N802
    """A file is what it holds: .h5 named .keras, .keras named .h5."""
    shutil.copy(FILES / "symbols.h5", folder / "a.keras")
    shutil.copy(FILES / "functional.keras", folder / "b.h5")
    seen = [len(read_source(folder / name).model.layers) for name in ("a.keras", "b.h5")]
    return Row("files with each other's names", [3, 8], seen)


def case_M1_gates(folder: Path) -> Row:  # noqa: N802
    """The hard_sigmoid of Keras 2 is not that of Keras 3, and tf_keras finds the difference."""
    import keras

    with one_process():
        model = read_source(FILES / "symbols.h5").model
        export(model, folder / "right", formats=["onnx"], steps=300)
        model = read_source(FILES / "symbols.h5").model
        model.layers[1].cell.recurrent_activation = keras.activations.hard_sigmoid
        seen = ["written"]
        try:
            export(model, folder / "wrong", formats=["onnx"], steps=300)
            seen.append("written")
        except StepcellError as error:
            seen.append("lstm" if "first in the layer 'lstm'" in str(error) else str(error))
    return Row("LSTM with hard_sigmoid; the same with that of Keras 3", ["written", "lstm"], seen)


def case_M1_time_major(folder: Path) -> Row:  # noqa: N802
    """The options that Keras 3 does not know (time_major, implementation) are in every file of TensorFlow 2."""
    with h5py.File(FILES / "symbols.h5") as file:
        config = json.loads(file.attrs["model_config"])
    options = config["config"]["layers"][2]["config"]
    known = [options.get(key) for key in ("time_major", "implementation")]
    return Row("a file with time_major and implementation", [False, 2, "tf_keras"],
               [*known, _exported(FILES / "symbols.h5")])  # fmt: skip


def case_M1_messages(folder: Path) -> Row:  # noqa: N802
    """What cannot get in is refused with the cause and with what to type."""
    (folder / "plain").mkdir()
    (folder / "plain" / "saved_model.pb").write_bytes(b"")
    asked: list[tuple[tuple[Any, ...], str]] = [
        ((FILES / "symbols_alone.h5",), "--weights"),
        ((FILES / "symbols.weights.h5",), "--weights"),
        ((FILES / "symbols.json",), "--weights FILE"),
        ((folder / "plain",), "SavedModel without a Keras model"),
    ]
    seen = [part in _exported(*arguments) for arguments, part in asked]
    return Row("weights alone, a configuration alone, a SavedModel without Keras", [True] * 4, seen)


def case_M1_code(folder: Path) -> Row:  # noqa: N802
    """Nothing in a file is executed: Lambda, unknown classes, external links."""
    seen = []
    for class_name in ("Lambda", "MyLayer"):
        path = folder / f"{class_name}.h5"
        shutil.copy(FILES / "symbols.h5", path)
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            config["config"]["layers"][1]["class_name"] = class_name
            file.attrs["model_config"] = json.dumps(config)
        seen.append("code" in _exported(path))
    shutil.copy(FILES / "symbols.h5", folder / "link.h5")
    with h5py.File(folder / "link.h5", "a") as file:
        file["model_weights/lstm/far"] = h5py.ExternalLink("/etc/hostname", "/")
    seen.append("external link" in _exported(folder / "link.h5"))
    return Row("Lambda, an unknown class, an external link", [True] * 3, [*seen])


def case_M6(folder: Path) -> Row:  # noqa: N802
    """Inputs in a dictionary."""
    import keras

    layers = keras.layers
    symbol, sensor = keras.Input((None,), dtype="int32", name="symbol"), keras.Input((None, 2), name="sensor")
    x = layers.GRU(4, return_sequences=True)(layers.Concatenate()([layers.Embedding(5, 3)(symbol), sensor]))
    model = keras.Model({"symbol": symbol, "sensor": sensor}, layers.Dense(5, "softmax")(x))
    done = export(model, folder, formats=["onnx"], steps=300)
    return Row('keras.Model({"symbol": i, "sensor": f}, ...)', True, all(entry.holds for entry in done.parity))


def case_M7(folder: Path) -> Row:  # noqa: N802
    """Mixed precision is exported in float32, and the report says so."""
    import keras

    seen = []
    for policy in ("mixed_float16", "mixed_bfloat16"):
        recurrent = keras.layers.LSTM(4, return_sequences=True, dtype=policy)
        answer = keras.layers.Dense(2, "softmax", dtype="float32")
        keras.Sequential([keras.Input((None, 2)), recurrent, answer]).save(folder / "mixed.keras")
        notes = export(read_source("mixed.keras").model, folder, formats=["onnx"], steps=300).notes
        seen.append(f"The layers compute in {policy}; exported is float32." in notes)
    return Row("mixed_float16, mixed_bfloat16", [True, True], seen)


def case_M13(folder: Path) -> Row:  # noqa: N802
    """A loss that exists in the training program alone."""
    import keras

    @keras.saving.register_keras_serializable("case")
    def my_loss(truth: Any, given: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(truth - given))

    model = keras.Sequential([keras.Input((None, 2)), keras.layers.GRU(3), keras.layers.Dense(1)])
    model.compile("adam", loss=my_loss)
    model.save(folder / "compiled.keras")
    done = stepcell("export", "compiled.keras", "--values", "--out", "build", "--format", "onnx", *STEPS)
    return Row("compiled with a loss of its own", 0, done.returncode)
