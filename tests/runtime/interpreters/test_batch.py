"""The step graph of a file takes several streams in one call, and each gets what it gets alone."""

from __future__ import annotations

import keras
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRt
from support.keras_models import masked, sharp_model, with_random_weights
from tflite_runtime.interpreter import Interpreter as TfliteRuntime

from stepcell.export import build_step_function
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.tflite.convert import tflite_payload

L = keras.layers
STEPS, STREAMS = 4, (1, 3, 64)
TOLERANCE = 1e-6  # ai-edge-litert has none; the kernels of others add up in another order for several rows: 4.5e-7


def stack():
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(9, return_sequences=True)(L.Embedding(7, 5)(source))
    x = L.Add()([L.LayerNormalization()(L.GRU(9, return_sequences=True)(x)), x])
    return with_random_weights(keras.Model(source, L.Dense(7, activation="softmax")(L.SimpleRNN(8)(x))))


def convolution():
    source = keras.Input((None,), dtype="int32")
    x = L.Conv1D(8, 3, padding="causal", dilation_rate=2, groups=2, activation="relu")(L.Embedding(7, 6)(source))
    x = L.AveragePooling1D(3, strides=1)(L.ZeroPadding1D((2, 0))(x))
    x = L.SeparableConv1D(6, 2)(L.ZeroPadding1D((1, 0))(L.PReLU(shared_axes=[1])(x)))
    return with_random_weights(keras.Model(source, L.Dense(7, activation="softmax")(x)))


def features():
    symbol, vector = keras.Input((None,), dtype="int32"), keras.Input((None, 2, 3))
    x = L.Concatenate()([L.Embedding(7, 5)(symbol), L.Reshape((-1, 6))(vector)])
    x = L.LSTM(8)(x)
    outputs = [L.Dense(7, activation="softmax", name="next")(x), L.Dense(2, name="value")(x)]
    return with_random_weights(keras.Model([symbol, vector], outputs))


MODELS = {
    "LSTM": lambda: sharp_model("lstm", 1),
    "LSTM of 40 units": lambda: sharp_model("lstm", 1, units=40),  # a matrix of 6,400 weights
    "GRU": lambda: sharp_model("gru", 1),
    "GRU that resets before": lambda: sharp_model("gru", 1, reset_after=False),
    "stack": stack,
    "convolution": convolution,
    "masked": lambda: masked(True),
    "features and two outputs": features,
}

# int8 in ONNX brings all rows of a call to 8 bits over one range, so there streams are not independent.
CASES = [
    *((model, format, "float32") for model in MODELS for format in ("tflite", "onnx")),
    ("stack", "tflite", "float16"),
    ("stack", "onnx", "float16"),
    ("LSTM of 40 units", "tflite", "int8"),
]
PAYLOADS = {"tflite": tflite_payload, "onnx": onnx_payload}


def step_of(payload, runtime):
    """A function from the inputs of all streams, by name, to the outputs; of an interpreter of its own."""
    if runtime == "onnxruntime":
        session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda given: dict(zip(names, session.run(names, given), strict=True))
    interpreter = {"litert": LiteRt, "tflite-runtime": TfliteRuntime}[runtime](model_content=payload)
    step = interpreter.get_signature_runner("step")
    return lambda given: step(**given)  # which resizes the inputs


def rows(arrays, numbers, axis):
    return {name: array.take(numbers, axis) for name, array in arrays.items()}


def run(step, step_function, inputs, state):
    """All outputs of carried steps, of shape (steps, B, ...) each; `inputs` and `state` have B rows in each step."""
    made = []
    for n in range(STEPS):
        found = step({**{name: array[n] for name, array in inputs.items()}, **state})
        state = {tensor.name: found[tensor.next] for tensor in step_function.state}
        made.append({name: np.array(array) for name, array in found.items()})
    return {name: np.stack([each[name] for each in made]) for name in made[0]}


@pytest.mark.parametrize(("name", "format", "quantization"), CASES)
def test_streams_in_one_call_get_what_each_gets_alone(name, format, quantization):
    step_function = build_step_function(MODELS[name]())
    payload, _ = PAYLOADS[format](step_function, quantization)
    random = np.random.default_rng(5)
    most = max(STREAMS)
    inputs = {"symbol": random.integers(0, 6, (STEPS, most), dtype=np.int32)}
    inputs.update({f.name: random.normal(size=(STEPS, most, *f.shape)).astype("f4") for f in step_function.features})
    start = {t.name: random.uniform(-0.9, 0.9, (most, *t.shape)).astype("f4") for t in step_function.state}
    runtimes = ["onnxruntime"] if format == "onnx" else ["litert", "tflite-runtime"]
    for runtime in runtimes[:1] if quantization == "int8" else runtimes:  # the last digit decides which of 8 bits it is
        one = step_of(payload, runtime)
        separate = [
            run(
                one, step_function, {n: a[:, [row]] for n, a in inputs.items()}, {n: a[[row]] for n, a in start.items()}
            )
            for row in range(most)
        ]
        alone = {name: np.concatenate([stream[name] for stream in separate], axis=1) for name in separate[0]}
        for streams in STREAMS:
            together = step_of(payload, runtime)
            first = range(streams)
            found = run(together, step_function, rows(inputs, first, axis=1), rows(start, first, axis=0))
            for output, array in found.items():
                expected = alone[output][:, :streams]
                assert array.shape == expected.shape
                error = np.abs(array - expected).max()
                assert error <= (0 if streams == 1 or runtime == "litert" else TOLERANCE)
