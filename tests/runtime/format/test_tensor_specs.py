"""Features are checked before a step, and inputs of several steps can be cut."""

from __future__ import annotations

import numpy as np
import pytest

from stepcell.runtime import Feature, FeatureMismatchError
from stepcell.runtime.format.tensor_specs import Inputs, checked_features

SPEED, WIND, DAY = Feature("speed", (1,)), Feature("wind", (2,)), Feature("day", (), 7)


def checked(given, *features, steps=()):
    return checked_features(given, features, "a.tflite", steps)


def test_features_come_back_as_arrays_of_their_types_and_shapes():
    found = checked({"speed": 3, "wind": [1, 2], "day": 6}, SPEED, WIND, DAY)
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "speed": ("float32", (1,)), "wind": ("float32", (2,)), "day": ("int32", ()),
    }  # fmt: skip


def test_the_only_feature_needs_no_name():
    assert checked([1, 2], WIND)["wind"].tolist() == [1, 2]
    assert checked([1, 2, 3], SPEED, steps=(3,))["speed"].tolist() == [[1], [2], [3]]


def test_a_model_without_features_is_given_none():
    assert checked(None) == {}


@pytest.mark.parametrize(
    ("given", "features", "problem"),
    [
        (None, (SPEED,), "a.tflite reads speed .1. at each step: speed is missing. The state has not moved."),
        ({"speed": 1, "rain": 2}, (SPEED,), "there is no rain"),
        (3, (SPEED, DAY), "they are given without their names"),
        (3, (), "a.tflite reads no features at each step: they are given without their names"),
        ({"wind": [1, 2, 3]}, (WIND,), r"wind has the shape \(3,\), wanted is \(2,\)"),
        ({"wind": [1, float("nan")]}, (WIND,), "wind is not finite"),
        ({"wind": [1e39, 0]}, (WIND,), "wind is not finite"),
        ({"wind": ["a", 1]}, (WIND,), "wind cannot be read"),
        ({"day": 7}, (DAY,), "reads day .id of 7. at each step: day is not one of 0 to 6"),
        ({"day": -1}, (DAY,), "day is not one of 0 to 6"),
        ({"day": 2**32}, (DAY,), "day is not one of 0 to 6"),
        ({"day": 1.5}, (DAY,), "day cannot be read .an id is an integer, not float64."),
        ({"day": 9, "wind": 1}, (SPEED, WIND, DAY), "speed is missing; day is not one of 0 to 6; wind has the shape"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_features_that_do_not_fit_are_refused_with_every_problem(given, features, problem):
    with pytest.raises(FeatureMismatchError, match=problem):
        checked(given, *features)


def test_inputs_can_be_cut():
    inputs = Inputs(np.arange(5, dtype=np.int32), {"speed": np.arange(5.0)[:, None]})
    assert len(inputs) == 5
    assert inputs[1:3].ids.tolist() == [1, 2]
    assert inputs[1:3].features_at(0) == {"speed": [1.0]}
    assert Inputs(inputs.ids).features_at(0) is None
