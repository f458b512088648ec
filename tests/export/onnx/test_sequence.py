"""The graph of whole sequences: the native operators of ONNX, proven like every other file."""

from __future__ import annotations

from dataclasses import replace

import keras
import onnx
import pytest
from onnx import numpy_helper
from support.broken_export import expected_of, prove
from support.keras_models import STANDARD, with_random_weights

from stepcell.export import NotSteppableError, ParityError, build_step_function, check
from stepcell.export.layers.keras2_activation import keras_activation
from stepcell.export.model_files import build_file
from stepcell.export.onnx.sequence import SEQUENCE_ACTIVATIONS, check_sequence_graph
from stepcell.export.prepare import prepare

L = keras.layers
SEQUENCES = {"return_sequences": True}


def branches():
    """Recurrent layers side by side and shared, with layers of single steps between them."""
    source = keras.Input((None,), dtype="int32")
    x = L.LayerNormalization()(L.Embedding(7, 5)(source))
    shared = L.GRU(5, **SEQUENCES)
    left = shared(shared(x))
    right = L.Dropout(0.5)(L.LSTM(5, activation="softsign", recurrent_activation="hard_sigmoid", **SEQUENCES)(x))
    return keras.Model(source, L.Dense(7)(L.Add()([L.Dense(5, "gelu")(left), right])))  # ends in logits


def stacked():
    """Cells of every kind on top of each other, answering once for a sequence; one-hot symbols."""
    source = keras.Input((None,), dtype="int32")
    cells = [L.LSTMCell(4), L.GRUCell(3, reset_after=False), L.SimpleRNNCell(5, activation="elu", use_bias=False)]
    x = L.RNN(cells, **SEQUENCES)(L.CategoryEncoding(7, output_mode="one_hot")(source))
    return keras.Model(source, L.Dense(7, activation="softmax")(L.GRU(4, use_bias=False)(x)))


def every_activation():
    names = ["tanh", "sigmoid", "relu", "softsign", "softplus", "linear", "hard_sigmoid", "elu", "leaky_relu"]
    names.append("hard_sigmoid_keras2")
    assert set(names) == set(SEQUENCE_ACTIVATIONS)
    layers = [L.SimpleRNN(3, activation=keras_activation(name), **SEQUENCES) for name in names]
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(7, 5)(source)
    return keras.Model(source, L.Dense(7, activation="sigmoid")(L.Concatenate()([layer(x) for layer in layers])))


MODELS = {
    "branches": lambda: with_random_weights(branches()),
    "stacked cells": lambda: with_random_weights(stacked()),
    "every activation": lambda: with_random_weights(every_activation()),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_sequence_graph_is_proven_equal_to_keras(name, device, tmp_path):
    prepared = prepare(MODELS[name]())
    built = build_file(prepared, "sequence.onnx", "float32", tmp_path)
    proven = prove(built, expected_of(prepared, steps=400), device)
    assert {parity.start for parity in proven.parity} == {"initial", "random", "each"}
    assert max(parity.error for parity in proven.parity) <= 1e-5
    operators = {node.op_type for node in onnx.load(built.path).graph.node}
    assert operators & {"LSTM", "GRU", "RNN"}
    assert not operators & {"Loop", "Scan"}


@pytest.mark.slow
def test_an_export_writes_it_beside_the_other_files_and_check_proves_it(exported):
    files = {path.name: path for path in exported("lstm").files}
    assert list(files)[:3] == ["model.tflite", "model.onnx", "model.sequence.onnx"]
    results = check(files["model.sequence.onnx"], STANDARD["lstm"].build(), steps=250)
    assert {parity.format for parity in results} == {"sequence.onnx"}
    assert all(parity.holds for parity in results)


@pytest.mark.filterwarnings("ignore:Layer 'window'")  # Keras says that it drops the mask
def test_everything_that_has_no_sequence_graph_is_named_at_once():
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(7, 5, mask_zero=True)(source)
    x = L.LSTM(4, name="masked", **SEQUENCES)(x)
    x = L.GRU(4, name="odd", activation="gelu", **SEQUENCES)(L.Dense(4)(x))
    x = L.Conv1D(4, 3, padding="causal", name="window")(x)
    model = keras.Model(source, L.Dense(7, activation="softmax")(x))
    with pytest.raises(NotSteppableError) as refused:
        check_sequence_graph(build_step_function(model), "mixed")
    text = str(refused.value)
    assert text.startswith("The model 'mixed' has no graph of whole sequences:")
    assert "masked (LSTM): it gets masked steps" in text
    assert "odd (GRU): its activation 'gelu' is none that" in text
    assert "window (Conv1D): it has a state, and ONNX has no operator" in text
    assert "Leave out --sequence" in text


def gates_as_in_keras(graph, node):
    for name in node.input[1:4]:  # (1, 4 U, M), (1, 4 U, U), and (1, 8 U): two biases
        (weight,) = (one for one in graph.initializer if one.name == name)
        array = numpy_helper.to_array(weight)
        gates = array.reshape(2 if array.ndim == 2 else 1, 4, -1)[:, [0, 2, 3, 1]]  # i, o, f, c -> i, f, c, o
        weight.CopyFrom(numpy_helper.from_array(gates.reshape(array.shape), name))


def starts_from_zeros(graph, node):
    node.input[5] = node.input[6] = ""


def reset_after_the_other_way_round(graph, node):
    (attribute,) = (one for one in node.attribute if one.name == "linear_before_reset")
    attribute.i = 1 - attribute.i


@pytest.mark.parametrize(
    ("name", "fault"),
    [("lstm", gates_as_in_keras), ("lstm", starts_from_zeros), ("gru", reset_after_the_other_way_round)],
)
def test_a_wrong_sequence_graph_is_noticed(name, fault, prepared, device, tmp_path):
    built = build_file(prepared(name).model, "sequence.onnx", "float32", tmp_path)
    model = onnx.load_from_string(built.payload)
    (node,) = (node for node in model.graph.node if node.op_type == name.upper())
    fault(model.graph, node)
    wrong = replace(built, payload=model.SerializeToString())
    with pytest.raises(ParityError, match=r"Keras and model\.sequence\.onnx differ by"):
        prove(wrong, prepared(name).expected, device)
