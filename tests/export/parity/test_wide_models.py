"""Exports of models that read more than a symbol and answer with more than one row of probabilities."""

from __future__ import annotations

import keras
import pytest
from support.broken_export import answering, break_export, miswired
from support.keras_models import STANDARD

from stepcell.export import ParityError, build_step_function, check, export
from stepcell.export.parity.parity import EACH
from stepcell.runtime import read_model_file

L = keras.layers


def test_every_output_is_proven_on_every_interpreter_and_at_each_single_step(exported):
    parity = exported("wide").parity
    assert {p.backend for p in parity} == {"litert", "tflite", "onnxruntime"}
    assert {p.start for p in parity} == {"initial", "random", EACH}
    assert max(p.error for p in parity) <= 1e-5


def test_values_are_held_against_a_tolerance_of_their_own(tmp_path, monkeypatch):
    model = STANDARD["sensor"].build()
    options = {"formats": ["onnx"], "values": True, "steps": 300}
    exported = export(model, tmp_path / "right", quantize=["float16", "int8"], **options)
    assert {p.quantization for p in exported.parity} == {"float32", "float16", "int8"}
    assert check(tmp_path / "right/model.int8.onnx", model, steps=300)
    louder = answering(lambda answers: {name: answer * 1.2 for name, answer in answers.items()})
    break_export(monkeypatch, "onnx", louder, "int8")
    with pytest.raises(ParityError, match="values have noise of"):
        export(model, tmp_path / "wrong", quantize=["int8"], **options)


@pytest.mark.parametrize("fault", ["h and c swapped", "never fed back", "only h fed back"])
def test_a_miswired_state_is_noticed_beside_features(fault, tmp_path, monkeypatch):
    break_export(monkeypatch, "onnx", lambda right: miswired(right, fault))
    with pytest.raises(ParityError, match="first at step"):
        export(STANDARD["wide"].build(), tmp_path, formats=["onnx"], steps=300)


def test_two_outputs_that_change_places_are_noticed(tmp_path, monkeypatch):
    source = keras.Input((None,), dtype="int32")
    x = L.LSTM(6, return_sequences=True)(L.Embedding(5, 4)(source))
    model = keras.Model(source, [L.Dense(5, activation="softmax", name=name)(x) for name in ("one", "two", "three")])
    swapped = answering(lambda found: {**found, "two": found["three"], "three": found["two"] + 0.0})
    break_export(monkeypatch, "onnx", swapped)
    with pytest.raises(ParityError, match="in t(wo|hree)"):
        export(model, tmp_path, formats=["onnx"], steps=300)


def test_the_input_called_symbol_and_the_output_called_probabilities_are_the_main_ones():
    one, two = keras.Input((None,), dtype="int32", name="other"), keras.Input((None,), dtype="int32", name="symbol")
    x = L.LSTM(6, return_sequences=True)(L.Add()([L.Embedding(4, 3)(one), L.Embedding(5, 3)(two)]))
    outputs = [L.Dense(2, name="aside")(x), L.Dense(5, activation="softmax", name="probabilities")(x)]
    step_function = build_step_function(keras.Model([one, two], outputs))
    assert step_function.symbols == 5
    assert [(f.name, f.ids) for f in step_function.features] == [("other", 4)]
    assert [answer.name for answer in step_function.interface.outputs] == ["probabilities", "aside"]


def test_one_hot_symbols_and_features_go_together(tmp_path):
    symbol, speed = keras.Input((None, 5), name="symbol"), keras.Input((None, 2), name="speed")
    x = L.SimpleRNN(6, return_sequences=True)(L.Concatenate()([symbol, speed]))
    model = keras.Model([symbol, speed], L.Dense(5, activation="softmax")(x))
    export(model, tmp_path, one_hot=True, formats=["onnx"], steps=200)
    manifest = read_model_file(tmp_path / "model.onnx").manifest
    assert (len(manifest.vocabulary), [f.name for f in manifest.features]) == (5, ["speed"])
