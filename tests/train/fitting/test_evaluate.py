"""Evaluation by position, by target and in windows, with a warning where the state does not last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.keras_models import MEMORY

from stepcell.train import DivergedError, Network, Options, Score, Streams, fit, score_table
from stepcell.train.fitting.evaluate import Evaluator, windows
from stepcell.train.fitting.loop import LazyScores
from stepcell.train.fitting.predictions import Predictions, beside_carried


def test_answers_that_are_not_numbers_are_never_written(monkeypatch):
    monkeypatch.setattr(Evaluator, "score", lambda *_: Score(0.0, float("nan"), 1, 1))
    with pytest.raises(DivergedError, match="Lower the learning rate"):
        fit(MEMORY, Network(units=4), Options(max_updates=1))


def test_answers_are_counted_by_the_number_of_symbols_since_the_last_reset():
    inputs = np.zeros((6, 2), np.int32)
    resets = np.array([[0, 0], [0, 0], [0, 1], [1, 0], [0, 0], [0, 0]], bool)
    right = np.array([[1, 0], [1, 1], [0, 1], [1, 1], [1, 1], [0, 1]], bool)
    streams = Streams(inputs, inputs, np.ones(inputs.shape, "f4"), resets)
    answers = Predictions(streams, right, np.zeros(inputs.shape, "f4"), inputs)
    assert answers.positions().T.tolist() == [[1, 2, 3, 1, 2, 3], [1, 2, 1, 2, 3, 4]]
    rows = [(row["from"], row["answers"], row["accuracy"]) for row in answers.by_position()]
    assert rows == [(1, 4, 0.75), (2, 7, 5 / 7), (4, 1, 1.0)]


def test_a_confusion_table_counts_targets_by_rows():
    targets, named = np.array([[0], [1], [1], [2]]), np.array([[0], [1], [2], [2]])
    weights = np.array([[1], [1], [1], [0]], "f4")
    streams = Streams(targets, targets, weights, np.zeros((4, 1), bool))
    table = Predictions(streams, targets == named, weights, named).confusion(3)
    assert table.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_a_window_holds_the_symbols_before_its_answer_and_begins_from_nothing():
    inputs = np.arange(40, dtype=np.int32).reshape(20, 2)
    streams = Streams(inputs, inputs + 1, np.ones(inputs.shape, "f4"), np.zeros(inputs.shape, bool))
    drawn = windows(streams, 5, 30, seed=0)
    assert drawn.inputs.shape == (5, 30)
    assert (np.diff(drawn.inputs, axis=0) == 2).all()  # one lane, one step after the other
    assert (drawn.targets[-1] == drawn.inputs[-1] + 1).all()
    assert drawn.weights.sum(axis=0).tolist() == [1] * 30
    assert drawn.resets.sum(axis=0).tolist() == [1] * 30


def warning_of(fitted, **scores):
    return score_table(replace(fitted, scores=scores), 25)[2]


def test_a_state_that_does_not_last_is_warned_of_with_numbers(fitted_memory):
    carried = Score(0.5, 1.0, 4000, 4000)
    warning = warning_of(fitted_memory, carried=carried, per_sequence=Score(0.9, 1.0, 1000, 22))
    assert warning.startswith("Reset the state before each sequence")
    assert "the accuracy falls from 90.0 to 50.0 %" in warning
    windowed = Score(0.9, 1.0, 2000, 25, carried_accuracy=0.2, standard_error=0.01)
    warning = warning_of(fitted_memory, carried=carried, windowed=windowed)
    assert "90.0 % of 2,000 answers are right with only the last 25 symbols in view" in warning
    assert "20.0 % of the same with the state carried over 4,000" in warning
    windowed = replace(windowed, carried_accuracy=0.9)
    assert warning_of(fitted_memory, carried=carried, windowed=windowed) == ""


def test_no_warning_of_the_state_comes_from_other_answers_or_from_chance(fitted_memory):
    carried = Score(209 / 227, 1.0, 227, 227)
    for windowed in (
        Score(75 / 80, 1.0, 80, 25, carried_accuracy=75 / 80, standard_error=0.0),  # easier answers
        Score(75 / 80, 1.0, 80, 25, carried_accuracy=73 / 80, standard_error=0.02),
    ):
        assert warning_of(fitted_memory, carried=carried, windowed=windowed) == ""
    assert warning_of(fitted_memory, carried=carried, per_sequence=Score(75 / 80, 1.0, 80, 25)) == ""


def test_windows_and_the_carried_state_are_compared_on_the_same_answers():
    right, carried = np.array([True] * 75 + [False] * 5), np.array([True] * 70 + [False] * 10)
    ids = np.zeros((1, 80), np.int32)
    streams = Streams(ids, ids, np.ones(ids.shape, "f4"), np.ones(ids.shape, bool))
    score = beside_carried(Predictions(streams, right[None], np.zeros(ids.shape, "f4"), ids), carried)
    assert (score.accuracy, score.carried_accuracy) == (75 / 80, 70 / 80)
    assert score.standard_error == pytest.approx((5 / 80 * (1 - 5 / 80) / 80) ** 0.5)


def test_scores_are_made_when_they_are_read_and_only_once():
    seen = []

    def score(streams):
        seen.append(streams)
        return len(seen)

    scores = LazyScores(score, {"carried": "streams", "twice_the_lag": "longer streams"})
    assert list(scores) == ["carried", "twice_the_lag"]
    assert seen == []
    assert scores["carried"] == scores["carried"] == 1
    assert seen == ["streams"]
