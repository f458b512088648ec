"""Make the files of Keras 2 in tests/data/keras2 with tf_keras 2.21: python tests/data/make_keras2.py

One tiny model in each format, with the answers of tf_keras in answers.npz, so that tests need no tf_keras: inputs
"NAME/x", outputs "NAME/y". Some files are changed to what older versions wrote. Of the SavedModel folder the graph is
left out, which is large and which nothing reads.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import h5py
import numpy as np
import tf_keras as keras

FOLDER = Path(__file__).parent / "keras2"
STEPS = 12
L = keras.layers


def symbols() -> Any:
    """An LSTM with the gates that Keras up to 2.2 had by default, next symbols of five."""
    lstm = L.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True)
    return keras.Sequential([keras.Input((None,), dtype="int32"), L.Embedding(5, 3), lstm, L.Dense(5, "softmax")])


def functional() -> Any:
    """A model inside a model, operations as layers, and layers whose options have other names now."""
    inner = keras.Sequential(
        [keras.Input((None, 3)), L.Dense(4, name="inner_dense"), L.BatchNormalization(), L.LeakyReLU(0.1)], name="inner"
    )
    x = keras.Input((None, 3), name="sensor")
    h = L.GRU(4, return_sequences=True)(inner(x) * 0.5)
    h = L.Concatenate()([h, x[:, :, :2]])
    h = L.RNN([L.GRUCell(3), L.LSTMCell(4)], return_sequences=True)(h)
    h = L.TimeDistributed(L.Dense(4))(h) + 1.0
    return keras.Model(x, L.Dense(2, name="out")(L.ThresholdedReLU(0.2)(h)), name="functional")


def stateful() -> Any:
    """A model for one stream, which carries its state."""
    gru = L.GRU(3, batch_input_shape=(1, None, 2), stateful=True, return_sequences=True)
    return keras.Sequential([gru, L.LayerNormalization(), L.Dense(2)])


def old_gru() -> Any:
    """What a GRU was before version 2.2.3: no reset_after, and the default gates."""
    gru = L.GRU(3, recurrent_activation="hard_sigmoid", reset_after=False, return_sequences=True)
    return keras.Sequential([keras.Input((None, 2)), gru, L.Dense(2)])


def cudnn() -> Any:
    """What CuDNNLSTM and CuDNNGRU compute."""
    lstm, gru = L.LSTM(3, return_sequences=True), L.GRU(3, return_sequences=True)
    return keras.Sequential([keras.Input((None, 2)), lstm, gru, L.Dense(2)])


def randomised(model: Any, random: np.random.Generator) -> Any:
    """Give a model weights that all matter: biases and statistics too."""
    model.set_weights([np.abs(random.normal(0, 0.6, w.shape)).astype("f4") + 0.1 if "variance" in v.name
                       else random.normal(0, 0.6, w.shape).astype("f4")
                       for v, w in zip(model.weights, model.get_weights(), strict=True)])  # fmt: skip
    return model


def edit(path: Path, version: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the options of each layer in an .h5 file to be changed, and write them back."""
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        yield from config["config"]["layers"]
        file.attrs["model_config"] = json.dumps(config)
        for group in (file, file["model_weights"]):
            group.attrs["keras_version"] = version or group.attrs["keras_version"]


def as_version_2_1(path: Path) -> None:
    """Leave out what did not exist then."""
    for entry in edit(path, "2.1.6"):
        for key in ("reset_after", "recurrent_activation", "time_major", "dynamic"):
            entry["config"].pop(key, None)


def with_cudnn_layers(path: Path) -> None:
    """Store LSTM and GRU as CuDNNLSTM and CuDNNGRU: see `_convert_rnn_weights` of tf_keras."""
    for entry in edit(path, "2.2.4"):
        if entry["class_name"] in ("LSTM", "GRU"):
            entry["class_name"] = f"CuDNN{entry['class_name']}"
            for key in ("activation", "recurrent_activation", "reset_after", "time_major", "implementation"):
                entry["config"].pop(key, None)
    with h5py.File(path, "a") as file:
        for layer in ("lstm", "gru"):
            group = next(g for name, g in file["model_weights"].items() if name.startswith(layer))
            for name in group.attrs["weight_names"]:
                array, gates = group[name][()], 4 if layer == "lstm" else 3
                if "bias" in name:
                    array = np.tile(array / 2, 2) if layer == "lstm" else array.reshape(-1)
                else:
                    parts = np.hsplit(array, gates)
                    straight = "recurrent" in name
                    array = np.hstack([p.T if straight else p.reshape(p.T.shape, order="F").T for p in parts])
                del group[name]
                group[name] = array


def main() -> None:
    """Write all files."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    answers = {}
    random = np.random.default_rng(2015)  # of the first Keras
    for make in (symbols, functional, stateful, old_gru, cudnn):
        keras.backend.clear_session()
        name, model = make.__name__, randomised(make(), random)
        shape = (1, STEPS, *model.inputs[0].shape[2:])
        ids = "int" in str(model.inputs[0].dtype)
        x = random.integers(5, size=shape).astype("i4") if ids else random.normal(0, 1, shape).astype("f4")
        answers[f"{name}/x"], answers[f"{name}/y"] = x, model(x, training=False).numpy()
        model.save(FOLDER / f"{name}.h5")
        if name == "old_gru":
            as_version_2_1(FOLDER / "old_gru.h5")
        if name == "cudnn":
            with_cudnn_layers(FOLDER / "cudnn.h5")
        if name == "functional":
            model.save(FOLDER / "functional.keras")
        if name == "symbols":
            (FOLDER / "symbols.json").write_text(model.to_json())
            model.save_weights(FOLDER / "symbols_alone.h5")
            model.save_weights(FOLDER / "symbols.weights.h5")
            model.save_weights(FOLDER / "symbols_checkpoint")
            (FOLDER / "checkpoint").unlink()
        if name == "stateful":
            model.save(FOLDER / "saved_model")
            (FOLDER / "saved_model" / "saved_model.pb").unlink()
            (FOLDER / "saved_model" / "fingerprint.pb").unlink()
            shutil.rmtree(FOLDER / "saved_model" / "assets")
    np.savez_compressed(FOLDER / "answers.npz", **answers)
    for path in sorted(FOLDER.rglob("*")):
        print(f"{path.stat().st_size:8} {path.relative_to(FOLDER)}")


if __name__ == "__main__":
    main()
