"""The shortest way through a stream does what the long way does, whoever else steps."""

from __future__ import annotations

import re
import sys
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA, WAYS, open_way

from stepcell.runtime import FeatureMismatchError, UnknownSymbolError, load, read_model_file
from stepcell.runtime.interpreters.registry import open_backend
from stepcell.runtime.interpreters.tflite_signature import _one_piece

SYMBOLS = "01234"


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def model(request):
    return open_way(*request.param)


def test_stepping_by_id_gives_the_bits_of_stepping_by_symbol(model):
    by_id, by_symbol = model.stream(), model.stream()
    for id in np.random.default_rng(0).integers(0, 5, 100).tolist():
        assert np.array_equal(by_id.step_id(id), by_symbol.step(SYMBOLS[id]).probabilities)
    assert by_id.symbols_seen == by_symbol.symbols_seen == 100
    assert by_id.to_bytes() == by_symbol.to_bytes()


def test_an_answer_by_id_is_the_memory_of_the_interpreter_and_one_by_symbol_is_not(model):
    stream = model.stream()
    assert np.shares_memory(stream.step_id(3), stream.step_id(0))
    assert not np.shares_memory(stream.step("3").probabilities, stream.step("0").probabilities)


@pytest.mark.parametrize("id", [-1, 5, 2**31, 2**40])
def test_an_id_that_is_none_is_refused_and_the_state_stays(model, id):
    stream = model.stream()
    stream.step_id(3)
    before = stream.to_bytes()
    with pytest.raises(UnknownSymbolError, match=f"Id {id} is not one of 0 to 4. The stream has not moved"):
        stream.step_id(id)
    assert stream.to_bytes() == before


@pytest.mark.parametrize("id", ["3", 3.0, None, np.arange(2)])
def test_what_is_no_id_at_all_moves_nothing(model, id):
    stream = model.stream()
    stream.step_id(3)
    state = stream.state
    with pytest.raises(UnknownSymbolError, match=re.escape(f"Id {id!r} is not one of 0 to 4")):
        stream.step_id(id)
    assert all(np.array_equal(stream.state[name], array) for name, array in state.items())
    assert stream.symbols_seen == 1


@pytest.mark.parametrize(
    "kept",
    [
        lambda prediction: prediction,
        lambda prediction: prediction.values,
        lambda prediction: prediction.values[1:4],
        lambda prediction: memoryview(prediction.values),
        lambda prediction: prediction.values.reshape(1, -1).T,
    ],
    ids=["prediction", "array", "view", "memoryview", "view of a view"],
)
def test_what_is_kept_of_an_answer_never_changes(model, kept):
    stream, again = model.stream(), model.stream()
    symbols = "3012340124" * 3
    found = [kept(stream.step(symbol)) for symbol in symbols]
    for one, symbol in zip(found, symbols, strict=True):
        expected = kept(again.step(symbol))
        numbers = [getattr(each, "values", each) for each in (one, expected)]
        assert np.array_equal(*map(np.asarray, numbers))


def test_answers_of_which_some_are_kept_and_some_are_not_do_not_disturb_each_other(model):
    stream, again = model.stream(), model.stream()
    symbols = np.random.default_rng(1).choice(list("01234"), 200).tolist()
    keep = np.random.default_rng(2).random(200) < 0.5
    kept = [
        (stream.step(symbol).values, place) if keep[place] else (stream.step(symbol).symbol, place)
        for place, symbol in enumerate(symbols)
    ]
    answers = [again.step(symbol) for symbol in symbols]
    for found, place in kept:
        assert np.array_equal(found, answers[place].values) if keep[place] else found == answers[place].symbol


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.sampled_from(["id", "symbol", "peek", "state"]))))
@settings(max_examples=30, deadline=None)
def test_streams_that_take_turns_do_not_disturb_each_other(turns):
    model = load(DATA / "memory.tflite", backend="litert")
    together = [model.stream() for _ in range(3)]
    alone = [load(DATA / "memory.tflite", backend="litert", golden=False).stream() for _ in range(3)]
    for which, id, way in turns:
        for stream in (together[which], alone[which]):
            if way == "id":
                stream.step_id(id)
            elif way == "symbol":
                stream.step(SYMBOLS[id])
            elif way == "peek":
                stream.peek(SYMBOLS[id])
            else:
                stream.state = stream.state
    assert [stream.to_bytes() for stream in together] == [stream.to_bytes() for stream in alone]


def test_threads_on_the_bare_path_do_not_disturb_each_other(model):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change all the time
    plans = [np.random.default_rng(number).integers(0, 5, 400).tolist() for number in range(4)]
    found = [None] * len(plans)

    def work(number):
        stream, answers = model.stream(), []
        for step, id in enumerate(plans[number]):
            answers.append(stream.step(SYMBOLS[id]).probabilities if step % 2 else stream.step_id(id).shape)
            if step % 5 == 0:
                stream.settle()
        found[number] = answers[1::2], stream.state

    try:
        threads = [Thread(target=work, args=(number,)) for number in range(len(plans))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for plan, (answers, state) in zip(plans, found, strict=True):
        stream = model.stream()
        expected = [stream.step(SYMBOLS[id]).probabilities for id in plan][1::2]
        assert max(np.abs(a - b).max() for a, b in zip(answers, expected, strict=True)) <= 1e-6
        assert all(np.abs(state[name] - array).max() <= 1e-5 for name, array in stream.state.items())


def test_states_that_lie_alike_are_copied_as_one_piece():
    backend = open_backend("litert", read_model_file(DATA / "memory.tflite"))
    assert len(backend.feedback) == 1
    memory = np.zeros(1024, np.float32)
    start = -memory.__array_interface__["data"][0] % 64 // 4  # in elements, to the next multiple of 64 bytes

    def at(offset, size):
        return memory[start + offset // 4 : start + offset // 4 + size]

    apart = [(at(0, 20), at(1024, 20)), (at(128, 20), at(1152, 20))]
    assert _one_piece(apart) is not None
    assert _one_piece([apart[0], (at(128, 20), at(1280, 20))]) is None  # another order of the outputs
    assert _one_piece([apart[0], (at(192, 20), at(1216, 20))]) is None  # room for something else between them
    assert _one_piece([(at(0, 20), at(128, 20)), (at(256, 20), at(384, 20))]) is None  # the pieces overlap


def test_a_model_that_reads_features_has_no_bare_path(tmp_path):
    import keras

    from stepcell.export import export

    layers = [keras.Input((None, 3)), keras.layers.GRU(4), keras.layers.Dense(2)]
    export(keras.Sequential(layers), tmp_path, values=True, formats=["onnx"], steps=100)
    with pytest.raises(FeatureMismatchError, match="call step"):
        load(tmp_path / "model.onnx").stream().step_id(0)


def test_a_stream_that_is_stepped_keeps_the_seat_for_a_while_when_another_thread_wants_it(monkeypatch):
    model = load(DATA / "memory.tflite", backend="litert")
    stream, other = model.stream(), model.stream()
    stream.step("3")
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if seconds:
            assert stream._entry_contents  # it may go on: each step of it finds what it needs
        else:
            assert not stream._entry_contents
            stream._stepping = False  # its step in the other thread is over

    monkeypatch.setattr("stepcell.runtime.streams.seat.sleep", sleep)
    stream._stepping = True
    other.step("4")
    assert waits == [1e-3, 0]
    assert [stream.symbols_seen, other.symbols_seen] == [1, 1]
