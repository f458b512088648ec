"""Many streams in lockstep: each of them answers as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest
from support.models import DATA, RUNTIMES, changed_memory, path_of

from stepcell.runtime import (
    OptionError,
    StateMismatchError,
    UnknownSymbolError,
    load,
)
from stepcell.runtime.interpreters.batch import OnnxBatch, SequentialBatch, TfliteBatch, open_batch

SYMBOLS = "01234"
CLOSE = 1e-6


@pytest.fixture(scope="module", params=RUNTIMES, ids=lambda each: "-".join(each))
def model(request):
    backend, name = request.param
    return load(DATA / name, backend=backend)


@pytest.fixture(scope="module")
def onnx():
    return load(DATA / "memory.onnx")


def plans(count, steps, seed=0):
    return np.random.default_rng(seed).integers(0, 5, (steps, count)).astype(np.int32)


@pytest.mark.parametrize("count", [1, 3, 64])
def test_streams_in_lockstep_answer_as_each_alone(model, count):
    together, alone = model.streams(count), [model.stream() for _ in range(count)]
    for ids in plans(count, 30):
        found = together.step([SYMBOLS[id] for id in ids])
        expected = [stream.step(SYMBOLS[id]).probabilities for stream, id in zip(alone, ids.tolist(), strict=True)]
        assert np.abs(found - expected).max() <= CLOSE
    for name, array in together.state.items():
        assert np.abs(array - np.concatenate([stream.state[name] for stream in alone])).max() <= CLOSE
    assert together.symbols_seen.tolist() == [30] * count


def test_each_interpreter_has_its_own_way_to_step_a_batch():
    assert isinstance(open_batch("litert", load(DATA / "memory.tflite").file, 2), TfliteBatch)
    assert isinstance(open_batch("onnxruntime", load(DATA / "memory.onnx").file, 2), OnnxBatch)
    assert isinstance(open_batch("numpy", load(DATA / "memory.onnx").file, 2), SequentialBatch)


def test_some_of_the_streams_begin_anew_and_the_others_go_on(model):
    together = model.streams(3)
    together.step("340")
    before = together.state
    together.reset([1])
    assert not any(array[1].any() for array in together.state.values())
    assert all(np.array_equal(array[[0, 2]], before[name][[0, 2]]) for name, array in together.state.items())
    assert together.symbols_seen.tolist() == [1, 0, 1]
    together.reset()
    assert not any(array.any() for array in together.state.values())


@pytest.mark.parametrize("which", [[-1], [3], [0, 7]])
def test_a_reset_of_streams_that_are_not_there_is_refused(model, which):
    streams = model.streams(3)
    streams.step(["3", "4", "3"])
    before = streams.state
    with pytest.raises(OptionError, match="There are the streams 0 to 2"):
        streams.reset(which)
    assert all(np.array_equal(streams.state[name], array) for name, array in before.items())
    assert streams.symbols_seen.tolist() == [1, 1, 1]


def test_what_does_not_fit_moves_no_stream(model):
    together = model.streams(2)
    together.step("34")
    before = together.state
    for symbols, error in (("39", UnknownSymbolError), ("3", OptionError), ("340", OptionError)):
        with pytest.raises(error):
            together.step(symbols)
    with pytest.raises(UnknownSymbolError, match="Id -1 is not one of 0 to 4"):
        together.step_ids(np.array([1, -1], np.int32))
    for spoilt, problem in (
        ({"h0": before["h0"]}, "c0 is missing"),
        ({**before, "x": 1}, "there is no x"),
        ({**before, "c0": before["c0"][:1]}, r"c0 has the shape \(1, 20\), wanted is \(2, 20\)"),
        ({**before, "c0": np.full_like(before["c0"], np.nan)}, "c0 is not finite"),
    ):
        with pytest.raises(StateMismatchError, match=problem):
            together.state = spoilt
    assert all(np.array_equal(array, before[name]) for name, array in together.state.items())
    with pytest.raises(OptionError, match="0 streams"):
        model.streams(0)


def test_streams_go_on_from_an_assigned_state(model):
    first, second = model.streams(2), model.streams(2)
    first.step("34")
    second.state = first.state
    assert second.symbols_seen.tolist() == [0, 0]
    assert np.array_equal(first.step("00"), second.step("00"))


def test_streams_start_where_the_file_starts(tmp_path):
    from stepcell.runtime import StateTensor

    start = tuple(float(x) for x in np.linspace(-0.5, 0.5, 20).astype(np.float32))
    state = (StateTensor("h0", (20,), start), StateTensor("c0", (20,), start))
    model = load(changed_memory(tmp_path / "start.tflite", state=state, golden=None), golden=False)
    expected = model.stream().step("3").probabilities
    assert np.abs(model.streams(2).step("33") - expected).max() <= CLOSE
    assert np.abs(model.fleet().step({"a": "3"})["a"].probabilities - expected).max() <= CLOSE


@pytest.mark.parametrize("name", ["three_lstm", "two_gru", "stack"])
def test_layers_of_layers_are_stepped_in_lockstep(name):
    model = load(path_of(name))
    together, alone = model.streams(5), [model.stream() for _ in range(5)]
    for ids in np.random.default_rng(1).integers(0, 7, (40, 5)):
        found = together.step([str(id) for id in ids])
        expected = [stream.step(str(id)).probabilities for stream, id in zip(alone, ids.tolist(), strict=True)]
        assert np.abs(found - expected).max() <= CLOSE
