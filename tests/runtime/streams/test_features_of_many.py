"""Many streams at once of models that read features and answer with more than one output."""

from __future__ import annotations

import numpy as np
import pytest
from support.models import SPEEDS, path_of, wide_inputs

from stepcell.runtime import FeatureMismatchError, UnknownSymbolError, load

BACKENDS = [("litert", "tflite"), ("tflite", "tflite"), ("onnxruntime", "onnx"), ("numpy", "onnx")]


@pytest.mark.parametrize(("backend", "format"), BACKENDS)
def test_streams_in_lockstep_read_features_and_answer_every_output_as_each_alone(backend, format):
    model = load(path_of("wide", format), backend=backend)
    together, alone = model.streams(5), [model.stream() for _ in range(5)]
    for step in range(6):
        symbols, hours, speeds = wide_inputs(5, seed=step)
        found = together.step(symbols, {"hour": hours, "speed": speeds})
        outputs = together.outputs
        for row, stream in enumerate(alone):
            expected = stream.step(symbols[row], {"hour": hours[row], "speed": speeds[row]})
            assert np.abs(found[row] - expected.probabilities).max() <= 1e-6
            assert np.abs(outputs["gap"][row] - expected.outputs["gap"].values).max() <= 1e-5
            assert np.abs(outputs["mood"][row] - expected.outputs["mood"].probabilities).max() <= 1e-6


@pytest.mark.parametrize(("backend", "format"), BACKENDS)
def test_members_of_a_fleet_read_features_and_answer_every_output_as_each_alone(backend, format):
    model = load(path_of("wide", format), backend=backend)
    fleet, alone = model.fleet(), {key: model.stream() for key in "klmnopqrst"}
    for step in range(6):
        keys = sorted(np.random.default_rng(step).choice(list(alone), 9, replace=False).tolist())  # 8 at once, and 1
        symbols, hours, speeds = wide_inputs(9, seed=step)
        features = {key: {"hour": hours[row], "speed": speeds[row]} for row, key in enumerate(keys)}
        answers = fleet.step(dict(zip(keys, symbols, strict=True)), features)
        for row, key in enumerate(keys):
            expected = alone[key].step(symbols[row], features[key])
            assert np.abs(answers[key].probabilities - expected.probabilities).max() <= 1e-6
            assert np.abs(answers[key].outputs["gap"].values - expected.outputs["gap"].values).max() <= 1e-5
            assert answers[key].outputs["mood"].symbol == expected.outputs["mood"].symbol
            assert np.array_equal(answers.outputs["gap"][row], answers[key].outputs["gap"].values)


def test_a_model_of_numbers_alone_is_stepped_many_at_once():
    model = load(path_of("sensor", "tflite"))
    given = np.random.default_rng(2).normal(size=(3, 4)).astype("f4")
    together, fleet = model.streams(3).step(features=given), model.fleet()
    by_key = fleet.step(dict.fromkeys("abc"), dict(zip("abc", given, strict=True)))
    for row, key in enumerate("abc"):
        expected = model.stream().step(features=given[row]).values
        assert np.abs(together[row] - expected).max() <= 1e-6
        assert np.abs(by_key[key].values - expected).max() <= 1e-6
    with pytest.raises(UnknownSymbolError, match="The fleet has not moved"):
        fleet.step({"a": "x"}, {"a": given[0]})


GOOD = {"hour": 1, "speed": [0.0, 0.0, 0.0]}


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (None, "'a': .*hour is missing; speed is missing"),
        ({"a": GOOD}, "'b': .*hour is missing; speed is missing"),
        ({"a": GOOD, "b": {**GOOD, "hour": 24}}, "'b': .*hour is not one of 0 to 23"),
        ({"a": GOOD, "b": {**GOOD, "colour": 1}}, "'b': .*there is no colour"),
        ({"a": {**GOOD, "speed": [1.0]}, "b": GOOD}, "'a': .*speed has the shape"),
        ({"a": {**GOOD, "speed": [np.inf, 0, 0]}, "b": GOOD}, "'a': .*speed is not finite"),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, "'a': .*without their names"),
        ({"a": GOOD, "b": GOOD, "c": GOOD}, "features of 'c', but no symbol"),
    ],
)
def test_features_of_a_member_that_do_not_fit_are_named_and_no_member_moves(features, problem):
    fleet = load(path_of("wide", "onnx")).fleet()
    fleet.step({"a": "a"}, {"a": GOOD})
    before = fleet.snapshot("a")
    with pytest.raises(FeatureMismatchError, match=problem):
        fleet.step({"a": "b", "b": "c"}, features)
    after = fleet.snapshot("a")
    assert after.symbols_seen == before.symbols_seen == 1
    assert all(np.array_equal(after.state[name], array) for name, array in before.state.items())
    assert len(fleet) == 1


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (None, "hour is missing; speed is missing"),
        ({"hour": [1], "speed": np.zeros((2, SPEEDS))}, r"hour has the shape \(1,\), wanted is \(2,\)"),
        ({"hour": [1, 24], "speed": np.zeros((2, SPEEDS))}, "hour is not one of 0 to 23"),
    ],
)
def test_features_of_streams_in_lockstep_that_do_not_fit_move_none(features, problem):
    together = load(path_of("wide", "onnx")).streams(2)
    with pytest.raises(FeatureMismatchError, match=problem):
        together.step("ab", features)
    assert not any(array.any() for array in together.state.values())
    assert together.symbols_seen.tolist() == [0, 0]
