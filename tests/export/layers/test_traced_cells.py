"""Cells without a step rule: their own call is the step, proven like any other."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.broken_export import expected_of, prove
from support.cells import CELLS, CountingCell, IndRNNCell, LeakyCell, LRUCell, MinGRUCell, NoisyCell, VariableCell
from support.keras_models import SYMBOLS, with_random_weights
from support.layer_rules import model_around, run_rule_test

from stepcell.export import LayerStep, NotSteppableError, ParityError, build_step_function, export, step_rule
from stepcell.export.model_files import build_file
from stepcell.export.prepare import prepare

L = keras.layers


def rnn_over(cell, **options):
    return model_around(L.RNN(cell, return_sequences=True, **options))


FAST = ["leaky, from another state than zeros", "LRU"]
NAMES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CELLS]


@pytest.mark.parametrize("name", NAMES)
def test_any_cell_steps_as_keras_runs_it(name):
    run_rule_test(rnn_over(CELLS[name]()))


def masked_around(cell, **options):
    source = keras.Input((None,), dtype="int32")
    x = L.Embedding(SYMBOLS, 4, mask_zero=True)(source)
    x = L.RNN(cell, return_sequences=True, **options)(x)
    return with_random_weights(keras.Model(source, L.Dense(SYMBOLS, activation="softmax")(x)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("known and unknown cells stacked", {}),
        pytest.param("selective, as in Mamba", {}, marks=pytest.mark.slow),
        pytest.param("selective, as in Mamba", {"zero_output_for_mask": True}, marks=pytest.mark.slow),
        pytest.param("known and unknown cells stacked", {"zero_output_for_mask": True}, marks=pytest.mark.slow),
    ],
)
def test_a_masked_step_holds_the_states_and_the_output_of_any_cell(name, options):
    run_rule_test(masked_around(CELLS[name](), **options))


@pytest.mark.slow
def test_a_masked_cell_in_a_stack_begins_where_it_says(device, tmp_path):
    prepared = prepare(masked_around(L.StackedRNNCells([LeakyCell(3), MinGRUCell(4)]), zero_output_for_mask=True))
    built = build_file(prepared, "onnx", "float32", tmp_path)
    assert max(parity.error for parity in prove(built, expected_of(prepared, steps=100), device).parity) <= 1e-5


def names_of(model):
    return [tensor.name for tensor in build_step_function(model).state]


def test_states_are_named_by_their_place_and_subclasses_keep_the_names_of_keras():
    assert names_of(rnn_over(CELLS["minGRU"]())) == ["past0", "state1"]
    assert names_of(rnn_over(CELLS["LRU"]())) == ["past0", "state_a1", "state_b1"]
    assert names_of(rnn_over(CELLS["a subclass of LSTMCell"]())) == ["past0", "h1", "c1"]
    assert names_of(rnn_over(CELLS["known and unknown cells stacked"]())) == ["past0", "state1", "h2", "c2", "state3"]
    assert names_of(masked_around(MinGRUCell(3))) == ["state0", "output0"]


def test_a_cell_starts_where_it_says():
    past, state = build_step_function(rnn_over(LeakyCell(5))).state
    assert (past.initial, state.initial) == (0.0, pytest.approx(0.3))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (NoisyCell, r"it draws random numbers, also when it is not trained \(StatelessRandom"),
        (CountingCell, "it is another function at each call: two of them differ by .* count in Python"),
        (VariableCell, r"it changes a variable at each call.*AssignVariableOp"),
    ],
)
def test_a_cell_that_is_no_function_is_refused_with_its_operators(cell, reason):
    with pytest.raises(NotSteppableError, match=f"its cell {cell.__name__} cannot be stepped: .*{reason}"):
        build_step_function(rnn_over(cell(5)))


def test_swapped_states_are_noticed(device, tmp_path, monkeypatch):
    model, right = rnn_over(CELLS["LRU"]()), LRUCell.call

    def swapped(self, x, states):
        y, after = right(self, x, states)
        return y, after[::-1]

    with monkeypatch.context() as wrong:
        wrong.setattr(LRUCell, "call", swapped)
        prepared = prepare(model)
    built = build_file(prepared, "onnx", "float32", tmp_path)
    with pytest.raises(ParityError, match=r"differ by .* in next_state_[ab]1"):
        prove(built, expected_of(prepared, steps=100), device)


class DecayCell(MinGRUCell):
    def call(self, x, states):
        h = 0.5 * states[0] + x[:, : self.units]
        return h, [h]


def test_a_step_rule_for_a_cell_is_used_inside_of_rnn():
    used = []

    @step_rule(DecayCell)
    def decay(cell):
        def apply(a, x, state):
            used.append(cell)
            first, _ = a.split(x, 2)
            h = state["memory"] * 0.5 + first
            return h, {"memory": h}

        return LayerStep(apply, state={"memory": (cell.units,)})

    step_function = run_rule_test(rnn_over(DecayCell(3)))
    assert used
    assert [tensor.name for tensor in step_function.state] == ["past0", "memory1"]


@pytest.mark.slow
def test_a_cell_without_a_rule_is_written_in_every_precision(tmp_path):
    keras.utils.set_random_seed(1)
    source = keras.Input((None,), dtype="int32")
    x = L.RNN(LeakyCell(64), return_sequences=True)(L.Embedding(40, 32)(source))
    model = keras.Model(source, L.Dense(40, activation="softmax")(x))
    model.layers[-1].kernel.assign(20 * model.layers[-1].kernel)  # answers that are far apart
    exported = export(model, tmp_path, quantize=["float16", "int8"], steps=500)
    assert exported.sizes["model.int8.tflite"] < exported.sizes["model.float16.tflite"] < exported.sizes["model.tflite"]
    assert any(note.startswith("Traced, not by a step rule: rnn") for note in exported.notes)


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_any_cell_in_a_file_equals_keras_on_every_interpreter(name, tmp_path):
    exported = export(rnn_over(CELLS[name]()), tmp_path, steps=500)
    assert {parity.backend for parity in exported.parity} - {"native"} == {"litert", "tflite", "onnxruntime"}
    assert max(parity.error for parity in exported.parity) <= 1e-5


@pytest.mark.slow
def test_a_cell_from_a_state_of_its_own_is_proven_in_both_formats(device, tmp_path):
    prepared = prepare(rnn_over(LeakyCell(5)))
    expected = expected_of(prepared, steps=200)
    for format in ("tflite", "onnx"):
        built = build_file(prepared, format, "float32", tmp_path)
        assert max(parity.error for parity in prove(built, expected, device).parity) <= 1e-5


def test_a_state_by_itself_is_taken_as_a_list_of_one():
    assert np.array_equal(build_step_function(rnn_over(IndRNNCell(4))).state[1].shape, (4,))
