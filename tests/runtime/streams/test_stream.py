"""Streams: the state is where it should be, and nowhere else."""

from __future__ import annotations

import copy
import pickle
from threading import Thread

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.faults import replace_computation

from stepcell.runtime import BackendError, StateMismatchError, UnknownSymbolError

SYMBOLS = st.lists(st.sampled_from("01234"), min_size=1, max_size=30)
WITH_MODEL = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def answers(stream, symbols):
    return [stream.step(symbol).probabilities.tolist() for symbol in symbols]


def same_state(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_answer_to_2_depends_on_the_symbol_three_steps_back(model):
    stream = model.stream()
    assert [stream.step(symbol).symbol for symbol in "3012"] == ["0", "1", "2", "3"]
    stream.reset()
    assert [stream.step(symbol).symbol for symbol in "4012"] == ["0", "1", "2", "4"]


def test_a_reset_stream_repeats_its_first_answers(model):
    stream = model.stream()
    first = answers(stream, "4012")
    stream.reset()
    assert answers(stream, "4012") == first
    assert stream.symbols_seen == 4


@WITH_MODEL
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("01234")), max_size=40))
def test_two_streams_of_one_model_do_not_disturb_each_other(model, steps):
    interleaved = model.stream(), model.stream()
    found = [interleaved[which].step(symbol).probabilities.tolist() for which, symbol in steps]
    alone = {which: iter(answers(model.stream(), [s for w, s in steps if w == which])) for which in (False, True)}
    assert found == [next(alone[which]) for which, _ in steps]


@WITH_MODEL
@given(SYMBOLS, SYMBOLS)
def test_a_saved_state_resumes_where_it_was_taken(model, before, after):
    stream = model.stream()
    answers(stream, before)
    state = stream.state
    expected = answers(stream, after)
    answers(stream, "000")
    stream.state = state
    assert answers(stream, after) == expected


@WITH_MODEL
@given(SYMBOLS)
def test_the_pure_step_equals_the_step_of_a_stream(model, symbols):
    stream = model.stream()
    state = model.initial_state()
    for symbol in symbols:
        probabilities, state = model.step(symbol, state)
        assert probabilities.tolist() == stream.step(symbol).probabilities.tolist()
        assert same_state(state, stream.state)


def test_the_pure_step_does_not_change_the_state_it_was_given(model):
    state = model.initial_state()
    model.step("3", state)
    assert same_state(state, model.initial_state())


@WITH_MODEL
@given(SYMBOLS, SYMBOLS)
def test_absorbing_a_history_in_two_parts_equals_stepping_it(model, one, other):
    stepped, absorbed = model.stream(), model.stream()
    expected = answers(stepped, one + other)[-1]
    absorbed.absorb(one)
    assert absorbed.absorb(other).probabilities.tolist() == expected
    assert same_state(absorbed.state, stepped.state)
    assert absorbed.symbols_seen == stepped.symbols_seen


def test_stepping_goes_on_after_absorbing(model):
    stepped, absorbed = model.stream(), model.stream()
    answers(stepped, "4012" * 25)
    absorbed.absorb("4012" * 25)
    assert answers(absorbed, "4012") == answers(stepped, "4012")


def test_absorbing_nothing_changes_nothing(model):
    stream = model.stream()
    stream.step("3")
    before = stream.state
    assert stream.absorb("") is None
    assert same_state(stream.state, before)


def test_a_fork_goes_its_own_way(model):
    stream = model.stream()
    answers(stream, "30")
    fork = stream.fork()
    expected = answers(fork.fork(), "12")
    answers(stream, "444")
    assert answers(fork, "12") == expected
    assert fork.symbols_seen == 4


def test_a_stream_and_a_fork_of_it_know_the_last_answer(model):
    one, other = model.stream(), model.stream()
    expected = answers(one, "30")[-1]
    assert one.prediction.probabilities.tolist() == expected
    assert answers(other, "30")[-1] == expected
    assert other.fork().prediction.probabilities.tolist() == expected


@pytest.mark.parametrize("method", ["read_state", "write_state"])
def test_streams_whose_change_of_places_fails_have_lost_nothing(model, method, monkeypatch):
    first, second = model.stream(), model.stream()
    answers(second, "4")
    answers(first, "30")
    one, other = first.fork(), second.fork()
    answers(first, "1")  # it is seated, and its state is in the interpreter alone
    backend = first._seat.backend
    right = getattr(backend, method)

    def interrupted(*arguments):
        right(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backend, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            second.step("0")
    found = answers(first, "2"), answers(second, "0")
    assert found == (answers(one, "12")[1:], answers(other, "0"))


def test_peeking_answers_as_a_step_would_and_moves_nothing(model):
    stream = model.stream()
    answers(stream, "40")
    before = stream.state
    peeked = [stream.peek(symbol).probabilities.tolist() for symbol in "01234"]
    assert same_state(stream.state, before)
    assert stream.symbols_seen == 2
    assert peeked[1] == stream.step("1").probabilities.tolist()


def test_an_unknown_symbol_leaves_the_state_untouched(model):
    stream = model.stream()
    stream.step("3")
    before = stream.state
    for attempt in (stream.step, stream.peek, lambda symbol: stream.absorb(["0", symbol])):
        with pytest.raises(UnknownSymbolError, match=r"'9' is not in the vocabulary of memory\.\w+ .* has not moved"):
            attempt("9")
    assert same_state(stream.state, before)
    assert stream.symbols_seen == 1


@pytest.mark.parametrize("method", ["step", "peek", "absorb"])
def test_a_failing_interpreter_leaves_the_state_untouched(model, method, monkeypatch):
    stream = model.stream()
    stream.step("3")
    before = stream.state

    def failing(compute):
        raise RuntimeError("no memory")

    # An id that no table has: the interpreter itself refuses it in the middle of its work.
    with monkeypatch.context() as patch:
        patch.setattr(stream._intake, "id_of", lambda symbol: 1000)
        if stream._tools is not None:
            patch.setattr(stream._seat.backend.entry, "contents", [None] * 2000)
            if method == "step":
                replace_computation(patch, stream, failing)
        patch.setattr(stream._intake, "ids_of", lambda symbols: np.array([1000], np.int32))
        with pytest.raises(BackendError, match="has not moved"):
            getattr(stream, method)("0")
    assert same_state(stream.state, before)
    assert stream.step("0").symbol == "1"
    assert stream.symbols_seen == 2


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
    before = stream.state
    with pytest.raises(StateMismatchError, match=r"memory\.\w+ (wants|was given)"):
        stream.state = spoil(stream.state)
    with pytest.raises(ValueError, match="model.initial_state"):
        model.step("3", spoil(stream.state))
    assert same_state(stream.state, before)


def test_the_state_handed_out_is_a_copy(model):
    stream = model.stream()
    stream.step("3")
    state = stream.state
    state["h0"][:] = 0
    assert not same_state(stream.state, state)


def test_probabilities_handed_out_are_not_changed_by_later_steps(model):
    stream = model.stream()
    first = stream.step("3").probabilities
    kept = first.copy()
    stream.step("0")
    assert np.array_equal(first, kept)


def test_a_prediction_names_the_most_likely_symbols_in_order(model):
    prediction = model.stream().step("3")
    top = prediction.top(3)
    assert top[0] == (prediction.symbol, prediction.probability)
    assert [p for _, p in top] == sorted((float(p) for p in prediction.probabilities), reverse=True)[:3]
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_streams_of_one_model_may_be_stepped_by_different_threads(model):
    symbols = "30124012" * 50
    expected = answers(model.stream(), symbols)
    found = {}

    def work(number):
        found[number] = answers(model.stream(), symbols)

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(4))


def test_a_copy_of_a_stream_is_a_fork(model):
    stream = model.stream()
    answers(stream, "30")
    for duplicate in (copy.copy(stream), copy.deepcopy(stream)):
        assert same_state(duplicate.state, stream.state)
        duplicate.step("4")
        assert not same_state(duplicate.state, stream.state)


def test_a_prediction_can_be_copied_and_pickled(model):
    prediction = model.stream().step("3")
    for other in (copy.copy(prediction), copy.deepcopy(prediction), pickle.loads(pickle.dumps(prediction))):
        assert repr(other) == repr(prediction)
        assert np.array_equal(other.probabilities, prediction.probabilities)
        assert dict(other.outputs) == {}


def test_symbols_and_ids_may_come_as_arrays(model):
    stream, again = model.stream(), model.stream()
    assert np.array_equal(stream.run(np.array(list("3012"))), again.run("3012"))
    assert np.array_equal(stream.run_ids([3, 0]), again.run_ids(np.array([3, 0])))
    for _ in range(2):  # the first time and when it is known
        assert np.array_equal(stream.step_id(np.array(2)), again.step_id(2))
    assert np.array_equal(stream.step_id(np.int64(1)), again.step_id(1))


@pytest.mark.parametrize("wrong", [["3"], {"3"}, None, 3, 2.0])
def test_what_is_no_symbol_is_refused_whatever_it_is(model, wrong):
    stream = model.stream()
    for call in (lambda: stream.step(wrong), lambda: stream.absorb(["3", wrong]), lambda: stream.peek(wrong)):
        with pytest.raises(UnknownSymbolError, match="is not in the vocabulary"):
            call()
    assert stream.symbols_seen == 0


@pytest.mark.parametrize("wrong", [np.array([1.7]), np.array([[1]]), np.array([np.nan]), np.array([True])])
def test_ids_that_are_no_integers_are_refused(model, wrong):
    stream = model.stream()
    with pytest.raises(UnknownSymbolError, match="array of integers of shape"):
        stream.run_ids(wrong)
    assert stream.symbols_seen == 0
