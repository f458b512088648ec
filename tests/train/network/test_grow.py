"""Rows for new symbols leave the answers to known symbols as they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stepcell.train.network.grow import NEW_SHARE, grow_inputs, grow_outputs


def probabilities(hidden, kernel, bias):
    logits = hidden.astype(np.float64) @ kernel + bias
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


@given(st.integers(0, 99), st.integers(2, 9), st.integers(1, 6), st.booleans())
def test_the_probabilities_of_known_outputs_stay(seed, known, added, has_unknown):
    random = np.random.default_rng(seed)
    kernel = random.normal(size=(5, known)).astype(np.float32) * 3
    bias = random.normal(size=known).astype(np.float32)
    hidden = random.uniform(-1, 1, (20, 5)).astype(np.float32)
    before, after = (
        probabilities(hidden, *each)
        for each in ((kernel, bias), grow_outputs(kernel, bias, added, 1 if has_unknown else None))
    )
    assert after.shape == (20, known + added)
    if has_unknown:
        others = [id for id in range(known) if id != 1]
        np.testing.assert_allclose(after[:, others], before[:, others], rtol=1e-5)
        np.testing.assert_allclose(after[:, [1, *range(known, known + added)]].sum(axis=1), before[:, 1], rtol=1e-5)
    else:
        np.testing.assert_allclose(after[:, :known], before, rtol=2 * NEW_SHARE)
        assert (after[:, known:].sum(axis=1) < NEW_SHARE).all()


def test_a_new_symbol_is_read_as_the_unknown_one():
    random = np.random.default_rng(0)
    kernel, rest = random.normal(size=(6, 8)).astype(np.float32), np.ones(3, np.float32)  # 4 symbols, 2 features
    table, grown, same = grow_inputs([np.eye(4, dtype=np.float32), kernel, rest], 2, 3, one_hot=True)
    assert np.array_equal(table, np.eye(6))
    assert np.array_equal(grown, kernel[[0, 1, 2, 3, 3, 3, 4, 5]])
    assert same is rest
    learned = random.normal(size=(4, 3)).astype(np.float32)
    table, untouched = grow_inputs([learned, kernel], 1, None, one_hot=False)
    assert np.allclose(table, [*learned, learned.mean(axis=0)])
    assert untouched is kernel
