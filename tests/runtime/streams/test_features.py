"""Streams of models that read more than a symbol and answer with more than one row of probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.models import DATA, answers_of, path_of, wide_inputs
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import FeatureMismatchError, NoProbabilitiesError, UnknownSymbolError, load
from stepcell.runtime.bench.measurement import measure_variants
from stepcell.runtime.worker.measure import measure

BACKENDS = [("litert", "tflite"), ("tflite", "tflite"), ("onnxruntime", "onnx")]


@pytest.mark.parametrize(("backend", "format"), BACKENDS)
def test_a_stream_answers_every_output_as_float64_does(backend, format):
    exact = answers_of("wide")
    model = load(path_of("wide", format), backend=backend)
    stream = model.stream()
    for step, id in enumerate(exact.ids[:20].tolist()):
        features = {name: array[step] for name, array in exact.features.items()}
        prediction = stream.step(model.vocabulary.decode(id), features)
        assert np.abs(prediction.probabilities - exact.main[step]).max() < 1e-5
        assert np.abs(prediction.outputs["gap"].values - exact.others["gap"][step]).max() < 1e-5
        assert np.abs(prediction.outputs["mood"].probabilities - exact.others["mood"][step]).max() < 1e-5
    assert prediction.outputs["mood"].symbol == str(exact.others["mood"][19].argmax())


@pytest.mark.parametrize(("backend", "format"), BACKENDS)
def test_a_history_with_features_is_absorbed_to_the_bits_of_stepping_it(backend, format):
    symbols, hours, speeds = wide_inputs(12)
    model = load(path_of("wide", format), backend=backend)
    stepped, absorbed = model.stream(), model.stream()
    for step, symbol in enumerate(symbols):
        last = stepped.step(symbol, {"hour": hours[step], "speed": speeds[step]})
    found = absorbed.absorb(symbols, {"hour": hours, "speed": speeds})
    assert np.array_equal(found.probabilities, last.probabilities)
    assert np.array_equal(found.outputs["gap"].values, last.outputs["gap"].values)
    assert all(np.array_equal(absorbed.state[name], array) for name, array in stepped.state.items())
    assert absorbed.symbols_seen == stepped.symbols_seen == 12


@pytest.mark.parametrize(("backend", "format"), BACKENDS)
def test_running_with_features_answers_as_stepping_does_bit_for_bit(backend, format):
    symbols, hours, speeds = wide_inputs(12)
    model = load(path_of("wide", format), backend=backend)
    stepped, run = model.stream(), model.stream()
    expected = [
        stepped.step(symbol, {"hour": hours[step], "speed": speeds[step]}).probabilities
        for step, symbol in enumerate(symbols)
    ]
    assert np.array_equal(run.run(symbols, {"hour": hours, "speed": speeds}), expected)
    assert run.to_bytes() == stepped.to_bytes()
    assert run.run([], {"hour": hours[:0], "speed": speeds[:0]}).shape == (0, 7)
    assert run.to_bytes() == stepped.to_bytes()


def test_running_ids_alone_refuses_a_model_that_reads_features():
    stream = load(path_of("wide", "onnx")).stream()
    stream.step("a", {"hour": 1, "speed": np.ones(3)})
    before = stream.to_bytes()
    with pytest.raises(FeatureMismatchError, match="hour is missing; speed is missing. The state has not moved"):
        stream.run_ids(np.array([1], np.int32))
    assert stream.to_bytes() == before


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        (None, "hour is missing; speed is missing"),
        ({"hour": 3}, "speed is missing"),
        ({"hour": 24, "speed": [0, 0, 0]}, "hour is not one of 0 to 23"),
        ({"hour": 2**32, "speed": [0, 0, 0]}, "hour is not one of 0 to 23"),
        ({"hour": -1, "speed": [0, 0, 0]}, "hour is not one of 0 to 23"),
        ({"hour": 1.5, "speed": [0, 0, 0]}, "an id is an integer"),
        ({"hour": 3, "speed": [0, 0]}, r"speed has the shape \(2,\), wanted is \(3,\)"),
        ({"hour": 3, "speed": [0, np.nan, 0]}, "speed is not finite"),
        ({"hour": 3, "speed": "fast"}, "speed cannot be read"),
        ({"hour": 3, "speed": [0, 0, 0], "colour": 1}, "there is no colour"),
        ([1, 2, 3], "without their names"),
    ],
)
def test_features_that_do_not_fit_are_refused_and_the_state_stays(features, problem):
    stream = load(path_of("wide", "onnx")).stream()
    stream.step("a", {"hour": 1, "speed": np.ones(3)})
    before = stream.state
    with pytest.raises(FeatureMismatchError, match=problem):
        stream.step("a", features)
    assert all(np.array_equal(stream.state[name], array) for name, array in before.items())
    assert stream.symbols_seen == 1


def test_a_history_whose_features_are_shorter_is_refused_and_the_state_stays():
    stream = load(path_of("wide", "onnx")).stream()
    with pytest.raises(FeatureMismatchError, match=r"hour has the shape \(2,\), wanted is \(3,\)"):
        stream.absorb("abc", {"hour": [1, 2], "speed": np.ones((3, 3))})
    assert not any(array.any() for array in stream.state.values())


def test_a_symbol_model_refuses_features_and_a_symbol_must_be_given():
    with pytest.raises(FeatureMismatchError, match="reads no features at each step: there is no hour"):
        load(DATA / "memory.onnx").stream().step("3", {"hour": 1})
    with pytest.raises(UnknownSymbolError, match="None is not in the vocabulary"):
        load(DATA / "memory.onnx").stream().step()


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_model_of_numbers_alone_is_stepped_by_its_features(format):
    exact = answers_of("sensor")
    given = exact.features["features"][:20]
    stream = load(path_of("sensor", format)).stream()
    for row, values in zip(given, exact.main, strict=False):
        prediction = stream.step(features=row)
        assert np.abs(prediction.values - values).max() < 1e-5
    again = load(path_of("sensor", format)).stream().absorb(features={"features": given})
    assert np.array_equal(again.values, prediction.values)
    with pytest.raises(NoProbabilitiesError, match="answers with values"):
        prediction.symbol  # noqa: B018
    with pytest.raises(UnknownSymbolError):
        stream.step("a", given[0])


def test_streams_by_key_read_features():
    records = [{"k": k, "symbol": "a", "hour": h, "speed": [h, 0, 1]} for h in range(3) for k in "xy"]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    result = CliRunner().invoke(app, ["predict", str(path_of("wide", "onnx")), "--key", "k", "--json"], input=lines)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["stream"], answer["seen"]) for answer in answers] == [(k, n) for n in (1, 2, 3) for k in "xy"]
    assert answers[4]["probability"] == answers[5]["probability"] != answers[2]["probability"]
    line = '{"k": "x", "symbol": "a", "speed": [1, 0, 1]}\n'
    result = CliRunner().invoke(app, ["predict", str(path_of("wide", "onnx")), "--key", "k"], input=line)
    assert "hour is missing" in result.output


def test_the_command_line_predicts_from_features(monkeypatch):
    lines = '{"symbol": "a", "hour": 3, "speed": [1, 2, 3]}\n{"symbol": "b", "hour": 30, "speed": [1, 2, 3]}\n'
    file = str(path_of("wide", "onnx"))
    result = CliRunner().invoke(app, ["predict", file, "--json"], input=lines)
    assert result.exit_code == 1
    assert "Line 2: wide.onnx reads hour" in result.output
    answer = json.loads(result.output.splitlines()[0])
    assert {"input", "symbol", "probability", "gap", "mood"} <= answer.keys()
    assert len(answer["gap"]["values"]) == 2
    assert "hour (id of 24), speed [3]" in CliRunner().invoke(app, ["inspect", file]).output


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", ["wide", "sensor"])
def test_the_doctor_and_the_bench_step_files_that_read_features(name, format):
    found = measure(path_of(name, format), "numpy")
    assert found["golden_error"] <= 1e-5
    assert found["us_per_step"] > 0
    assert measure_variants(path_of(name, format), "numpy", rounds=1).first_us > 0
