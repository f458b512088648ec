"""Scores computed in lanes are those of stepping, or the lanes are repeated."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest
from support.models import DATA, path_of

from stepcell.runtime import BackendError, load
from stepcell.runtime.tasks.lanes import BURN_IN, FEWEST, LANES
from stepcell.runtime.tasks.score import score_ids

LENGTH = FEWEST + 1000  # so that the last lane is shorter than the others


@pytest.fixture(scope="module", params=["tflite", "onnx"])
def forgetful(request):
    """A model that forgets how a lane began."""
    return load(path_of("lstm", request.param))


@pytest.fixture(scope="module")
def latch():
    """A model with a state that symbol 2 sets for ever: -1 before, +1 after it."""
    return load(path_of("latch"))


def ids_of(symbols, length=LENGTH, seed=0):
    return np.random.default_rng(seed).integers(0, symbols, length).astype(np.int32)


def score_both(model, ids, prefix=""):
    """Score `ids` in lanes and symbol by symbol; return the streams and the scores."""
    cut, stepped = model.stream(), model.stream()
    for stream in (cut, stepped):
        stream.absorb(prefix)
    return cut, stepped, score_ids(cut, ids), score_ids(stepped, ids, in_lanes=False)


def same(stream, other, score, expected, bound):
    assert np.isnan(score.log_probabilities[0]) == np.isnan(expected.log_probabilities[0])
    assert np.nanmax(np.abs(score.log_probabilities - expected.log_probabilities)) <= bound
    assert (score.ranks != expected.ranks).mean() <= 1e-4
    assert stream.symbols_seen == other.symbols_seen
    assert all(np.abs(stream.state[name] - array).max() <= 1e-5 for name, array in other.state.items())
    assert np.abs(stream.prediction.probabilities - other.prediction.probabilities).max() <= 1e-5


@pytest.mark.parametrize("prefix", ["", "3456"])
def test_a_model_that_forgets_is_scored_in_lanes_with_a_certificate(forgetful, prefix):
    cut, stepped, score, expected = score_both(forgetful, ids_of(7), prefix)
    assert (score.lanes.count, score.lanes.redone) == (LANES, 0)
    assert score.lanes.mismatch <= 1e-6
    assert expected.lanes is None
    assert np.isnan(score.log_probabilities[0]) == (not prefix)
    same(cut, stepped, score, expected, 1e-5)
    assert np.array_equal(score.log_probabilities[:1], expected.log_probabilities[:1], equal_nan=True)


def test_a_model_that_remembers_is_stepped_symbol_by_symbol():
    ids = np.tile(np.array([3, 0, 1, 2], np.int32), LENGTH // 4)
    ids[0] = 4
    cut, stepped, score, expected = score_both(load(DATA / "memory.tflite", backend="litert"), ids)
    if score.lanes is None:
        assert np.array_equal(score.log_probabilities, expected.log_probabilities, equal_nan=True)
        assert cut.to_bytes() == stepped.to_bytes()
    else:
        same(cut, stepped, score, expected, 1e-4)


def test_a_memory_over_all_lanes_fails_the_first_trial_and_is_stepped_exactly(latch):
    ids = ids_of(2)
    ids[5] = 2
    cut, stepped, score, expected = score_both(latch, ids)
    assert score.lanes is None
    assert np.array_equal(score.log_probabilities, expected.log_probabilities, equal_nan=True)
    assert cut.to_bytes() == stepped.to_bytes()


@pytest.mark.parametrize("place", [40_000, LENGTH - 300])
def test_lanes_that_begin_with_a_wrong_state_are_redone(latch, place):
    ids = ids_of(2)
    ids[place] = 2  # long after the trial at the beginning
    ids[-2:] = 0, 1  # so that the last answer is not the one before it
    cut, stepped, score, expected = score_both(latch, ids)
    length = -(-LENGTH // LANES)
    after = LANES - 1 - place // length  # lanes behind that of the place
    knows = 1 if place % length >= length - BURN_IN and after else 0  # its burn-in has seen it
    assert score.lanes.redone == after - knows
    same(cut, stepped, score, expected, 1e-5)


def test_short_streams_and_models_with_more_outputs_are_stepped(forgetful):
    assert score_ids(forgetful.stream(), ids_of(7, FEWEST - 1)).lanes is None
    with_values = load(path_of("vectors")).stream()
    assert score_ids(with_values, ids_of(7), {"vector": np.zeros((LENGTH, 2, 3), np.float32)}).lanes is None


def test_a_failure_in_the_lanes_leaves_the_stream_where_it_was(forgetful, monkeypatch):
    stream, steps = forgetful.stream(), []
    stream.absorb("123")
    before = stream.to_bytes()
    with stream.pool.lend_batch(LANES) as batch:  # the one that the score will borrow
        pass
    compute = batch.compute

    def failing(ids):
        steps.append(ids)
        if len(steps) > 2 * BURN_IN:
            raise BackendError("no memory")
        compute(ids)

    monkeypatch.setattr(batch, "compute", failing)
    with pytest.raises(BackendError, match="no memory"):
        score_ids(stream, ids_of(7))
    assert len(steps) == 2 * BURN_IN + 1
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
    cut, stepped, score, _ = score_both(model, model.vocabulary.encode_all(text))
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
