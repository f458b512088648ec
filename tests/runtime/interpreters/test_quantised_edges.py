"""Numbers of quantised inputs and outputs, and integers of states, at the edge of an adopted graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime import Feature, Manifest, StateTensor, Vocabulary
from stepcell.runtime.common.errors import BackendError
from stepcell.runtime.format.io_mapping import Constant, IOMapping, TensorSpec
from stepcell.runtime.interpreters.mapped_backend import MappedBackend, from_tensor, to_tensor

SCALES = st.floats(2**-12, 8, width=32)


@given(st.sampled_from(["int8", "uint8", "int16"]), SCALES, st.integers(-60, 60), st.data())
def test_every_integer_comes_back(dtype, scale, zero_point, data):
    limits = np.iinfo(dtype)
    port = TensorSpec("x", dtype, (1, 3), scale, zero_point)
    integers = np.array([[data.draw(st.integers(limits.min, limits.max)) for _ in range(3)]], dtype)
    assert np.array_equal(to_tensor(from_tensor(integers, port), port), integers)


@pytest.mark.parametrize(
    ("number", "integer"), [(0.25, 1), (0.24, 0), (-0.25, -1), (-0.24, 0), (0.75, 2), (1e30, 127), (-1e30, -128)]
)
def test_numbers_are_rounded_to_the_nearest_integer_and_limited(number, integer):
    assert to_tensor(np.array([number], np.float32), TensorSpec("x", "int8", (1,), 0.5)).tolist() == [integer]


def test_other_integers_take_numbers_as_they_are():
    assert to_tensor(np.array([2.0]), TensorSpec("x", "int64", (1, 1))).tolist() == [[2]]
    assert to_tensor(np.array([2.0, 0.0]), TensorSpec("x", "bool", (2,))).tolist() == [True, False]


def backend(run, target):
    """A backend of a graph with one int8 state of scale 1, whose next value is `target`."""
    source = TensorSpec("s", "int8", (1, 2), 1.0, -10)
    mapping = IOMapping(
        "", None, TensorSpec("y", "uint8", (1, 1), 0.5, 3), False, {"s": (source, target)},
        {"x": TensorSpec("x", "float32", (1, 2))}, {}, (Constant(TensorSpec("k", "int32", (2,)), (5.0, 6.0)),),
    )  # fmt: skip
    manifest = Manifest(
        "m", Vocabulary.none(), (StateTensor("s", (2,), -10.0, dtype="int8"),), (), "linear", Vocabulary.of_ids(1),
        io_mapping=mapping, features=(Feature("x", (2,)),),
    )  # fmt: skip
    return MappedBackend(run, manifest)


def test_a_next_state_of_another_scale_is_brought_to_that_of_the_input():
    fed = []

    def run(inputs):
        fed.append({name: array.copy() for name, array in inputs.items()})
        return {"y": np.array([[7]], np.uint8), "t": np.array([[4, -4]], np.int8)}

    one = backend(run, TensorSpec("t", "int8", (1, 2), 0.5, 0))
    one.write_features({"x": np.array([1.5, -2.0], np.float32)})
    one.step(0)
    assert one.answer().tolist() == [2.0]
    assert one.read_state()["s"].tolist() == [[-8.0, -12.0]]  # 2 and -2 in units of the input
    one.step(0)
    assert fed[0]["s"].tolist() == [[-10, -10]]
    assert fed[1]["s"].tolist() == [[-8, -12]]
    assert fed[1]["s"].dtype == np.int8
    assert fed[1]["k"].tolist() == [5, 6]
    assert fed[1]["x"].tolist() == [[1.5, -2.0]]


def test_a_step_that_leaves_the_integers_of_float32_does_not_move_the_state():
    source = TensorSpec("s", "int64", (1,))
    mapping = IOMapping("", None, TensorSpec("y", "float32", (1,)), False, {"s": (source, source)}, {}, {}, ())
    manifest = Manifest(
        "m", Vocabulary.none(), (StateTensor("s", (1,), 2.0**24, dtype="int64"),), (), "linear", Vocabulary.of_ids(1),
        io_mapping=mapping,
    )  # fmt: skip
    one = MappedBackend(lambda fed: {"y": np.zeros(1, np.float32), "s": fed["s"] + 1}, manifest)
    with pytest.raises(BackendError, match="beyond 16,777,216"):
        one.step(0)
    assert one.read_state()["s"].tolist() == [[2.0**24]]
