"""Steps in two phases: the answer first, the rest later, and the same state in the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.faults import faulty_model
from support.models import DATA, path_of

from stepcell.runtime import GoldenMismatchError, WrongBackendError, load, read_model_file
from stepcell.runtime.format.model_file import pack
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.registry import open_backend, open_two_phase_backend
from stepcell.runtime.streams.native_stream import LowLatencyStream
from stepcell.runtime.streams.pool import InterpreterPool
from stepcell.runtime.worker.messages import RunSpec
from stepcell.runtime.worker.trace import trace_all

MEMORY = DATA / "memory.tflite"


@pytest.mark.parametrize("format", ["tflite", "onnx"])
@pytest.mark.parametrize("name", ["lstm", "two_gru", "gru_reset_before", "rnn", "window"])
def test_both_phases_together_give_what_a_step_gives(name, format):
    model = load(path_of(name, format), backend="native")
    usual, fast = model.stream(), model.stream(low_latency=True)
    for count, id in enumerate(np.random.default_rng(0).integers(0, 7, 400).tolist()):
        expected, found = usual.step(str(id)), fast.step(str(id))
        assert (
            np.abs(found.probabilities - expected.probabilities).max() <= 1e-6
        )  # a bias may be added in another order
        if count % 3 == 0:
            fast.settle()
        if count % 7 == 0:
            assert all(np.abs(fast.state[n] - array).max() <= 1e-5 for n, array in usual.state.items())


@pytest.mark.parametrize("name", ["wide", "sensor"])
def test_features_are_read_in_the_first_phase(name):
    model, random = load(path_of(name), backend="native"), np.random.default_rng(0)
    usual, fast = model.stream(), model.stream(low_latency=True)
    for _ in range(30):
        symbol, features = None, random.normal(size=4)
        if name == "wide":
            symbol, features = "b", {"hour": random.integers(24), "speed": random.normal(size=3)}
        expected, found = usual.step(symbol, features), fast.step(symbol, features)
        assert np.abs(found.values - expected.values).max() <= 1e-6
        assert all(np.abs(found.outputs[n].values - one.values).max() <= 1e-6 for n, one in expected.outputs.items())


@pytest.mark.parametrize("by_id", [False, True])
def test_an_interrupted_step_leaves_nothing_behind_that_passes_for_the_expected_answer(by_id):
    model, fault = faulty_model("native", MEMORY, "low latency")
    fast, usual = model.stream(), load(MEMORY, backend="native").stream()

    def step(stream, symbol):
        return stream.step_id(int(symbol)).copy() if by_id else stream.step(symbol).values

    for symbol in "01234":
        fast.step(symbol)
        usual.step(symbol)
    fast.settle()
    expected = fast.prediction.symbol
    with fault.raising(KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        step(fast, "0" if expected != "0" else "1")
    np.testing.assert_allclose(step(fast, expected), step(usual, expected), atol=1e-6)
    assert all(np.abs(fast.state[name] - array).max() <= 1e-6 for name, array in usual.state.items())


@pytest.mark.parametrize("by_id", [False, True])
def test_an_answer_that_was_expected_is_not_computed_again(by_id):
    file = read_model_file(MEMORY)
    backend = open_two_phase_backend("native", file)
    stream = LowLatencyStream(InterpreterPool(file, "native", backend), load(MEMORY).stream().snapshot())
    for symbol in "01234":
        stream.step(symbol)
    stream.settle()
    expected, mark = stream.prediction.id, np.arange(5, dtype="f4")
    backend.answer()[:] = mark
    found = stream.step_id(expected) if by_id else stream.step(str(expected)).values
    assert np.array_equal(found, mark)
    stream.settle(expect=False)
    assert not np.array_equal(stream.step("0").values, mark)


def test_settling_a_stream_that_has_not_been_stepped_opens_nothing():
    model, fault = faulty_model("native", MEMORY, "low latency")
    model.stream().step("3")
    before = fault.calls
    model.stream().settle()
    assert (len(model.opened), fault.calls) == (1, before)


def test_wrong_golden_answers_are_noticed_in_two_phases_too(tmp_path):
    file = read_model_file(MEMORY)
    golden = file.manifest.golden
    rows = tuple(tuple(p + 1e-3 for p in row) for row in golden.runs[0].probabilities)
    wrong = replace(golden, runs=(replace(golden.runs[0], probabilities=rows), *golden.runs[1:]))
    path = tmp_path / "wrong.tflite"
    path.write_bytes(pack(file.payload, replace(file.manifest, golden=wrong), "tflite"))
    file = read_model_file(path)
    load(path, backend="native", golden=False).stream(low_latency=True).step("3")
    pool = InterpreterPool(file, "native", open_backend("native", file))  # as if the fault came up after loading
    with pytest.raises(GoldenMismatchError):
        pool.in_two_phases()


@pytest.mark.parametrize("backend", ["litert", "tflite", "numpy", "onnxruntime"])
def test_an_interpreter_has_no_second_phase_and_says_what_has(backend):
    path = DATA / ("memory.onnx" if backend == "onnxruntime" else "memory.tflite")
    model = load(path, backend=backend)
    message = r"does all of a step before its answer. For low_latency load memory\.\w+ with backend='native'"
    with pytest.raises(WrongBackendError, match=message):
        model.stream(low_latency=True)
    with pytest.raises(WrongBackendError, match=message):
        model.restore(load(path).stream().to_bytes(), low_latency=True)
    spec = RunSpec(Inputs(np.zeros(3, np.int32)), model.initial_state())
    assert "two phases" not in trace_all(model, [spec])[0].alternates
