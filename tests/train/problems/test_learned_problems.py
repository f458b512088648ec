"""Problems are learned, and what was learned holds where it was not trained."""

from __future__ import annotations

import pytest
from support.keras_models import MEMORY
from support.problems import with_recipe

from stepcell.train import Echo, Memory, Network, Options, Reber, Recall, Text, fit

WORDS = "the quick brown fox jumps over the lazy dog and then the dog jumps over the fox. " * 40


@pytest.mark.parametrize("cell", ["rnn", *(pytest.param(cell, marks=pytest.mark.slow) for cell in ("lstm", "gru"))])
def test_the_memory_problem_is_solved_by_every_kind_of_cell(cell):
    fitted = fit(MEMORY, Network(cell, 20), Options(seed=1))
    assert fitted.stopped == "solved"
    assert fitted.scores["carried"].accuracy == fitted.scores["per_sequence"].accuracy == 1.0
    assert fitted.scores["reset"].accuracy < 0.95  # without memory one of the two endings is always wrong


@pytest.mark.slow
def test_a_larger_memory_problem_is_solved():
    fitted = fit(Memory.conflicting(sequences=5, length=10), Network(units=24), Options(seed=1))
    assert fitted.stopped == "solved"


@pytest.mark.slow
def test_sequences_of_different_lengths_and_any_symbols_are_learned():
    problem = Memory((("on", "a", "b", "a", "off"), ("off", "b", "on"), ("é", "a", "b", "é")))
    fitted = fit(problem, Network("gru", 20), Options(seed=1))
    assert fitted.stopped == "solved"


@pytest.mark.slow
def test_an_echo_is_learned_and_holds_on_streams_far_longer_than_training():
    problem = Echo(symbols=5, lag=2)
    fitted = fit(problem, Network("gru", 32), Options(seed=1))
    assert fitted.stopped == "solved"
    assert fitted.scores["carried"].steps >= 10 * problem.recipe.time_steps
    assert fitted.scores["carried"].accuracy >= 0.9999
    assert fitted.scores["reset"].accuracy < 0.5


@pytest.mark.slow
def test_a_text_is_learned_from_its_first_part_and_judged_on_its_last():
    fitted = fit(Text.of(WORDS), Network("gru", 24), Options(seed=1, max_updates=200))
    assert fitted.scores["carried"].nats < 1.0 < fitted.scores["reset"].nats


def test_the_shortest_text_allowed_can_be_trained():
    problem = with_recipe(Text.of(WORDS[:64]), xla=False)
    assert fit(problem, Network(units=4), Options(max_updates=2)).stopped == "updates"


def test_an_echo_is_judged_however_long_its_lag():
    streams = Echo(symbols=2, lag=1200).evaluations(0)["carried"]
    assert streams.weights.sum() > 0


@pytest.mark.slow
def test_the_reber_grammar_is_learned():
    assert fit(Reber(), Network(units=16), Options(seed=1)).stopped == "solved"


@pytest.mark.slow
def test_a_key_is_recalled_over_a_long_lag_and_over_twice_that():
    fitted = fit(Recall(lag=40, keys=4), Network(units=24), Options(seed=1))
    assert fitted.stopped == "solved"
    assert fitted.scores["twice_the_lag"].accuracy == 1.0
