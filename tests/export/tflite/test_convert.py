"""The graph of a .tflite file: one signature with the step; a fault in it is noticed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from support.broken_export import build_broken, miswired, prove, reversed_tables
from support.keras_models import STANDARD, sharp_model
from support.sealed import write_model

from stepcell.export import ParityError, build_step_function
from stepcell.export.tflite.convert import tflite_payload
from stepcell.runtime import load

L = keras.layers
SEQUENCES = {"return_sequences": True}


def masked():
    """A model that also asks whether its symbol is 0."""
    source = keras.Input((None,), dtype="int32")
    x = L.GRU(6, **SEQUENCES)(L.Embedding(7, 5, mask_zero=True)(source))
    return keras.Model(source, L.Dense(7, "softmax")(x))


MODELS = {
    "lstm": (lambda: sharp_model("lstm", 1), "float32"),
    "int8": (lambda: sharp_model("lstm", 1, units=20), "int8"),
    "two gru": (lambda: sharp_model("gru", 2), "float32"),
    "masked": (masked, "float32"),
    "convolution": (STANDARD["convolution"].build, "float32"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_file_has_one_signature_whose_states_and_next_states_have_one_order(name):
    build, precision = MODELS[name]
    step_function = build_step_function(build())
    interpreter = Interpreter(model_content=tflite_payload(step_function, precision)[0])
    assert list(interpreter.get_signature_list()) == ["step"]
    runner = interpreter.get_signature_runner("step")
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    states = sorted(step_function.state, key=lambda tensor: inputs[tensor.name]["index"])
    assert sorted(states, key=lambda tensor: outputs[tensor.next]["index"], reverse=True) == states


@pytest.mark.parametrize("change", [reversed_tables, lambda advance: miswired(advance, "h and c swapped")])
def test_a_fault_in_the_graph_alone_is_noticed(change, prepared, device, tmp_path):
    built = build_broken(prepared("lstm").model, change, "tflite", tmp_path)
    with pytest.raises(ParityError, match="ai-edge-litert"):
        prove(built, prepared("lstm").expected, device, ["litert"])


def test_a_step_with_an_output_whose_size_is_decided_in_use_goes_through_the_public_api(tmp_path):
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(6, **SEQUENCES)(L.Embedding(5, 4)(source))
    model = keras.Model(source, L.Dense(5, "softmax")(keras.ops.top_k(x, 3)[0]))
    path = write_model(build_step_function(model), tmp_path / "model.tflite")
    symbols = [1, 4, 2, 3]
    for backend in ("litert", "tflite"):
        loaded = load(path, backend=backend)
        streams, found = loaded.streams(2), []
        for symbol in symbols:
            found.append(streams.step([str(symbol)] * 2)[1].copy())
        np.testing.assert_allclose(found, model(np.array([symbols]))[0], atol=1e-6)
