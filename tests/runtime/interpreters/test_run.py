"""Many symbols at once: what stepping them answers, in one array."""

from __future__ import annotations

import numpy as np
import pytest
from support.faults import replace_computation
from support.models import DATA

from stepcell.runtime import BackendError, UnknownSymbolError, Vocabulary, read_model_file
from stepcell.runtime.interpreters.in_place import InPlaceBackend
from stepcell.runtime.interpreters.tflite_backend import open_backend

SYMBOLS = "3012401234" * 5


def stepped(stream, symbols):
    return np.array([stream.step(symbol).probabilities for symbol in symbols])


def test_running_answers_as_stepping_does_bit_for_bit(model):
    one, other = model.stream(), model.stream()
    expected = stepped(one, SYMBOLS)
    found = other.run(iter(SYMBOLS))
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert other.symbols_seen == one.symbols_seen == len(SYMBOLS)
    assert np.array_equal(stepped(one, "40"), stepped(other, "40"))


@pytest.mark.parametrize("backend", ["litert", "tflite"])
def test_both_ways_into_an_interpreter_run_to_the_same_bits(backend):
    file = read_model_file(DATA / "memory.tflite")
    ids = np.random.default_rng(1).integers(0, 5, 300).astype(np.int32)
    held, public = open_backend(backend, file), open_backend(backend, file, public=True)
    assert np.array_equal(held.run(ids), public.run(ids))
    assert np.array_equal(held.answer(), public.answer())


@pytest.mark.parametrize("symbols", ["3", "33"])
def test_one_symbol_is_run_as_many_are(model, symbols):
    assert np.array_equal(model.stream().run(symbols), stepped(model.stream(), symbols))


def test_running_nothing_gives_no_rows_and_changes_nothing(model):
    stream = model.stream()
    stream.step("3")
    assert stream.run([]).shape == (0, 5)
    assert stream.symbols_seen == 1


def test_an_unknown_symbol_among_many_is_counted_out_and_nothing_moves(model):
    stream = model.stream()
    stream.step("3")
    before = stream.state
    with pytest.raises(UnknownSymbolError, match=r"'9' is not in .* number 1,002 of 1,003\. The stream has not moved"):
        stream.run(["0"] * 1001 + ["9", "1"])
    with pytest.raises(UnknownSymbolError, match="Id -1 is not one of 0 to 4"):
        stream.run_ids(np.array([0, -1], np.int32))
    with pytest.raises(UnknownSymbolError, match="Id 5 is not one of 0 to 4"):
        stream.run_ids(np.array([5, 0], np.int32))
    assert all(np.array_equal(before[name], array) for name, array in stream.state.items())


class Interrupting:
    """An interpreter that fails in the middle of a run, after it has written something."""

    def __init__(self, invoke, failure):
        self.invoke, self.failure, self.left = invoke, failure, 20

    def __call__(self, *arguments):
        self.left -= 1
        self.invoke(*arguments)
        if self.left == 0:
            raise self.failure


@pytest.mark.parametrize(
    ("failure", "seen"), [(RuntimeError("broken"), BackendError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_run_that_breaks_off_leaves_state_and_answer_where_they_were(model, failure, seen, monkeypatch):
    stream, untouched = model.stream(), model.stream()
    untouched.absorb("40")
    stream.absorb("40")
    backend = model._seat.backend
    with monkeypatch.context() as patch:
        if isinstance(backend, InPlaceBackend):
            replace_computation(patch, stream, Interrupting(lambda compute: compute(), failure))
        else:
            patch.setattr(backend, "peek", Interrupting(backend.peek, failure))
        with pytest.raises(seen):
            stream.run(SYMBOLS)
    assert stream.to_bytes() == untouched.to_bytes()
    assert np.array_equal(stepped(stream, "12"), stepped(untouched, "12"))


def test_the_prediction_is_the_answer_to_the_last_symbol_whatever_came_between(model):
    stream, other = model.stream(), model.stream()
    assert stream.prediction is None
    expected = stream.step("3").probabilities
    stream.peek("4")
    other.step("4")
    assert np.array_equal(stream.prediction.probabilities, expected)
    assert np.array_equal(stream.fork().prediction.probabilities, expected)
    stream.peek("2")
    assert np.array_equal(stream.prediction.probabilities, expected)
    stream.prediction.probabilities[:] = 0
    assert np.array_equal(stream.prediction.probabilities, expected)
    stream.state = stream.state
    assert stream.prediction is None
    stream.step("0")
    stream.reset()
    assert stream.prediction is None


def test_many_symbols_are_encoded_as_each_of_them_is():
    strict, lenient = Vocabulary(tuple("abc")), Vocabulary(tuple("abc"), unknown="c")
    assert strict.encode_all("cab").tolist() == strict.encode_all(iter("cab")).tolist() == [2, 0, 1]
    assert strict.encode_all([]).shape == (0,)
    assert lenient.encode_all(["a", "?", "b", ""]).tolist() == [0, 2, 1, 2]
    with pytest.raises(UnknownSymbolError, match=r"'\?' .* It is number 2 of 3"):
        strict.encode_all("a?b")
    with pytest.raises(UnknownSymbolError, match="Symbol 7 is not"):
        lenient.encode_all(["a", 7])
