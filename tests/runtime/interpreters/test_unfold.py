"""Tables of embeddings that were multiplied with the weights behind them, and their factors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import DATA, STANDARD, path_of

from stepcell.runtime import read_model_file
from stepcell.runtime.interpreters.step_plan.plan import plan_step
from stepcell.runtime.interpreters.step_plan.statements import Product, Row
from stepcell.runtime.interpreters.step_plan.unfold import factors_of, with_unfolded_tables
from stepcell.runtime.interpreters.step_plan.views import Memory, View


def folded(symbols, size, units, seed=0):
    """The table of an embedding of `size` numbers, kernel and bias of an LSTM, as an export folds it."""
    random = np.random.default_rng(seed)
    rows, kernel, bias = (random.normal(size=shape) for shape in ((symbols, size), (size, 4 * units), (4 * units,)))
    return (rows @ kernel + bias).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 60), st.integers(1, 20), st.integers(1, 16), st.integers(0, 99))
def test_a_table_is_taken_apart_if_and_only_if_its_factors_are_smaller(symbols, size, units, seed):
    table = folded(symbols, size, units, seed)
    found = factors_of(table)
    in_blocks = -(-table.shape[1] // 8) * 8
    smaller = size * (symbols + in_blocks) + table.shape[1] < table.size
    assert (found is not None) == smaller
    if found is not None:
        assert found.rows.shape[1] == size
        assert found.rows.size + found.weights.size + found.start.size < table.size
        assert np.abs(found.rows @ found.weights + found.start - table).max() < 3e-6 * np.abs(table).max()


def test_a_table_of_any_numbers_stays_one():
    assert factors_of(np.random.default_rng(0).normal(size=(100, 200)).astype(np.float32)) is None
    assert factors_of(np.full((1, 8), np.float32(2))) is None
    assert factors_of(np.array([[np.inf, 1], [2, 3]], np.float32)) is None


def test_a_row_becomes_a_smaller_row_and_a_product():
    table = folded(100, 16, 50).reshape(-1)
    place = View(Memory("int32", 1), 0, (1,), (1,))
    result = View(Memory("float32", 200), 0, (1, 200), (200, 1))
    row = Row(View(Memory("float32", table.size, table), 0, (100, 200), (200, 1)), place, result)
    looked_up, product = with_unfolded_tables([row])
    assert isinstance(looked_up, Row)
    assert isinstance(product, Product)
    assert (looked_up.table.shape, looked_up.id, product.weights.shape, product.result) == (
        (100, 16), place, (16, 200), result,
    )  # fmt: skip


@pytest.mark.parametrize("name", [*STANDARD, "memory"])
def test_no_plan_has_more_weights_than_its_file(name):
    path = DATA / "memory.tflite" if name == "memory" else path_of(name, "tflite")
    file = read_model_file(path)
    assert plan_step(file).memory_use().constants < len(file.payload)
