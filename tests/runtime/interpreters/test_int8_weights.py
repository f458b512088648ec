"""Weights of 8 bits, and the sums that they allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.models import path_of

from stepcell.runtime import read_model_file
from stepcell.runtime.interpreters.numpy_engine import CalculationError
from stepcell.runtime.interpreters.step_plan.int8 import (
    MOST_LEVELS,
    Int8Product,
    Int8Row,
    Int8Weights,
    to_int8,
    with_int8_weights,
)
from stepcell.runtime.interpreters.step_plan.plan import plan_step
from stepcell.runtime.interpreters.step_plan.statements import Product
from stepcell.runtime.interpreters.step_plan.views import Memory, View

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 6))
FINITE = st.floats(-100, 100, width=32)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, SHAPES, elements=FINITE))
def test_a_weight_moves_by_half_a_step_of_its_column_at_most(weights):
    found = to_int8(weights)
    assert (np.abs(found.real - weights) <= found.scales * 0.5001 + 1e-30).all()
    assert found.numbers.dtype == np.int8


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.int8, SHAPES, elements=st.integers(-127, 127)),
    st.floats(2**-13, 8, width=32),
)
def test_weights_that_were_int8_keep_their_values(numbers, scale):
    weights = (numbers * np.float32(scale)).astype(np.float32)
    assert np.abs(to_int8(weights).real - weights).max() <= 1e-4 * scale


def test_the_weights_of_an_int8_file_are_those_that_are_printed():
    file = read_model_file(path_of("lstm40.int8", "tflite"))
    plain, small = (
        [each for each in plan_step(file, int8=int8).statements if isinstance(each, Product)] for int8 in (False, True)
    )
    largest = max(plain, key=lambda each: each.weights.size)
    printed = small[plain.index(largest)]
    assert largest.weights.size >= 1024  # of those that the file has in 8 bits
    assert isinstance(printed, Int8Product)
    assert np.abs(printed.weights * printed.scales - largest.weights).max() < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.int8, st.tuples(st.integers(1, 3000), st.integers(1, 3)), elements=st.integers(-128, 127),
               fill=st.sampled_from([-128, 0, 127])),
)  # fmt: skip
def test_no_sum_is_beyond_32_bits_whatever_is_multiplied(numbers):
    weights = Int8Weights(numbers, np.ones(numbers.shape[1], np.float32))
    worst = weights.levels * np.abs(numbers.astype(np.int64)).sum(axis=0)
    assert worst.max() < 2**31
    assert weights.levels <= MOST_LEVELS


def test_products_of_few_numbers_have_all_16_bits_and_those_of_many_less():
    few, many = (Int8Weights(np.full((rows, 1), 127, np.int8), np.ones(1, np.float32)) for rows in (516, 2000))
    assert (few.levels, many.levels) == (MOST_LEVELS, 8454)


def test_a_product_of_too_many_numbers_is_refused_with_its_size():
    x, y = (View(Memory("float32", size), 0, (1, size), (size, 1)) for size in (9000, 1))
    with pytest.raises(CalculationError, match="9,000 x 1 int8 weights adds so many numbers that only 1,878"):
        with_int8_weights([Product(x, np.ones((9000, 1), np.float32), y)])


def test_products_and_tables_of_a_step_take_a_quarter_of_the_memory():
    file = read_model_file(path_of("memory", "tflite"))
    plan = plan_step(file, int8=True)
    assert not [each for each in plan.statements if type(each) is Product]
    assert len([each for each in plan.statements if isinstance(each, Int8Row)]) == 1
    assert plan_step(file).memory_use().constants == 4 * (5 * 80 + 20 * 80 + 20 * 8 + 5)  # 5 columns are filled up to 8
    weights, scales, bias = 20 * 80 + 20 * 8 + 5 * 80, 4 * (80 + 5 + 80), 4 * 5
    assert plan.memory_use().constants == weights + scales + bias
    assert plan.memory_use().work == 320 + 2 * 20  # what is multiplied, in 16 bits
