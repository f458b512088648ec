"""Tasks over a model that does not answer at each step count the steps that do."""

import numpy as np
import pytest
from support.models import answering, changed_memory, path_of

from stepcell.runtime import OptionError, TargetError, Watch, calibrate, load
from stepcell.runtime.format.tensor_specs import AnswerTimes
from stepcell.runtime.tasks.next_event import next_events_of

SYMBOLS = "0123401234210432104321" * 3


@pytest.fixture
def plain():
    return load(path_of("memory"), backend="numpy")


@pytest.fixture
def sparse(tmp_path):
    return load(answering(tmp_path / "sparse.tflite", 3, 2), backend="numpy")


@pytest.fixture
def late(tmp_path):
    return load(answering(tmp_path / "late.tflite", 4, 1), backend="numpy")


def test_a_score_is_that_of_the_symbols_after_an_answer(plain, sparse):
    whole, found = plain.stream().score(SYMBOLS), sparse.stream().score(SYMBOLS)
    # A symbol has a probability if the step before it, of the same number as its index, has answered.
    known = AnswerTimes(3, 2).which_answer(np.arange(len(SYMBOLS)))
    np.testing.assert_array_equal(found.log_probabilities[known], whole.log_probabilities[known])
    np.testing.assert_array_equal(found.ranks[known], whole.ranks[known])
    assert np.isnan(found.log_probabilities[~known]).all()
    assert not found.ranks[~known].any()
    assert (found.summary.symbols, found.summary.scored) == (len(SYMBOLS), known.sum())


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 10, 11])
def test_scoring_in_parts_gives_the_same(sparse, cut):
    whole, stream = sparse.stream().score(SYMBOLS), sparse.stream()
    parts = [stream.score(SYMBOLS[:cut]), stream.score(SYMBOLS[cut:])]
    np.testing.assert_array_equal(np.concatenate([part.ranks for part in parts]), whole.ranks)


def test_a_watched_stream_is_surprised_by_symbols_after_an_answer(sparse):
    watch, score = Watch(sparse.stream()), sparse.stream().score(SYMBOLS)
    found = [watch.step(symbol) for symbol in SYMBOLS]
    np.testing.assert_allclose([one.bits for one in found], score.bits, atol=1e-6)
    assert [one.prediction is None for one in found[:5]] == [True, True, False, True, False]


def test_a_threshold_counts_the_symbols_after_an_answer(sparse):
    threshold = calibrate(sparse, [SYMBOLS[:20], SYMBOLS[20:40], SYMBOLS[:2]], 0.4)
    assert (threshold.symbols, threshold.sequences) == (18, 2)


def test_a_late_model_generates_after_a_prompt_that_is_long_enough(plain, late):
    prompt = "01234"
    expected = list(plain.stream().generate(8, prompt=prompt, greedy=True))
    assert list(late.stream().generate(8, prompt=prompt, greedy=True)) == expected
    stream = late.stream()
    stream.absorb("01")
    with pytest.raises(OptionError, match="give it a prompt of 2 symbols or more"):
        stream.generate(3, prompt="2")
    assert stream.symbols_seen == 2
    with pytest.raises(OptionError, match="give it a prompt of 2 symbols or more"):
        stream.beam(3, 2)
    assert "".join(stream.generate(3, prompt="23", greedy=True)) == "".join(
        plain.stream().generate(3, prompt="0123", greedy=True)
    )


def test_a_model_that_leaves_steps_out_generates_nothing(sparse):
    stream = sparse.stream()
    for generate in (lambda: stream.generate(3, prompt=SYMBOLS), lambda: stream.beam(3, 2, prompt=SYMBOLS)):
        with pytest.raises(TargetError, match="at every 2nd step, first at step 3, so nothing can be fed back"):
            generate()
    assert stream.symbols_seen == 0


def test_next_events_are_not_told_by_a_model_that_leaves_steps_out(tmp_path):
    data = {"kind": "events", "gaps": "1min"}
    changes = {"training": {"data": data}, "vocabulary": load(path_of("memory")).vocabulary}
    for times, is_told in ((AnswerTimes(3, 2), False), (AnswerTimes(3, 1), True)):
        manifest = load(changed_memory(tmp_path / "one.tflite", answers=times, **changes), backend="numpy").manifest
        assert is_told or next_events_of(manifest) is None
