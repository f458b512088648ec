"""Parity over thousands of carried steps, on every interpreter, and proof that the check would notice a wrong file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.broken_export import build_broken, expected_of, miswired, prove
from support.keras_models import sharp_model

from stepcell.export import ParityError, export
from stepcell.export.model_files import build_file
from stepcell.export.ops import NumpyOps
from stepcell.export.parity.check import compare
from stepcell.export.parity.parity import EACH, STEPS
from stepcell.export.parity.tolerance import FLOAT32_TOLERANCE
from stepcell.export.prepare import prepare
from stepcell.export.step_function.run import as_mapping
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.worker.messages import RunResult

CELLS = {
    "lstm": ("lstm", {}),
    "gru": ("gru", {"reset_after": True}),
    "gru_reset_before": ("gru", {"reset_after": False}),
    "rnn": ("rnn", {}),
}
FAST = [("gru", 1)]
GRID = [
    pytest.param(cell, layers, marks=() if (cell, layers) in FAST else pytest.mark.slow)
    for cell in CELLS
    for layers in (1, 2, 3)
]


@pytest.mark.parametrize(("cell", "layers"), GRID)
def test_every_file_equals_keras_over_ten_thousand_carried_steps(cell, layers, tmp_path):
    kind, options = CELLS[cell]
    exported = export(sharp_model(kind, layers, **options), tmp_path)
    assert {parity.backend for parity in exported.parity} - {"native"} == {"litert", "tflite", "onnxruntime"}
    assert len([parity for parity in exported.parity if parity.backend != "native"]) == 9
    for parity in exported.parity:
        assert parity.steps == STEPS or parity.start == EACH
        assert parity.max_abs_error <= FLOAT32_TOLERANCE
        assert parity.max_state_error <= FLOAT32_TOLERANCE
        assert parity.argmax_agreement > 0.999


FAULTS = ["h and c swapped", "never fed back", "only h fed back", "reset at every step"]


@pytest.fixture(scope="module")
def two_layers():
    """Two equal LSTM layers, whose states can be swapped, and their expected runs."""
    import keras

    layers = [keras.layers.LSTM(12, return_sequences=True) for _ in range(2)]
    ends = keras.layers.Embedding(7, 5), keras.layers.Dense(7, "softmax")
    model = prepare(keras.Sequential([keras.Input((None,), dtype="int32"), ends[0], *layers, ends[1]]))
    return model, expected_of(model, steps=300)


# Both formats are converted from one graph, so a few faults are enough of the slower one.
FAULTS_OF_FILES = [
    *(pytest.param("onnx", fault) for fault in [*FAULTS, "layers swapped"]),
    *(pytest.param("tflite", fault, marks=pytest.mark.slow) for fault in FAULTS[1:]),
    pytest.param("tflite", "h and c swapped"),
    pytest.param("tflite", "layers swapped", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("format", "fault"), FAULTS_OF_FILES)
def test_a_miswired_state_is_noticed(fault, format, two_layers, device, tmp_path):
    model, expected = two_layers
    built = build_broken(model, lambda right: miswired(right, fault), format, tmp_path)
    with pytest.raises(
        ParityError, match=rf"Keras and model.{format} differ by .* in next_[hc]\d, symbol '\d', on .*Nothing"
    ):
        prove(built, expected, device)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_of_the_three_comparisons_notices_a_runtime_that_miswires_the_state(fault, prepared):
    """The same faults in the stepping itself, where the file is right."""
    expected = prepared("lstm").expected
    wrong = miswired(expected.step_function.advance, fault)
    for start, run in expected.runs.items():
        ops, spec = NumpyOps(), run.spec
        state = {name: array.astype("f8") for name, array in spec.state.items()}
        if start == EACH:
            answers, after = wrong(ops, as_mapping(spec.inputs), state)
            found = RunResult(answers["probabilities"], after)
        else:
            rows = []
            for step in range(len(spec.inputs)):
                answers, state = wrong(ops, as_mapping(spec.inputs[step : step + 1]), state)
                rows.append(answers["probabilities"][0])
            found = RunResult(np.stack(rows), state)
        assert not compare(expected, start, found, "litert", "tflite").holds
        assert compare(expected, start, run.result, "litert", "tflite").holds


def test_the_first_step_alone_cannot_notice_swapped_states(prepared):
    """Why one step is no parity test: from a zero state, h and c swapped afterwards give the same first answer."""
    step_function = prepared("lstm").model.step_function
    zero = {name: array.astype("f8") for name, array in initial_state(step_function.state).items()}
    inputs = {"symbol": np.array([3])}
    right, _ = step_function.advance(NumpyOps(), inputs, zero)
    swapped, _ = miswired(step_function.advance, "h and c swapped")(NumpyOps(), inputs, zero)
    assert np.array_equal(right["probabilities"], swapped["probabilities"])


def test_a_single_sigmoid_unit_is_compared_as_two_labels():
    """The likeliest of one unit is always the same."""
    import keras

    layers = [keras.layers.Embedding(5, 4), keras.layers.GRU(6), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((None,), dtype="int32"), *layers])
    expected = expected_of(prepare(model, labels=["fall"]), steps=100)
    right = expected.runs["initial"].result
    wrong = replace(right, probabilities=1 - right.probabilities)
    agreement = [compare(expected, "initial", found, "litert", "tflite").argmax_agreement for found in (right, wrong)]
    assert agreement == [1, 0]


def test_alternate_runs_are_compared_with_the_first_and_with_int8_with_keras(prepared):
    expected = prepared("lstm").expected
    right = expected.runs["initial"].result

    def missed(quantization, error, probabilities):
        states = {name: array + error for name, array in right.states.items()}
        found = replace(right, alternates={"two phases": RunResult(probabilities, states)})
        return compare(expected, "initial", found, "litert", "tflite", quantization).missed

    assert missed("float32", 1e-7, right.probabilities) == ()
    assert missed("float16", 1e-2, right.probabilities)[0].startswith("in two phases it answers otherwise: off by 0")
    assert missed("int8", 1e-2, right.probabilities) == ()  # as far as that may have been rounded
    assert "in two phases" in missed("int8", 1e-2, np.roll(right.probabilities, 1, axis=1))[0]


@pytest.fixture(scope="module")
def chaotic():
    """A model that doubles any difference every few steps, and its expected runs."""
    model = sharp_model("rnn", 1, units=40)
    weights = model.get_weights()
    weights[2] *= 3
    model.set_weights(weights)
    prepared = prepare(model)
    return prepared, expected_of(prepared, steps=500)


def test_a_chaotic_model_is_proven_step_by_step(chaotic, device, tmp_path):
    model, expected = chaotic
    proven = prove(build_file(model, "onnx", "float32", tmp_path), expected, device)
    by_start = {parity.start: parity for parity in proven.parity}
    assert by_start["initial"].rounding > 1e-3
    assert by_start["initial"].max_abs_error > FLOAT32_TOLERANCE
    assert by_start[EACH].error <= FLOAT32_TOLERANCE


def test_a_chaotic_model_that_is_miswired_is_still_noticed(chaotic, device, tmp_path):
    model, expected = chaotic
    built = build_broken(model, lambda right: miswired(right, "never fed back"), "onnx", tmp_path)
    with pytest.raises(ParityError, match="each from a given state"):
        prove(built, expected, device)


def test_a_chaotic_model_with_float16_weights_is_proven_by_its_single_steps(chaotic, device, tmp_path):
    model, expected = chaotic
    proven = prove(build_file(model, "onnx", "float16", tmp_path), expected, device, allow_inaccurate=["float16"])
    assert proven.refusal is None
    half = {parity.start: parity for parity in proven.parity}
    assert half["initial"].max_abs_error > expected.tolerances["float16"].error
    assert half["initial"].holds  # rounding alone takes it that far
    assert half[EACH].max_state_error <= expected.tolerances["float16"].state
    built = build_broken(model, lambda right: miswired(right, "never fed back"), "onnx", tmp_path, "float16")
    assert "a state is off by" in prove(built, expected, device).refusal
