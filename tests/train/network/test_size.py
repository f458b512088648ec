"""The largest network within a number of parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import ProblemError
from stepcell.train import Network
from stepcell.train.network.size import count_parameters, largest_within


@given(
    limit=st.integers(600, 200_000), cell=st.sampled_from(["lstm", "gru", "rnn"]), layers=st.integers(1, 3),
    embedding=st.sampled_from([0, 4]), learned=st.booleans(),
)  # fmt: skip
def test_one_unit_more_would_be_too_many(limit, cell, layers, embedding, learned):
    found = largest_within(limit, Network(cell, 64, layers, embedding), 12, 12, learn_initial_state=learned)
    more = Network(cell, found.units + 1, layers, embedding)
    assert count_parameters(found, 12, 12, learn_initial_state=learned) <= limit
    assert count_parameters(more, 12, 12, learn_initial_state=learned) > limit


def test_a_limit_that_no_network_keeps_is_refused_with_the_least_one():
    with pytest.raises(ProblemError, match=r"--max-parameters is 50, .* one unit has 112 .*Give --max-parameters 112"):
        largest_within(50, Network(), 20, 12)
    assert largest_within(112, Network(), 20, 12).units == 1
