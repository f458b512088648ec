"""Models that read more than a symbol, and answer with more than one row of probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from support.faults import faulty_model
from support.models import DATA, answers_of, path_of, wide_inputs

from stepcell.runtime import BackendError, FeatureMismatchError, NoProbabilitiesError, UnknownSymbolError, load

RUNTIMES = [("litert", "tflite"), ("tflite", "tflite"), ("onnxruntime", "onnx"), ("numpy", "onnx")]


@pytest.fixture(scope="module", params=RUNTIMES, ids="-".join)
def wide(request):
    """A symbol, an id and numbers in; the next symbol, values and another label out."""
    backend, format = request.param
    return load(path_of("wide", format), backend=backend)


@pytest.fixture
def stream():
    """A stream of the wide model that has been stepped once."""
    stream = load(path_of("wide", "onnx")).stream()
    stream.step("a", {"hour": 1, "speed": np.ones(3)})
    return stream


def test_a_stream_answers_every_output_as_float64_does(wide):
    right, stream = answers_of("wide"), wide.stream()
    for step, id in enumerate(right.ids.tolist()):
        prediction = stream.step("abcdefg"[id], {name: array[step] for name, array in right.features.items()})
        for place in np.flatnonzero(right.kept == step):
            assert np.abs(prediction.probabilities - right.main[place]).max() < 1e-5
            for name, array in right.others.items():
                assert np.abs(prediction.outputs[name].values - array[place]).max() < 1e-5
            assert prediction.outputs["mood"].id == right.others["mood"][place].argmax()


def test_a_history_with_features_gives_the_bits_of_stepping_it(wide):
    symbols, hours, speeds = wide_inputs(12)
    stepped, absorbed, run = (wide.stream() for _ in range(3))
    each = [stepped.step(s, {"hour": hours[n], "speed": speeds[n]}) for n, s in enumerate(symbols)]
    found = absorbed.absorb(symbols, {"hour": hours, "speed": speeds})
    assert np.array_equal(found.probabilities, each[-1].probabilities)
    assert all(np.array_equal(found.outputs[n].values, one.values) for n, one in each[-1].outputs.items())
    answers = run.run(symbols, {"hour": hours, "speed": speeds})
    assert np.array_equal(answers, [one.probabilities for one in each])
    assert run.run([], {"hour": hours[:0], "speed": speeds[:0]}).shape == (0, 7)
    assert stepped.to_bytes() == absorbed.to_bytes() == run.to_bytes()
    assert stepped.symbols_seen == 12


@pytest.mark.parametrize(("backend", "format"), RUNTIMES)
def test_a_failing_interpreter_leaves_a_stream_with_features_where_it_was_without_an_answer(backend, format):
    model, fault = faulty_model(backend, path_of("wide", format))
    stream, given = model.stream(), {"hour": 1, "speed": np.ones(3)}
    stream.step("a", given)
    before = stream.state
    with fault.raising(OSError("no memory")):
        with pytest.raises(BackendError, match=r"failed on wide.\w+: no memory. The stream has not moved"):
            stream.peek("a", given)
        assert stream.prediction is not None
        with pytest.raises(BackendError, match=r"failed on wide.\w+: no memory. The stream has not moved"):
            stream.step("a", given)
    assert stream.prediction is None
    assert stream.symbols_seen == 1
    assert all(np.array_equal(stream.state[name], array) for name, array in before.items())


def test_running_ids_alone_refuses_a_model_that_reads_features(stream):
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
def test_features_that_do_not_fit_are_refused_and_the_state_stays(features, problem, stream):
    before = stream.to_bytes()
    with pytest.raises(FeatureMismatchError, match=problem):
        stream.step("a", features)
    assert stream.to_bytes() == before


def test_a_history_whose_features_are_shorter_is_refused_and_the_state_stays(stream):
    before = stream.to_bytes()
    with pytest.raises(FeatureMismatchError, match=r"hour has the shape \(2,\), wanted is \(3,\)"):
        stream.absorb("abc", {"hour": [1, 2], "speed": np.ones((3, 3))})
    assert stream.to_bytes() == before


def test_a_symbol_model_refuses_features_and_a_symbol_must_be_given():
    with pytest.raises(FeatureMismatchError, match="reads no features at each step: there is no hour"):
        load(DATA / "memory.onnx").stream().step("3", {"hour": 1})
    with pytest.raises(UnknownSymbolError, match="None is not in the vocabulary"):
        load(DATA / "memory.onnx").stream().step()


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_a_model_of_numbers_alone_is_stepped_by_its_features(format):
    right, model = answers_of("sensor"), load(path_of("sensor", format))
    given, stream = right.features["features"], model.stream()
    answers = [stream.step(features=row) for row in given]
    for place, step in enumerate(right.kept.tolist()):
        assert np.abs(answers[step].values - right.main[place]).max() < 1e-5
    assert np.array_equal(model.stream().absorb(features={"features": given}).values, answers[-1].values)
    with pytest.raises(NoProbabilitiesError, match="answers with values"):
        answers[0].symbol  # noqa: B018
    with pytest.raises(UnknownSymbolError):
        stream.step("a", given[0])
