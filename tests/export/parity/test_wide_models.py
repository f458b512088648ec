"""Exports of models that read more than a symbol and answer with more than one row of probabilities."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from support.broken_export import answering, build_broken, expected_of, miswired, prove

from stepcell.export import ParityError, build_step_function
from stepcell.export.model_files import build_file
from stepcell.export.parity.parity import EACH
from stepcell.export.parity.reference import KerasReference
from stepcell.export.prepare import prepare

L = keras.layers


@pytest.mark.slow
def test_every_output_is_proven_on_every_interpreter_and_at_each_single_step(exported):
    parity = exported("wide").parity
    assert {p.backend for p in parity} - {"native"} == {"litert", "tflite", "onnxruntime"}
    assert {p.start for p in parity} == {"initial", "random", EACH}
    assert max(p.error for p in parity) <= 1e-5


@pytest.mark.slow
def test_values_are_held_against_a_tolerance_of_their_own(prepared, device, tmp_path):
    model, expected = prepared("sensor").model, prepared("sensor").expected
    for precision in ("float32", "float16", "int8"):
        proven = prove(build_file(model, "onnx", precision, tmp_path), expected, device)
        assert proven.refusal is None
        assert {parity.quantization for parity in proven.parity} == {precision}
    louder = answering(lambda answers: {name: answer * 1.2 for name, answer in answers.items()})
    built = build_broken(model, louder, "onnx", tmp_path, "int8")
    assert "values have noise of" in prove(built, expected, device).refusal


@pytest.mark.parametrize("fault", ["h and c swapped", "never fed back", "only h fed back"])
def test_a_miswired_state_is_noticed_beside_features(fault, prepared, device, tmp_path):
    built = build_broken(prepared("wide").model, lambda right: miswired(right, fault), "onnx", tmp_path)
    with pytest.raises(ParityError, match="first at step"):
        prove(built, prepared("wide").expected, device)


def test_two_outputs_that_change_places_are_noticed(device, tmp_path):
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(6, return_sequences=True)(L.Embedding(5, 4)(source))
    outputs = [L.Dense(5, activation="softmax", name=name)(x) for name in ("one", "two", "three")]
    model = prepare(keras.Model(source, outputs))
    swapped = answering(lambda found: {**found, "two": found["three"], "three": found["two"] + 0.0})
    with pytest.raises(ParityError, match="in t(wo|hree)"):
        prove(build_broken(model, swapped, "onnx", tmp_path), expected_of(model, steps=300), device)


def test_the_input_called_symbol_and_the_output_called_probabilities_are_the_main_ones():
    one, two = keras.Input((None,), dtype="int32", name="other"), keras.Input((None,), dtype="int32", name="symbol")
    x = L.LSTM(6, return_sequences=True)(L.Add()([L.Embedding(4, 3)(one), L.Embedding(5, 3)(two)]))
    outputs = [L.Dense(2, name="aside")(x), L.Dense(5, activation="softmax", name="probabilities")(x)]
    step_function = build_step_function(keras.Model([one, two], outputs))
    assert step_function.symbols == 5
    assert [(f.name, f.ids) for f in step_function.features] == [("other", 4)]
    assert [answer.name for answer in step_function.interface.outputs] == ["probabilities", "aside"]


def test_one_hot_symbols_and_features_go_together(device, tmp_path):
    symbol, speed = keras.Input((None, 5), name="symbol"), keras.Input((None, 2), name="speed")
    x = L.SimpleRNN(6, return_sequences=True)(L.Concatenate()([symbol, speed]))
    model = keras.Model([symbol, speed], L.Dense(5, activation="softmax")(x))
    prepared = prepare(model, one_hot=True)
    assert prove(build_file(prepared, "onnx", "float32", tmp_path), expected_of(prepared, steps=200), device).parity
    manifest = prepared.manifest
    assert (len(manifest.vocabulary), [f.name for f in manifest.features]) == (5, ["speed"])


@pytest.fixture(scope="module")
def many_symbols():
    """A model whose outputs of all steps would be too many numbers."""
    source = keras.Input((None,), dtype="int32")
    x = L.GRU(5, return_sequences=True)(L.Masking()(L.Embedding(9_000, 5)(source)))
    x = L.Conv1D(4, 3, padding="causal")(x)
    return prepare(keras.Model(source, L.Dense(9_000, "softmax")(x)))


@pytest.mark.slow
def test_of_a_model_of_many_symbols_some_outputs_are_compared_and_all_steps_made(many_symbols):
    reference = KerasReference(many_symbols.model, many_symbols.step_function)
    expected = expected_of(many_symbols, steps=600)
    for name, steps in (("initial", 600), ("random", 600), (EACH, 9_000)):
        run = expected.runs[name]
        kept = run.spec.kept
        assert len(run.spec.inputs) == steps
        assert kept[:32].tolist() == list(range(32))
        assert kept[-1] == steps - 1
        assert len(kept) == len(run.result.probabilities) < 600
    for name in ("initial", "random"):
        run = expected.runs[name]
        whole = reference.run(run.spec.inputs, run.spec.state)
        np.testing.assert_allclose(run.result.probabilities, whole.probabilities[run.spec.kept], atol=1e-6)
        for tensor, array in whole.states.items():
            np.testing.assert_allclose(run.result.states[tensor], array, atol=1e-5)


@pytest.mark.slow
def test_a_mistake_is_noticed_in_a_model_of_many_symbols(many_symbols, device, tmp_path):
    expected = expected_of(many_symbols, steps=600)
    right = prove(build_file(many_symbols, "onnx", "float32", tmp_path), expected, device)
    assert {parity.steps for parity in right.parity} == {600, 9_000}
    assert all(parity.compared < 600 for parity in right.parity)
    broken = build_broken(many_symbols, lambda right: miswired(right, "never fed back"), "onnx", tmp_path)
    with pytest.raises(ParityError, match="first at step"):
        prove(broken, expected, device)
