"""Scores: the log-probability and rank of each symbol, against numpy in float64."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.keras_models import sharp_model, with_random_weights
from support.models import changed_memory
from support.sealed import write_model

from stepcell.export import build_step_function
from stepcell.export.parity.reference import run_numpy
from stepcell.runtime import NotFiniteError, ScoreSummary, TargetError, UnknownSymbolError, Vocabulary, load
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.tasks import score as score_module
from stepcell.runtime.tasks.distribution import log_probabilities_and_ranks as score_many
from stepcell.runtime.tasks.distribution import log_probability_and_rank as score_one
from stepcell.runtime.tasks.distribution import ranks_of

SYMBOLS = 7
IDS = np.random.default_rng(3).integers(0, SYMBOLS, 4000).astype(np.int32)
TEXT = [str(id) for id in IDS]


def sigmoid_model():
    layers = [
        keras.layers.Embedding(SYMBOLS, 5),
        keras.layers.GRU(9, return_sequences=True),
        keras.layers.Dense(SYMBOLS, activation="sigmoid"),
    ]
    return with_random_weights(keras.Sequential([keras.Input((None,), dtype="int32"), *layers]))


@pytest.fixture(scope="module", params=["softmax.tflite", "softmax.onnx", "sigmoid.onnx"])
def network(request, tmp_path_factory):
    """A model, and what float64 says of IDS: log-probabilities and ranks by the answer before."""
    output, _ = request.param.split(".")
    step_function = build_step_function(sharp_model("lstm", 1) if output == "softmax" else sigmoid_model())
    path = write_model(step_function, tmp_path_factory.mktemp("score") / request.param, output=output)
    (exact,) = run_numpy(step_function, Inputs(IDS), [initial_state(step_function.state)])
    answers = exact.probabilities[:-1]
    rows = np.arange(len(answers))
    chosen = answers[rows, IDS[1:]]
    shares = answers / answers.sum(axis=1, keepdims=True)
    margins = np.abs(np.delete(np.sort(answers, axis=1), 0, axis=1) - np.sort(answers, axis=1)[:, :-1]).min(axis=1)
    return load(path), np.log(shares[rows, IDS[1:]]), (answers > chosen[:, None]).sum(axis=1) + 1, margins


def test_log_probabilities_and_ranks_are_those_of_float64(network):
    model, exact, ranks, margins = network
    score = model.stream().score(TEXT)
    assert score.log_probabilities.dtype == np.float64
    assert score.log_probabilities.shape == score.ranks.shape == (len(TEXT),)
    assert np.abs(score.log_probabilities[1:] - exact).max() < 3e-4  # of log-probabilities down to -30
    assert np.array_equal(score.ranks[1:][margins > 1e-5], ranks[margins > 1e-5])
    assert (margins > 1e-5).sum() > 1000
    figures = score.summary
    assert figures.nats_per_symbol == pytest.approx(-exact.mean(), abs=1e-6)
    assert score.bits_per_symbol == pytest.approx(-exact.mean() / log(2), abs=1e-6)
    assert score.perplexity == pytest.approx(exp(-exact.mean()), rel=1e-6)
    assert np.array_equal(score.bits[1:], -score.log_probabilities[1:] / log(2))


def test_the_first_symbol_has_a_score_only_if_something_was_answered_before(network):
    model, exact, *_ = network
    fresh, stepped = model.stream(), model.stream()
    score = fresh.score(TEXT[:2])
    assert np.isnan(score.log_probabilities[0])
    assert score.ranks[0] == 0
    assert (score.summary.symbols, score.summary.scored) == (2, 1)
    stepped.step(TEXT[0])
    score = stepped.score(TEXT[1:3])
    assert score.log_probabilities == pytest.approx(exact[:2], abs=3e-4)
    assert score.summary.scored == 2
    fresh.state = fresh.state
    assert fresh.score(TEXT[:2]).ranks[0] == 0


@pytest.mark.parametrize("at_a_time", [1, SYMBOLS, 100 * SYMBOLS])
def test_how_much_is_scored_at_a_time_changes_nothing(network, at_a_time, monkeypatch):
    model, *_ = network
    whole, parts = model.stream(), model.stream()
    expected = whole.score(TEXT[:500])
    monkeypatch.setattr(score_module, "PROBABILITIES_AT_A_TIME", at_a_time)
    found = parts.score(TEXT[:500])
    assert np.array_equal(found.log_probabilities, expected.log_probabilities, equal_nan=True)
    assert np.array_equal(found.ranks, expected.ranks)
    assert np.array_equal(parts.prediction.probabilities, whole.prediction.probabilities)
    assert parts.symbols_seen == whole.symbols_seen == 500


def test_one_symbol_is_scored_as_many_are(network):
    model, *_ = network
    answers = model.stream().run(TEXT[:300])
    logarithms, ranks = score_many(answers, IDS[:300], model.file)
    each = [score_one(answer, id, model.file) for answer, id in zip(answers, IDS[:300].tolist(), strict=True)]
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


def test_figures_of_parts_add_up_to_those_of_the_whole(model):
    symbols = "3012340124" * 30
    stream = model.stream()
    parts = [stream.score(symbols[start : start + 70]).summary for start in range(0, 300, 70)]
    whole = model.stream().score(symbols).summary
    total = sum(parts, ScoreSummary())
    assert (total.symbols, total.scored, total.top_1, total.top_5) == (300, 299, whole.top_1, whole.top_5)
    assert total.nats == pytest.approx(whole.nats, abs=1e-9)
    assert total.top_5 == 299 > total.top_1


def test_scoring_nothing_gives_no_figures_and_moves_nothing(model):
    stream = model.stream()
    assert stream.score([]).summary.to_json() == {
        "symbols": 0, "scored": 0, "nats_per_symbol": None, "bits_per_symbol": None, "perplexity": None,
        "top_1": None, "top_5": None,
    }  # fmt: skip
    assert stream.symbols_seen == 0


def test_a_score_that_breaks_off_leaves_the_stream_where_it_was(model, monkeypatch):
    stream = model.stream()
    stream.absorb("40")
    before = stream.to_bytes()
    monkeypatch.setattr(score_module, "PROBABILITIES_AT_A_TIME", 50)
    with pytest.raises(UnknownSymbolError, match="number 31 of 31"):
        stream.score("0" * 30 + "9")
    real, calls = stream.run_ids, []

    def failing(ids):
        calls.append(ids)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(ids)

    monkeypatch.setattr(stream, "run_ids", failing)
    with pytest.raises(KeyboardInterrupt):
        stream.score("01" * 50)
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


def test_a_model_that_answers_with_labels_is_not_scored(tmp_path):
    labelled = load(changed_memory(tmp_path / "labels.onnx", labels=Vocabulary(tuple("abcde"))))
    stream = labelled.stream()
    with pytest.raises(TargetError, match=r"labels.onnx answers with labels \(5 symbols: 'a', .* Stream.step"):
        stream.score("3")
    assert stream.symbols_seen == 0


def test_a_long_stream_is_scored_without_holding_all_its_answers(model, monkeypatch):
    stream, lengths = model.stream(), []
    real = stream.run_ids
    monkeypatch.setattr(stream, "run_ids", lambda ids: (lengths.append(len(ids)), real(ids))[1])
    monkeypatch.setattr(score_module, "PROBABILITIES_AT_A_TIME", 1000)
    stream.score("3012340124" * 100)
    assert lengths == [200] * 5  # of 5 probabilities each


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
