"""Raw states: the bytes that the C of a model saves and loads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import DATA, path_of

from stepcell.runtime import DamagedStateError, OtherModelError, StateMismatchError, load, read_model_file
from stepcell.runtime.format.tensor_specs import AnswerTimes
from stepcell.runtime.streams.raw_state import pack_raw_state, raw_size, steps_since_reset, unpack_raw_state

FILE = read_model_file(path_of("three_lstm", "tflite"))


def test_a_raw_state_is_the_mark_of_the_model_and_its_numbers():
    stream = load(path_of("three_lstm", "tflite"), backend="numpy").stream()
    stream.absorb("0123")
    content = pack_raw_state(FILE, stream.state)
    assert len(content) == raw_size(FILE.manifest) == 8 + 4 * 2 * (4 + 6 + 8)
    assert content[:8].hex() == FILE.manifest.fingerprint[:16]
    state, _ = unpack_raw_state(FILE, content)
    assert all(np.array_equal(values, state[name]) for name, values in stream.state.items())


def test_raw_states_that_cannot_be_used_are_refused():
    state = {tensor.name: tensor.initial_value() for tensor in FILE.manifest.state}
    content = pack_raw_state(FILE, state)
    with pytest.raises(DamagedStateError, match="152 bytes, this one 151"):
        unpack_raw_state(FILE, content[:-1])
    with pytest.raises(OtherModelError, match="not of three_lstm"):
        unpack_raw_state(FILE, b"\0" + content[1:])
    with pytest.raises(StateMismatchError, match="not finite"):
        unpack_raw_state(FILE, content[:8] + b"\xff" * 4 + content[12:])
    with pytest.raises(StateMismatchError, match="wants the state"):
        pack_raw_state(FILE, {})


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000), st.integers(0, 50))
def test_a_bounded_count_answers_at_the_same_steps(first, every, seen, more):
    times = AnswerTimes(first, every)
    short = steps_since_reset(times, seen)
    assert short < first + every
    assert times.answers_at(short + more) == times.answers_at(seen + more)


def test_the_count_of_a_model_that_answers_now_and_then_is_kept():
    file = read_model_file(DATA / "memory.tflite")
    rare = replace(file, manifest=replace(file.manifest, answers=AnswerTimes(4, 3)))
    state = {tensor.name: tensor.initial_value() for tensor in file.manifest.state}
    content = pack_raw_state(rare, state, symbols_seen=12)
    assert unpack_raw_state(rare, content)[1] == 6
    assert len(content) == len(pack_raw_state(file, state)) + 4
