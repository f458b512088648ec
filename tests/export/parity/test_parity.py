"""Parity over thousands of carried steps, on every interpreter, and proof that the check would notice a wrong file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.broken_export import break_export, miswired
from support.keras_models import sharp_model

from stepcell.export import ParityError, build_step_function, export
from stepcell.export.parity.check import ParityCheck
from stepcell.export.parity.parity import EACH, STEPS
from stepcell.export.parity.reference import KerasReference
from stepcell.export.parity.tolerance import FLOAT32_TOLERANCE
from stepcell.runtime.worker.messages import AlternateRun, RunResult

CELLS = {
    "lstm": ("lstm", {}),
    "gru": ("gru", {"reset_after": True}),
    "gru_reset_before": ("gru", {"reset_after": False}),
    "rnn": ("rnn", {}),
}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_every_file_equals_keras_over_ten_thousand_carried_steps(cell, layers, tmp_path):
    kind, options = CELLS[cell]
    exported = export(sharp_model(kind, layers, **options), tmp_path)
    assert {parity.backend for parity in exported.parity} == {"litert", "tflite", "onnxruntime"}
    assert len(exported.parity) == 9
    for parity in exported.parity:
        assert parity.steps == STEPS or parity.start == EACH
        assert parity.max_abs_error <= FLOAT32_TOLERANCE
        assert parity.max_state_error <= FLOAT32_TOLERANCE
        assert parity.argmax_agreement > 0.999


FAULTS = ["h and c swapped", "never fed back", "only h fed back", "reset at every step"]


@pytest.mark.parametrize("fault", [*FAULTS, "layers swapped"])
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_miswired_state_is_noticed_and_nothing_is_written(fault, format, tmp_path, monkeypatch):
    model = sharp_model("lstm", 2)
    if fault == "layers swapped":
        model = sharp_model("lstm", 1, units=12)
        import keras

        lstm = {"return_sequences": True}
        layers = [keras.layers.Embedding(7, 5), keras.layers.LSTM(12, **lstm), keras.layers.LSTM(12, **lstm)]
        model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers, keras.layers.Dense(7, "softmax")])
    break_export(monkeypatch, format, lambda right: miswired(right, fault))
    with pytest.raises(
        ParityError, match=rf"Keras and model.{format} differ by .* in next_[hc]\d, symbol '\d', on .*Nothing"
    ):
        export(model, tmp_path, formats=[format], steps=500)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def check_and_model():
    model = sharp_model("lstm", 1)
    step_function = build_step_function(model)
    return ParityCheck(step_function, KerasReference(model, step_function.interface), steps=300), model


@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_the_three_comparisons_notices_a_runtime_that_miswires_the_state(fault, check_and_model):
    """The same faults in the stepping itself, where the file is right."""
    from stepcell.export.ops import NumpyOps
    from stepcell.export.parity.sample_inputs import as_mapping

    check, model = check_and_model
    step_function = build_step_function(model)
    wrong = miswired(step_function.advance, fault)
    for start, sequence in check._sequences.items():
        arithmetic, course = NumpyOps(), sequence.course
        if start == EACH:
            state = {n: a.astype("f8") for n, a in course.state.items()}
            answers, after = wrong(arithmetic, as_mapping(course.inputs), state)
            found = RunResult(answers["probabilities"], after)
        else:
            state = {name: array.astype("f8") for name, array in course.state.items()}
            rows = []
            for step in range(len(course.inputs)):
                answers, state = wrong(arithmetic, as_mapping(course.inputs[step : step + 1]), state)
                rows.append(answers["probabilities"][0])
            found = RunResult(np.stack(rows), state)
        assert not check._compare("litert", "tflite", start, found).holds


def test_the_first_step_alone_cannot_notice_swapped_states(check_and_model):
    """Why one step is no parity test: from a zero state, h and c swapped afterwards give the same first answer."""
    from stepcell.export.ops import NumpyOps
    from stepcell.runtime.interpreters.base import initial_state

    step_function = build_step_function(check_and_model[1])
    zero = {name: array.astype("f8") for name, array in initial_state(step_function.state).items()}
    inputs = {"symbol": np.array([3])}
    right, _ = step_function.advance(NumpyOps(), inputs, zero)
    swapped, _ = miswired(step_function.advance, "h and c swapped")(NumpyOps(), inputs, zero)
    assert np.array_equal(right["probabilities"], swapped["probabilities"])


def test_other_ways_are_held_against_the_first_and_with_int8_against_keras(check_and_model):
    check, _ = check_and_model
    expected = check._sequences["initial"].expected

    def missed(quantization, error, probabilities):
        found = replace(expected, alternates={"two phases": AlternateRun(error, probabilities)})
        return check._compare("litert", "tflite", "initial", found, quantization).missed

    assert missed("float32", 1e-7, expected.probabilities) == ()
    assert missed("float16", 1e-2, expected.probabilities)[0].startswith("in two phases it answers otherwise: off by 0")
    assert missed("int8", 1e-2, expected.probabilities) == ()
    assert "in two phases" in missed("int8", 1e-2, np.roll(expected.probabilities, 1, axis=1))[0]


def test_a_chaotic_model_is_proven_step_by_step(tmp_path):
    model = sharp_model("rnn", 1, units=40)
    weights = model.get_weights()
    weights[2] *= 3  # a recurrent kernel this large doubles any difference every few steps
    model.set_weights(weights)
    exported = export(model, tmp_path, steps=500, formats=["onnx"])
    by_start = {parity.start: parity for parity in exported.parity}
    assert by_start["initial"].rounding > 1e-3
    assert by_start["initial"].max_abs_error > FLOAT32_TOLERANCE
    assert by_start[EACH].error <= FLOAT32_TOLERANCE


def test_a_chaotic_model_that_is_miswired_is_still_noticed(tmp_path, monkeypatch):
    model = sharp_model("rnn", 1, units=40)
    weights = model.get_weights()
    weights[2] *= 3
    model.set_weights(weights)
    break_export(monkeypatch, "onnx", lambda right: miswired(right, "never fed back"))
    with pytest.raises(ParityError, match="each from a given state"):
        export(model, tmp_path, steps=500, formats=["onnx"])
    assert list(tmp_path.iterdir()) == []
