"""Scores made in lanes are those of stepping, or the lanes are done again."""

from __future__ import annotations

from threading import Thread

import keras
import numpy as np
import pytest
from support.faults import break_batch
from support.keras_models import sharp_model
from support.models import DATA
from support.sealed import write_model

from stepcell.export import build_step_function
from stepcell.runtime import BackendError, load
from stepcell.runtime.tasks.lanes import FEWEST, LANES
from stepcell.runtime.tasks.score import score_ids

L = keras.layers
LENGTH = FEWEST + 1000  # so that the last lane is shorter than the others


@pytest.fixture(scope="module", params=["forgetful.tflite", "forgetful.onnx"])
def forgetful(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("lanes") / request.param
    return load(write_model(build_step_function(sharp_model("lstm", 1)), path))


def ids_of(symbols, length=LENGTH, seed=0):
    return np.random.default_rng(seed).integers(0, symbols, length).astype(np.int32)


def latch(path):
    """A state that symbol 2 sets for ever: -1 before, +1 after it."""
    embedding = L.Embedding(3, 1)
    recurrent = L.SimpleRNN(1, return_sequences=True)
    model = keras.Sequential([keras.Input((None,), dtype="int32"), embedding, recurrent, L.Dense(3, "softmax")])
    embedding.set_weights([np.array([[-1.0], [-1.5], [20.0]])])
    recurrent.set_weights([np.array([[1.0]]), np.array([[6.0]]), np.array([0.0])])
    model.layers[-1].set_weights([np.array([[2.0, -2.0, 0.5]]), np.zeros(3)])
    return load(write_model(build_step_function(model), path))


def same(stream, other, score, expected, bound):
    assert np.isnan(score.log_probabilities[0]) == np.isnan(expected.log_probabilities[0])
    assert np.nanmax(np.abs(score.log_probabilities - expected.log_probabilities)) <= bound
    assert (score.ranks != expected.ranks).mean() <= 1e-4
    assert stream.symbols_seen == other.symbols_seen
    assert all(np.abs(stream.state[name] - array).max() <= 1e-5 for name, array in other.state.items())
    assert np.abs(stream.prediction.probabilities - other.prediction.probabilities).max() <= 1e-5


def test_a_model_that_forgets_is_scored_in_lanes_with_a_certificate(forgetful):
    ids, cut, stepped = ids_of(7), forgetful.stream(), forgetful.stream()
    score, expected = score_ids(cut, ids), score_ids(stepped, ids, in_lanes=False)
    assert (score.lanes.count, score.lanes.redone) == (LANES, 0)
    assert score.lanes.mismatch <= 1e-6
    assert expected.lanes is None
    same(cut, stepped, score, expected, 1e-5)


def test_lanes_begin_where_the_stream_is(forgetful):
    ids, cut, stepped = ids_of(7), forgetful.stream(), forgetful.stream()
    for stream in (cut, stepped):
        stream.absorb("3456")
    score, expected = score_ids(cut, ids), score_ids(stepped, ids, in_lanes=False)
    assert score.lanes is not None
    assert not np.isnan(score.log_probabilities[0])
    same(cut, stepped, score, expected, 1e-5)
    assert np.array_equal(score.log_probabilities[:1], expected.log_probabilities[:1])


def test_a_model_that_remembers_is_stepped_symbol_by_symbol():
    model = load(DATA / "memory.tflite", backend="litert")
    ids = np.tile(np.array([3, 0, 1, 2], np.int32), LENGTH // 4)
    ids[0] = 4
    cut, stepped = model.stream(), model.stream()
    score, expected = score_ids(cut, ids), score_ids(stepped, ids, in_lanes=False)
    if score.lanes is None:
        assert np.array_equal(score.log_probabilities, expected.log_probabilities, equal_nan=True)
        assert cut.to_bytes() == stepped.to_bytes()
    else:
        same(cut, stepped, score, expected, 1e-4)


def test_a_memory_over_all_lanes_fails_the_first_trial_and_is_stepped_exactly(tmp_path):
    model = latch(tmp_path / "latch.tflite")
    ids = ids_of(2)
    ids[5] = 2
    cut, stepped = model.stream(), model.stream()
    score, expected = score_ids(cut, ids), score_ids(stepped, ids, in_lanes=False)
    assert score.lanes is None
    assert np.array_equal(score.log_probabilities, expected.log_probabilities, equal_nan=True)
    assert cut.to_bytes() == stepped.to_bytes()


@pytest.mark.parametrize("place", [40_000, LENGTH - 300])
def test_lanes_that_begin_with_a_wrong_state_are_redone(tmp_path, place):
    model = latch(tmp_path / "latch.tflite")
    ids = ids_of(2)
    ids[place] = 2  # long after the trial at the beginning
    ids[-2:] = 0, 1  # so that the last answer is not the one before it
    cut, stepped = model.stream(), model.stream()
    score, expected = score_ids(cut, ids), score_ids(stepped, ids, in_lanes=False)
    length = -(-LENGTH // LANES)
    after = LANES - 1 - place // length  # lanes behind that of the place
    knows = 1 if place % length >= length - 128 and after else 0  # its burn-in has seen it
    assert score.lanes.redone == after - knows
    same(cut, stepped, score, expected, 1e-5)


def test_short_streams_and_models_with_more_outputs_are_stepped(forgetful):
    assert score_ids(forgetful.stream(), ids_of(7, FEWEST - 1)).lanes is None
    assert score_ids(forgetful.stream(), ids_of(7), in_lanes=False).lanes is None


def test_a_failure_in_the_lanes_leaves_the_stream_where_it_was(forgetful, monkeypatch):
    stream = forgetful.stream()
    stream.absorb("123")
    before = stream.to_bytes()
    with stream.pool.lend_batch(LANES) as batch:  # the one that the score will borrow
        pass
    calls = break_batch(monkeypatch, batch)
    with pytest.raises(BackendError, match="no memory"):
        score_ids(stream, ids_of(7))
    assert calls
    assert stream.to_bytes() == before


def valid_text(length, seed):
    """The two sequences of the memory problem in random order, one behind the other."""
    choices = np.random.default_rng(seed).integers(0, 2, length // 5)
    return "".join(("30123", "40124")[choice] for choice in choices)


def test_a_lane_in_the_middle_that_is_redone_leaves_the_last_answer_to_the_last_lane():
    model = load(DATA / "memory.tflite")
    text = valid_text(70_000, 1)
    border = 30 * -(-len(text) // LANES)
    text = text[: border - 400] + "2" * 600 + text[border + 200 :]
    text = text[: len(text) - 3]  # not where the redone lane ends
    cut, stepped = model.stream(), model.stream()
    score = cut.score(text)
    stepped.score(text, in_lanes=False)
    assert 0 < score.lanes.redone < 5
    assert np.abs(cut.prediction.probabilities - stepped.prediction.probabilities).max() <= 1e-4


def test_threads_that_score_streams_of_one_model_do_not_disturb_each_other(forgetful):
    texts = [ids_of(7, seed=seed) for seed in range(3)]
    alone = [score_ids(forgetful.stream(), ids) for ids in texts]
    found = [None] * len(texts)

    def work(number):
        found[number] = score_ids(forgetful.stream(), texts[number])

    threads = [Thread(target=work, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, alone, strict=True):
        assert np.array_equal(one.log_probabilities, other.log_probabilities, equal_nan=True)
        assert one.lanes == other.lanes
