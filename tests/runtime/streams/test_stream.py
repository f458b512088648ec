"""Streams, call by call: what they answer, refuse, hand out and keep. For their order see test_stream_machine.py."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
from support.models import WAYS, open_way, path_of

from stepcell.runtime import (
    FeatureMismatchError,
    StateMismatchError,
    UnknownSymbolError,
    load,
    read_model_file,
)
from stepcell.runtime.interpreters.registry import open_backend
from stepcell.runtime.interpreters.tflite_signature import merge_adjacent

SYMBOLS = "01234"


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def way(request):
    """The memory model, stepped on every backend and with low latency."""
    return open_way(*request.param)


def answers(stream, symbols):
    return [stream.step(symbol).values.tolist() for symbol in symbols]


def same_state(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_answer_to_2_depends_on_the_symbol_three_steps_back(way):
    stream = way.stream()
    assert [stream.step(symbol).symbol for symbol in "3012"] == ["0", "1", "2", "3"]
    stream.reset()
    assert [stream.step(symbol).symbol for symbol in "4012"] == ["0", "1", "2", "4"]


def test_the_pure_step_keeps_nothing_and_leaves_the_state_that_it_is_given(model):
    start, stream = model.initial_state(), model.stream()
    state = start
    for symbol in "3012":
        probabilities, state = model.step(symbol, state)
        assert probabilities.tolist() == stream.step(symbol).values.tolist()
    assert same_state(state, stream.state)
    assert same_state(start, model.initial_state())
    assert model.step("3", start)[0].tolist() == model.step("3", start)[0].tolist()


def test_stepping_by_id_gives_the_bits_of_stepping_by_symbol(way):
    by_id, by_symbol = way.stream(), way.stream()
    for id in np.random.default_rng(0).integers(0, 5, 100).tolist():
        assert np.array_equal(by_id.step_id(id), by_symbol.step(SYMBOLS[id]).values)
    assert by_id.to_bytes() == by_symbol.to_bytes()


def test_an_answer_by_id_is_the_memory_of_the_interpreter_and_one_by_symbol_belongs_to_the_caller(way):
    stream = way.stream()
    assert np.shares_memory(stream.step_id(3), stream.step_id(0))
    first = stream.step("3").values
    kept = first.copy()
    assert not np.shares_memory(first, stream.step("0").values)
    assert np.array_equal(first, kept)
    first.shape = (1, 5)  # the caller may do anything with it
    first[...] = 7
    assert stream.step("0").values.shape == (5,)


@pytest.mark.parametrize("id", [-1, -5, 5, 2**31, 2**40, "3", 3.0, None, np.arange(2)])
def test_an_id_that_is_none_is_refused_and_the_state_stays(way, id):
    stream = way.stream()
    stream.step_id(3)
    before = stream.to_bytes()
    shown = str(id) if isinstance(id, int) else repr(id)
    for _ in range(2):
        with pytest.raises(
            UnknownSymbolError, match=re.escape(f"Id {shown} is not one of 0 to 4. The stream has not moved")
        ):
            stream.step_id(id)
    assert stream.to_bytes() == before


def test_symbols_and_ids_may_come_as_arrays(way):
    stream, again = way.stream(), way.stream()
    assert np.array_equal(stream.run(np.array(list("3012"))), again.run(iter("3012")))
    assert np.array_equal(stream.run_ids([3, 0]), again.run_ids(np.array([3, 0])))
    for _ in range(2):  # the first time and when it is known
        assert np.array_equal(stream.step_id(np.array(2)), again.step_id(2))
    assert np.array_equal(stream.step_id(np.int64(1)), again.step_id(1))


@pytest.mark.parametrize("wrong", [["3"], {"3"}, None, 3, 2.0, "9", ""])
def test_a_symbol_that_is_none_is_refused_whatever_it_is(way, wrong):
    stream = way.stream()
    stream.step("3")
    before = stream.to_bytes()
    for call in (lambda: stream.step(wrong), lambda: stream.absorb(["3", wrong]), lambda: stream.peek(wrong)):
        with pytest.raises(UnknownSymbolError, match=r"is not in the vocabulary of memory\.\w+ .* has not moved"):
            call()
    assert stream.to_bytes() == before


def test_a_wrong_symbol_or_id_among_many_is_told_and_nothing_moves(way):
    stream = way.stream()
    stream.step("3")
    before = stream.to_bytes()
    with pytest.raises(UnknownSymbolError, match=r"'9' is not in .* number 1,002 of 1,003\. The stream has not moved"):
        stream.run(["0"] * 1001 + ["9", "1"])
    for ids, wrong in (([0, -1], -1), ([5, 0], 5)):
        with pytest.raises(UnknownSymbolError, match=f"Id {wrong} is not one of 0 to 4"):
            stream.run_ids(np.array(ids, np.int32))
    for ids in ([1.7], [[1]], [np.nan], [True]):
        with pytest.raises(UnknownSymbolError, match="array of integers of shape"):
            stream.run_ids(np.array(ids))
    assert stream.to_bytes() == before


def test_nothing_at_all_changes_nothing(way):
    stream = way.stream()
    stream.step("3")
    before = stream.to_bytes()
    assert stream.run([]).shape == (0, 5)
    assert stream.absorb("") is None
    assert stream.to_bytes() == before


def test_the_prediction_is_the_callers_own(way):
    stream = way.stream()
    assert stream.prediction is None
    expected = stream.step("3").values
    stream.peek("4")
    stream.prediction.values[:] = 0
    assert np.array_equal(stream.prediction.values, expected)
    assert np.array_equal(stream.fork().prediction.values, expected)
    stream.snapshot().answers["probabilities"][:] = 0
    with pytest.raises(ValueError, match="read-only"):
        stream.state["h0"][:] = 0  # it would change nothing
    assert np.array_equal(stream.prediction.values, expected)
    assert stream.step("0").symbol == "1"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: {"h0": state["h0"]},
        lambda state: {**state, "h1": state["h0"]},
        lambda state: {**state, "c0": state["c0"][:, :3]},
        lambda state: {**state, "c0": np.full_like(state["c0"], np.nan)},
        lambda state: {**state, "c0": "many"},
        lambda state: None,
    ],
)
def test_a_state_that_does_not_fit_is_refused(model, spoil):
    stream = model.stream()
    stream.step("3")
    before = stream.to_bytes()
    with pytest.raises(StateMismatchError, match=r"memory\.\w+ (wants|was given)"):
        stream.state = spoil(stream.state)
    with pytest.raises(ValueError, match="model.initial_state"):
        model.step("3", spoil(stream.state))
    assert stream.to_bytes() == before


def test_a_prediction_names_the_most_likely_symbols_in_order(model):
    prediction = model.stream().step("3")
    top = prediction.top(3)
    assert top[0] == (prediction.symbol, prediction.probability)
    assert [p for _, p in top] == sorted((float(p) for p in prediction.probabilities), reverse=True)[:3]
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_a_prediction_can_be_copied_and_pickled(model):
    prediction = model.stream().step("3")
    for other in (copy.copy(prediction), copy.deepcopy(prediction), pickle.loads(pickle.dumps(prediction))):
        assert repr(other) == repr(prediction)
        assert np.array_equal(other.probabilities, prediction.probabilities)
        assert dict(other.outputs) == {}


def test_a_copy_of_a_stream_is_a_fork(way):
    stream = way.stream()
    answers(stream, "30")
    for duplicate in (copy.copy(stream), copy.deepcopy(stream)):
        assert type(duplicate) is type(stream)
        assert duplicate.to_bytes() == stream.to_bytes()
        duplicate.step("4")
        assert not same_state(duplicate.state, stream.state)


def test_a_stream_says_what_it_is(way):
    stream = way.stream()
    stream.step("3")
    assert re.fullmatch(r"(Native)?(LowLatency)?Stream\(memory\.\w+, symbols_seen=1\)", repr(stream))


def test_settling_any_other_stream_does_nothing(model):
    stream = model.stream()
    stream.settle()
    before = answers(stream, "3")
    stream.settle()
    assert stream.symbols_seen == 1
    assert stream.prediction.values.tolist() == before[0]


@pytest.mark.parametrize("name", ["sensor", "vectors"])
def test_a_model_that_reads_features_is_not_stepped_by_ids(name):
    stream = load(path_of(name)).stream()
    with pytest.raises(FeatureMismatchError, match=r"reads (features|vector) .* at each step: call step"):
        stream.step_id(0)


def test_states_that_lie_alike_are_copied_as_one_piece():
    for name in ("memory", "lstm", "window", "stack"):
        assert len(open_backend("litert", read_model_file(path_of(name))).feedback) == 1
    memory = np.zeros(1024, np.float32)
    start = -memory.__array_interface__["data"][0] % 64 // 4  # in elements, to the next multiple of 64 bytes

    def at(offset, size=20):
        return memory[start + offset // 4 : start + offset // 4 + size]

    apart = [(at(0), at(1024)), (at(128), at(1152))]
    target, source = merge_adjacent(apart)
    memory[:] = np.arange(1024)
    target[:] = source
    assert all(np.array_equal(*pair) for pair in apart)
    assert merge_adjacent([apart[0], (at(128), at(1280))]) is None  # another order of the outputs
    assert merge_adjacent([apart[0], (at(192), at(1216))]) is None  # room for something else between them
    assert merge_adjacent([(at(0), at(128)), (at(256), at(384))]) is None  # the pieces overlap
