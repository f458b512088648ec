"""Makes the valid files that benchmarks/fuzz.py damages: python benchmarks/fuzz_files.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

from stepcell.export import export
from stepcell.export.adopt import adopt
from stepcell.runtime import load, read_model_file

L = keras.layers


def random_weights(model: keras.Model) -> keras.Model:
    """Return `model` with weights of which none is special."""
    random = np.random.default_rng(5)
    model.set_weights([random.normal(0, 0.5, w.shape).astype("f4") for w in model.get_weights()])
    return model


def of_symbols() -> keras.Model:
    """Return an LSTM large enough to have weights of 8 bits."""
    layers = [L.Embedding(9, 4), L.LSTM(20, return_sequences=True), L.Dense(9, activation="softmax")]
    return random_weights(keras.Sequential([keras.Input((None,), dtype="int32"), *layers]))


def of_features() -> keras.Model:
    """Return a GRU that reads a symbol, an id and numbers, and answers symbols and values."""
    symbol, hour = (keras.Input((None,), dtype="int32", name=name) for name in ("event", "hour"))
    speed = keras.Input((None, 2), name="speed")
    x = L.Concatenate()([L.Embedding(7, 4)(symbol), L.Embedding(24, 3)(hour), L.Dense(5, activation="tanh")(speed)])
    x = L.GRU(6, return_sequences=True)(x)
    outputs = [L.Dense(7, activation="softmax", name="next")(x), L.Dense(2, name="gap")(x)]
    return random_weights(keras.Model([symbol, hour, speed], outputs))


def make(folder: Path) -> None:
    """Write one file of each kind to `folder`; each file is there when it is finished."""
    folder.mkdir(parents=True, exist_ok=True)
    both = ["float16", "int8"]
    of_symbols().save(folder / "model.keras")
    export(of_symbols(), folder / "symbols", steps=200, quantize=both, allow_inaccurate=both, sequence=True)
    export(of_features(), folder / "features", steps=200, vocabulary="abcdefg")
    for path in [*folder.glob("*/*.tflite"), *folder.glob("*/*.onnx")]:
        path.rename(folder / f"{path.parent.name}.{path.name}")
    golden = Path(__file__).parent.parent / "tests/data"
    for name in ("memory.tflite", "memory.onnx"):
        file = read_model_file(golden / name)
        (folder / name).write_bytes((golden / name).read_bytes())
        bare = folder / f"adopted.{name}"
        bare.write_bytes(file.payload)
        states = [f"{tensor.name}={tensor.next}" for tensor in file.manifest.state]
        adopt(bare, bare, states=states, vocabulary=file.manifest.vocabulary)
        stream = load(golden / name).stream()
        stream.absorb("3012")
        stream.save(folder / f"{name}.state")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
