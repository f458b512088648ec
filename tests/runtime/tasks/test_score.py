"""Scores: the log-probability and rank of each symbol, against numpy in float64."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import answers_of, path_of

from stepcell.runtime import NotFiniteError, ScoreSummary, TargetError, UnknownSymbolError, load
from stepcell.runtime.tasks.distribution import log_probabilities_and_ranks as score_many
from stepcell.runtime.tasks.distribution import log_probability_and_rank as score_one
from stepcell.runtime.tasks.distribution import ranks_of
from stepcell.runtime.tasks.score import PROBABILITIES_AT_A_TIME


@pytest.fixture(scope="module", params=["lstm.tflite", "lstm.onnx", "sigmoid.onnx"])
def network(request):
    """A model and the name that its answers have."""
    name, format = request.param.split(".")
    return load(path_of(name, format)), name


def text_of(name, count=2000):
    return [str(id) for id in answers_of(name).ids[:count].tolist()]


def test_log_probabilities_and_ranks_are_those_of_float64(network):
    model, name = network
    answers, score = answers_of(name), model.stream().score(text_of(name))
    kept = answers.kept[answers.kept < len(answers.ids) - 1]
    exact, following = answers.main[: len(kept)], answers.ids[kept + 1]
    chosen = exact[np.arange(len(kept)), following]
    expected = np.log(chosen / exact.sum(axis=1))
    ordered = np.sort(exact, axis=1)
    clear = (ordered[:, 1:] - ordered[:, :-1]).min(axis=1) > 1e-5
    assert score.log_probabilities.dtype == np.float64
    assert score.log_probabilities.shape == score.ranks.shape == answers.ids.shape
    assert np.abs(score.log_probabilities[kept + 1] - expected).max() < 3e-4  # of log-probabilities down to -30
    assert np.array_equal(score.ranks[kept + 1][clear], (exact > chosen[:, None]).sum(axis=1)[clear] + 1)
    assert clear.sum() > 20


def test_a_summary_has_the_means_of_what_was_scored(network):
    model, name = network
    score = model.stream().score(text_of(name, 500))
    nats = -score.log_probabilities[1:].mean()
    assert score.summary.nats_per_symbol == pytest.approx(nats)
    assert score.bits_per_symbol == pytest.approx(nats / log(2))
    assert score.perplexity == pytest.approx(exp(nats))
    assert np.array_equal(score.bits[1:], -score.log_probabilities[1:] / log(2))
    assert (score.summary.symbols, score.summary.scored) == (500, 499)
    assert score.summary.top_5 == (score.ranks[1:] <= 5).sum() > score.summary.top_1 == (score.ranks == 1).sum()
    assert repr(score) == f"Score(500 symbols, {score.bits_per_symbol:.4f} bits per symbol)"


def test_the_first_symbol_has_a_score_only_if_something_was_answered_before(network):
    model, name = network
    text = text_of(name, 3)
    fresh, stepped = model.stream(), model.stream()
    score = fresh.score(text[:2])
    assert np.isnan(score.log_probabilities[0])
    assert score.ranks[0] == 0
    stepped.step(text[0])
    later = stepped.score(text[1:])
    assert later.log_probabilities[0] == score.log_probabilities[1]
    assert later.summary.scored == 2
    fresh.state = fresh.state
    assert fresh.score(text[:2]).ranks[0] == 0


@given(st.lists(st.integers(0, 150), max_size=4))
@settings(max_examples=20, deadline=None)
def test_scoring_in_parts_gives_what_scoring_at_once_gives(memory, sizes):
    symbols = "3012340124" * 15
    whole, parts = memory.stream(), memory.stream()
    expected = whole.score(symbols)
    borders = [0, *sorted(sizes), 150]
    found = [parts.score(symbols[start:end]) for start, end in pairwise(borders)]
    np.testing.assert_array_equal(np.concatenate([one.log_probabilities for one in found]), expected.log_probabilities)
    np.testing.assert_array_equal(np.concatenate([one.ranks for one in found]), expected.ranks)
    assert parts.to_bytes() == whole.to_bytes()
    total, summary = sum((one.summary for one in found), ScoreSummary()), expected.summary
    assert replace(total, nats=0) == replace(summary, nats=0)
    assert total.nats == pytest.approx(summary.nats, abs=1e-9)


def test_one_symbol_is_scored_as_many_are(network):
    model, name = network
    answers, ids = model.stream().run(text_of(name, 300)), answers_of(name).ids[:300]
    logarithms, ranks = score_many(answers, ids, model.file)
    each = [score_one(answer, id, model.file) for answer, id in zip(answers, ids.tolist(), strict=True)]
    assert [rank for _, rank in each] == ranks.tolist()
    assert [logarithm for logarithm, _ in each] == pytest.approx(logarithms.tolist(), abs=1e-12)


def test_equally_likely_symbols_rank_as_top_lists_them(model):
    answers = np.array([[0.2, 0.4, 0.2, 0.0, 0.2], [0.2] * 5, [0, 0, 1, 0, 0]], np.float32)
    for answer in answers:
        prediction = model.stream().step("3")
        prediction.probabilities[:] = answer
        order = [symbol for symbol, _ in prediction.top(5)]
        for id in range(5):
            rank = order.index(str(id)) + 1
            assert score_one(answer, id, model.file)[1] == rank
            assert score_many(answer[None], np.array([id], np.int32), model.file)[1].tolist() == [rank]


def test_a_probability_of_zero_counts_as_the_least_that_float32_holds(model):
    answer = np.array([0, 1, 0, 0, 1e-40], np.float32)
    for id, bits in ((0, 126), (1, 0), (4, 126)):
        assert -score_one(answer, id, model.file)[0] / log(2) == pytest.approx(bits)
        assert -score_many(answer[None], np.array([id]), model.file)[0][0] / log(2) == pytest.approx(bits)


def test_scoring_nothing_gives_no_means_and_moves_nothing(model):
    stream = model.stream()
    assert stream.score([]).summary.to_json() == {
        "symbols": 0, "scored": 0, "nats_per_symbol": None, "bits_per_symbol": None, "perplexity": None,
        "top_1": None, "top_5": None,
    }  # fmt: skip
    assert stream.symbols_seen == 0


def test_an_unknown_symbol_is_refused_before_the_first_is_fed(model):
    stream = model.stream()
    with pytest.raises(UnknownSymbolError, match="number 31 of 31"):
        stream.score("0" * 30 + "9")
    assert stream.symbols_seen == 0


def test_a_long_stream_is_fed_in_blocks_and_goes_back_to_its_beginning_if_one_fails(memory, monkeypatch):
    stream, lengths = memory.stream(), []
    run_ids = stream.run_ids
    stream.absorb("40")
    before = stream.to_bytes()
    block = PROBABILITIES_AT_A_TIME // 5
    symbols = "3012340124" * (block // 4)

    def interrupted(ids):
        lengths.append(len(ids))
        if len(lengths) == 3:
            raise KeyboardInterrupt
        return run_ids(ids)

    monkeypatch.setattr(stream, "run_ids", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stream.score(symbols, in_lanes=False)
    assert lengths == [block, block, len(symbols) - 2 * block]
    assert stream.to_bytes() == before


def test_an_answer_that_is_no_distribution_is_refused_and_the_stream_stays(model, monkeypatch):
    stream = model.stream()
    stream.step("3")
    before = stream.to_bytes()
    for spoilt in (np.nan, np.inf, 0):
        with monkeypatch.context() as patch:
            patch.setattr(stream, "run_ids", lambda ids, spoilt=spoilt: np.full((len(ids), 5), spoilt, np.float32))
            with pytest.raises(NotFiniteError, match=r"memory\.\w+ answered with .* no distribution \(their sum is"):
                stream.score("0123")
        with pytest.raises(NotFiniteError):
            score_one(np.full(5, spoilt, np.float32), 1, model.file)
    assert stream.to_bytes() == before


def test_a_model_that_answers_with_labels_is_not_scored():
    stream = load(path_of("labelled", "onnx")).stream()
    with pytest.raises(TargetError, match=r"labelled.onnx answers with labels \(3 symbols: 'low', .* Stream.step"):
        stream.score("a")
    assert stream.symbols_seen == 0


@given(st.integers(0, 2**31), st.integers(2, 12), st.sampled_from(["f4", "f8"]))
@settings(max_examples=60, deadline=None)
def test_ranks_are_places_in_the_order_of_likelihood_for_any_number_of_symbols(seed, size, dtype):
    random = np.random.default_rng(seed)
    answers = random.integers(0, 5, (30, size)).astype(dtype) / 5  # many are equal
    ids = random.integers(0, size, 30).astype(np.int32)
    orders = np.argsort(-answers, axis=1, kind="stable")
    expected = [order.tolist().index(id) + 1 for order, id in zip(orders, ids.tolist(), strict=True)]
    assert ranks_of(answers, ids).tolist() == expected


def test_every_number_of_a_graph_that_others_made_is_looked_at(model):
    answers = np.array([[np.nan, 0.5, 0.5, 0, 0]], np.float32)
    adopted = replace(model.file, manifest=replace(model.file.manifest, io_mapping="theirs"))
    with pytest.raises(NotFiniteError, match="no distribution"):
        score_many(answers, np.array([1], np.int32), adopted)
