"""Sequences side by side have the scores that each has alone."""

from __future__ import annotations

import numpy as np
import pytest
from support.models import answering, path_of

from stepcell.runtime import load
from stepcell.runtime.format.tensor_specs import Inputs
from stepcell.runtime.tasks.score import score_ids
from stepcell.runtime.tasks.score_sequences import SequenceScorer


def sequences_of(model, lengths, seed=1):
    random = np.random.default_rng(seed)
    found = []
    for length in lengths:
        features = {
            feature.name: random.integers(0, feature.ids, (length, *feature.shape)).astype(feature.dtype)
            if feature.ids
            else random.normal(size=(length, *feature.shape)).astype(np.float32)
            for feature in model.manifest.features
        }
        found.append(Inputs(random.integers(0, len(model.vocabulary), length).astype(np.int32), features))
    return found


def assert_as_alone(model, sequences):
    logarithms, ranks = SequenceScorer(model).score(sequences)
    stream, expected = model.stream(), []
    for each in sequences:
        stream.reset()
        expected.append(score_ids(stream, each.ids, each.features, in_lanes=False))
    np.testing.assert_allclose(logarithms, np.concatenate([one.log_probabilities for one in expected]), atol=1e-5)
    wanted = np.concatenate([one.ranks for one in expected])
    assert (ranks != wanted).mean() < 1e-3  # near-ties


@pytest.mark.parametrize(
    ("name", "backend"), [("memory", "numpy"), ("gru", None), ("vectors", None), ("sigmoid", None)]
)
def test_scores_are_those_of_each_sequence_alone(name, backend):
    model = load(path_of(name), backend=backend)
    assert_as_alone(model, sequences_of(model, [*range(9, 30), 1, 2, *[20] * 60]))


def test_few_or_uneven_sequences_are_stepped_alone_and_none_is_nothing():
    model = load(path_of("memory"))
    assert_as_alone(model, sequences_of(model, [5, 6]))
    assert_as_alone(model, sequences_of(model, [400, *[3] * 20]))
    assert [len(each) for each in SequenceScorer(model).score([])] == [0, 0]


def test_steps_without_an_answer_have_no_score(tmp_path):
    model = load(answering(tmp_path / "sparse.tflite", 3, 2), backend="numpy")
    assert_as_alone(model, sequences_of(model, [*range(2, 14)]))


def test_a_lane_that_has_ended_does_no_harm_to_the_others():
    model = load(path_of("growing_softmax"))  # infinite after 128 steps
    assert_as_alone(model, sequences_of(model, [*[126] * 4, *[70] * 10]))
