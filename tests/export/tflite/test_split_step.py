"""The pieces of a step: a row looked up once, a step from it, products made early; and a fault in any is noticed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from support.broken_export import build_broken, miswired, only_in, prove, reversed_tables
from support.keras_models import STANDARD, sharp_model
from support.sealed import write_model

from stepcell.export import ParityError, build_step_function
from stepcell.export.tflite.convert import tflite_payload
from stepcell.runtime import BackendError, load

L = keras.layers
SEQUENCES = {"return_sequences": True}


def twice():
    """A model whose symbol is looked up in two tables."""
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(6, **SEQUENCES)(L.Embedding(7, 5)(source))
    return keras.Model(source, L.Dense(7, "softmax")(L.Concatenate()([x, L.Embedding(7, 3)(source)])))


def masked():
    """A model that also asks whether its symbol is 0."""
    source = keras.Input((None,), dtype="int32")
    x = L.GRU(6, **SEQUENCES)(L.Embedding(7, 5, mask_zero=True)(source))
    return keras.Model(source, L.Dense(7, "softmax")(x))


ROWS, PRODUCTS = {"look_up", "step_row"}, {"finish", "prepare"}
PIECES = {
    "lstm": (lambda: sharp_model("lstm", 1), "float32", ROWS | PRODUCTS),
    "int8": (lambda: sharp_model("lstm", 1, units=20), "int8", ROWS | PRODUCTS),
    "two gru": (lambda: sharp_model("gru", 2), "float32", ROWS | PRODUCTS),
    "two tables": (twice, "float32", PRODUCTS),
    "masked": (masked, "float32", PRODUCTS),
    "convolution": (STANDARD["convolution"].build, "float32", ROWS),
}


@pytest.fixture(scope="module", params=PIECES)
def split(request):
    """A step function, the signatures it should have, and the interpreter of its file."""
    build, precision, pieces = PIECES[request.param]
    step_function = build_step_function(build())
    return step_function, pieces, Interpreter(model_content=tflite_payload(step_function, precision)[0])


def test_a_step_is_split_where_it_can_be_and_every_piece_answers_as_the_whole_step(split):
    step_function, pieces, interpreter = split
    assert set(interpreter.get_signature_list()) == {"step", "absorb", *pieces}
    run = {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}
    state = {tensor.name: tensor.initial_value() for tensor in step_function.state}
    for id in np.random.default_rng(0).integers(0, step_function.symbols, 60):
        symbol = {"symbol": np.array([id], np.int32)}
        right = run["step"](**symbol, **state)
        read = symbol
        if pieces >= ROWS:
            read = run["look_up"](**symbol)
            found = run["step_row"](**read, **state)
            assert all(np.array_equal(found[name], array) for name, array in right.items())
        if pieces >= PRODUCTS:
            given = {name: state[name] for name in run["prepare"].get_input_details()}
            wanted = {**read, **state, **run["prepare"](**given)}
            found = run["finish"](**{name: wanted[name] for name in run["finish"].get_input_details()})
            assert all(np.abs(found[name] - array).max() <= 1e-6 for name, array in right.items())
        state = {tensor.name: right[tensor.next] for tensor in step_function.state}


def test_states_and_next_states_have_one_order_so_that_one_copy_feeds_them_back(split):
    step_function, pieces, interpreter = split
    for name, downwards in (("step", True), ("step_row", False)):
        if name in {"step", *pieces}:
            runner = interpreter.get_signature_runner(name)
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
            states = sorted(step_function.state, key=lambda tensor: inputs[tensor.name]["index"])
            following = sorted(states, key=lambda tensor: outputs[tensor.next]["index"], reverse=downwards)
            assert following == states


FAULTS = {
    "look_up": (reversed_tables, ParityError, "ai-edge-litert"),
    "pieces": (lambda advance: miswired(advance, "h and c swapped"), ParityError, "ai-edge-litert"),
    "absorb": (lambda advance: miswired(advance, "h and c swapped"), BackendError,
               "absorbs the golden sequence of model.tflite to another end"),
    # Where the row is stepped first, only a batch of streams is stepped from the symbols.
    "step": (lambda advance: miswired(advance, "only h fed back"), ParityError, "in a batch it answers otherwise"),
}  # fmt: skip


@pytest.mark.parametrize("part", FAULTS)
def test_a_fault_in_one_signature_alone_is_noticed(part, prepared, device, tmp_path):
    change, error, message = FAULTS[part]
    built = build_broken(prepared("lstm").model, only_in(part, change), "tflite", tmp_path)
    with pytest.raises(error, match=message):
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
