"""The step graph of a file takes several streams in one call, and each gets what it gets alone."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRt
from support.models import path_of

from stepcell.runtime import read_model_file

STEPS, STREAMS = 4, (1, 3, 64)
TOLERANCE = 1e-6  # ai-edge-litert has none; the kernels of others add up in another order for several rows: 4.5e-7
MODELS = ("lstm", "lstm40", "gru", "gru_reset_before", "stack", "convolution", "masked", "vectors")
RUNTIMES = {"tflite": ("litert", "tflite"), "onnx": ("onnxruntime",)}
CASES = [
    *((m, format, "float32", runtime) for m in MODELS for format, runtimes in RUNTIMES.items() for runtime in runtimes),
    ("stack", "tflite", "float16", "litert"),
    ("stack", "tflite", "float16", "tflite"),
    ("stack", "onnx", "float16", "onnxruntime"),
    # int8 in ONNX brings all rows of a call to 8 bits over one range, so there streams are not independent; on
    # tflite-runtime the last digit decides which of 8 bits it is.
    ("lstm40", "tflite", "int8", "litert"),
]


def step_of(payload, runtime):
    """A function from the inputs of all streams, by name, to the outputs; of an interpreter of its own."""
    if runtime == "onnxruntime":
        session = onnxruntime.InferenceSession(payload, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return lambda given: dict(zip(names, session.run(names, given), strict=True))
    if runtime == "litert":
        interpreter = LiteRt(model_content=payload)
    else:
        from tflite_runtime.interpreter import Interpreter as TfliteRuntime

        interpreter = TfliteRuntime(model_content=payload)
    step = interpreter.get_signature_runner("step")
    return lambda given: step(**given)  # which resizes the inputs


def rows(arrays, numbers, axis):
    return {name: array.take(numbers, axis) for name, array in arrays.items()}


def run(step, tensors, inputs, state):
    """All outputs of carried steps, of shape (steps, B, ...) each; `inputs` and `state` have B rows in each step."""
    made = []
    for n in range(STEPS):
        found = step({**{name: array[n] for name, array in inputs.items()}, **state})
        state = {tensor.name: found[tensor.next] for tensor in tensors}
        made.append({name: np.array(array) for name, array in found.items()})
    return {name: np.stack([each[name] for each in made]) for name in made[0]}


@pytest.mark.parametrize(("name", "format", "precision", "runtime"), CASES)
def test_streams_in_one_call_get_what_each_gets_alone(name, format, precision, runtime):
    file = read_model_file(path_of(name, format, precision))
    state, features = file.manifest.state, file.manifest.features
    random = np.random.default_rng(5)
    most = max(STREAMS)
    inputs = {"symbol": random.integers(0, 6, (STEPS, most), dtype=np.int32)}
    inputs.update({f.name: random.normal(size=(STEPS, most, *f.shape)).astype("f4") for f in features})
    start = {tensor.name: random.uniform(-0.9, 0.9, (most, *tensor.shape)).astype("f4") for tensor in state}
    one = step_of(file.payload, runtime)
    separate = [run(one, state, rows(inputs, [row], axis=1), rows(start, [row], axis=0)) for row in range(most)]
    alone = {name: np.concatenate([stream[name] for stream in separate], axis=1) for name in separate[0]}
    for streams in STREAMS:
        together = step_of(file.payload, runtime)
        found = run(together, state, rows(inputs, range(streams), axis=1), rows(start, range(streams), axis=0))
        for output, array in found.items():
            expected = alone[output][:, :streams]
            assert array.shape == expected.shape
            assert np.abs(array - expected).max() <= (0 if streams == 1 or runtime == "litert" else TOLERANCE)
