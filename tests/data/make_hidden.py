"""Write tests/data/hidden/: small TFLite files that keep their state in variables, as other programs make them.

Run `python tests/data/make_hidden.py`, with TensorFlow. The files are checked in; tests lift them without TensorFlow.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

HIDDEN = Path(__file__).parent / "hidden"
X = tf.TensorSpec((1, 3), tf.float32, name="x")


def of_module(module: tf.Module, *signatures: str) -> bytes:
    """Convert methods of a module."""
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={name: getattr(module, name) for name in signatures})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        converter.experimental_enable_resource_variables = True
        return converter.convert()


def stateful(layer: type[keras.layers.RNN]) -> bytes:
    """Convert a stateful layer of Keras and a Dense."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(1, 1, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(2, stateful=True, unroll=True)(inputs)))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.experimental_enable_resource_variables = True
    return converter.convert()


class Counter(tf.Module):
    """A blend, a mean that starts at 0.5, an integer that counts, and a variable that is never written."""

    def __init__(self) -> None:
        """Make the variables."""
        super().__init__()
        self.h = tf.Variable(tf.zeros((1, 3)), name="h")
        self.k = tf.Variable(tf.fill((1, 1), 0.5), name="k")
        self.n = tf.Variable([0], name="n", dtype=tf.int32)
        self.scale = tf.Variable(tf.fill((1, 3), 2.0), name="scale")

    @tf.function(input_signature=[X])
    def step(self, x):
        """Step."""
        self.h.assign(0.5 * self.h + tf.tanh(x) * self.scale)
        self.k.assign(self.k * 0.9 + 0.1 * tf.reduce_mean(self.h, 1, True))
        self.n.assign_add([1])
        return {"y": self.h * self.k + tf.cast(self.n, tf.float32) * 0.001}


class Two(tf.Module):
    """A step and a reset; and a step whose state moves in a branch."""

    def __init__(self) -> None:
        """Make the variable."""
        super().__init__()
        self.h = tf.Variable(tf.zeros((1, 3)), name="h")

    @tf.function(input_signature=[X])
    def step(self, x):
        """Step."""
        self.h.assign(0.5 * self.h + x)
        return {"y": self.h * 2.0}

    @tf.function(input_signature=[])
    def reset(self):
        """Reset."""
        self.h.assign(tf.zeros((1, 3)))
        return {"ok": tf.zeros(())}

    @tf.function(input_signature=[X])
    def branch(self, x):
        """Step, if the input is positive."""
        if tf.reduce_sum(x) > 0:
            self.h.assign(0.5 * self.h + x)
        return {"y": self.h * 2.0}


class Ring(tf.Module):
    """The last four of eight-bit inputs, which start at -128."""

    def __init__(self) -> None:
        """Make the variable."""
        super().__init__()
        self.past = tf.Variable(tf.fill((1, 4), tf.constant(-128, tf.int8)), name="past/states")

    @tf.function(input_signature=[tf.TensorSpec((1, 2), tf.int8, name="x")])
    def step(self, x):
        """Step."""
        self.past.assign(tf.concat([self.past[:, 2:], x], 1))
        return {"y": tf.reduce_mean(tf.cast(self.past, tf.float32), 1, True)}


def quantised(content: bytes, scale: float, zero_point: int) -> bytes:
    """Give every int8 tensor a scale and a zero point."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.type == schema.TensorType.INT8:
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale = np.array([scale], np.float32)
                tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def main() -> None:
    """Write all files."""
    HIDDEN.mkdir(exist_ok=True)
    files = {
        "gru": stateful(keras.layers.GRU),
        "lstm": stateful(keras.layers.LSTM),
        "counter": of_module(Counter(), "step"),
        "ring": quantised(of_module(Ring(), "step"), 0.1, -128),
        "two_signatures": of_module(Two(), "step", "reset"),
        "branch": of_module(Two(), "branch"),
    }
    for name, content in files.items():
        (HIDDEN / f"{name}.tflite").write_bytes(content)


if __name__ == "__main__":
    main()
