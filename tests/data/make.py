"""Makes the model files that are checked in: python tests/data/make.py

memory.tflite and memory.onnx: the trained memory model, so that the runtime can be tested without TensorFlow.
earlier.tflite and earlier.onnx: the same as it was written once, before the step of a .tflite file was cut in pieces;
it must stay readable, and it is where the weights come from. runtime/probe.*: the tiny model that shows whether an
interpreter works.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np

from stepcell.export import build_step_function, export
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.parity.golden import golden_of
from stepcell.export.tflite.convert import tflite_payload
from stepcell.runtime import Manifest, Vocabulary, read_model_file
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.format.onnx_graph import read_onnx_graph

DATA = Path(__file__).parent
ROOT = DATA.parent.parent


def make_probe() -> None:
    """Write runtime/probe.tflite and runtime/probe.onnx: two symbols, one unit."""
    layers = [
        keras.layers.Embedding(2, 1),
        keras.layers.SimpleRNN(1, return_sequences=True),
        keras.layers.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    model.set_weights([np.array(w, "float32") for w in ([[-1], [1]], [[0.7]], [[0.5]], [0.1], [[2, -2]], [0.2, 0])])
    step_function = build_step_function(model)
    manifest = Manifest(
        "probe", Vocabulary.of_ids(2), step_function.state, step_function.cells, golden=golden_of(step_function)
    )
    for format, payload in (("tflite", tflite_payload), ("onnx", onnx_payload)):
        (ROOT / f"runtime/probe.{format}").write_bytes(pack(payload(step_function)[0], manifest, format))


def make_memory() -> None:
    """Write tests/data/memory.tflite and tests/data/memory.onnx."""
    earlier = read_model_file(DATA / "earlier.onnx")
    recurrent, table, kernel, bias = (weight.content() for weight in read_onnx_graph(earlier.payload).weights)
    size, units = len(table), len(recurrent)
    layers = [
        keras.layers.Embedding(size, size),
        keras.layers.LSTM(units, return_sequences=True, use_bias=False),
        keras.layers.Dense(size, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    model.set_weights([np.eye(size), table, recurrent, kernel, bias])  # the table has the bias in it
    random = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        exported = export(
            model,
            folder,
            vocabulary=earlier.manifest.vocabulary,
            name="memory",
            training=earlier.manifest.training,
            sample="".join(random.choice(["30123", "40124"], 400)),
        )
        for path in exported.files[:-1]:
            (DATA / path.name.replace("model", "memory")).write_bytes(path.read_bytes())


if __name__ == "__main__":
    make_probe()
    make_memory()
