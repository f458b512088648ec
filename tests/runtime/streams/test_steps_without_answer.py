"""Models that do not answer at each step: which steps answer, wherever a sequence is cut, saved, forked or batched."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import RUNTIMES, answering, path_of, wide_inputs

from stepcell.runtime import SqliteStore, StateMismatchError, load
from stepcell.runtime.format.tensor_specs import AnswerTimes

SYMBOLS = "0123401234210432104321"
FOLDER = Path(mkdtemp())


@cache
def model(first, every, of="memory", backend="numpy", format="tflite"):
    return load(answering(FOLDER / f"{of}-{first}-{every}.{format}", first, every, of=of), backend=backend)


@cache
def unbroken(of="memory", backend="numpy", format="tflite"):
    """What the same graph answers at each step."""
    found = load(path_of(of, format), backend=backend).stream().run(SYMBOLS)
    found.flags.writeable = False
    return found


def expected(first, every):
    """The answer to each of `SYMBOLS`, None where there is none."""
    return [row if AnswerTimes(first, every).answers_at(step) else None for step, row in enumerate(unbroken(), 1)]


def require_same(found, wanted):
    assert (found is None) == (wanted is None)
    if wanted is not None:
        np.testing.assert_array_equal(found, wanted)


TIMES = st.tuples(st.integers(1, 9), st.integers(1, 5))


class Walk:
    """A stream and the number of symbols it should have seen; each method goes on by some of `SYMBOLS`."""

    def __init__(self, first, every):
        self.model, self.expected = model(first, every), expected(first, every)
        self.stream, self.at = self.model.stream(), 0

    def step(self, count):
        for _ in range(count):
            found = self.stream.step(SYMBOLS[self.at])
            self.at += 1
            require_same(None if found is None else found.probabilities, self.expected[self.at - 1])

    def step_id(self, count):
        for _ in range(count):
            found = self.stream.step_id(int(SYMBOLS[self.at]))
            self.at += 1
            require_same(found, self.expected[self.at - 1])

    def absorb(self, count):
        found = self.stream.absorb(SYMBOLS[self.at : self.at + count])
        self.at += count
        require_same(None if found is None else found.probabilities, self.expected[self.at - 1])

    def run(self, count):
        found = self.stream.run(SYMBOLS[self.at : self.at + count])
        for row, wanted in zip(found, self.expected[self.at : self.at + count], strict=True):
            require_same(None if np.isnan(row).all() else row, wanted)
        self.at += count

    def peek(self, _):
        found = self.stream.peek(SYMBOLS[self.at])
        require_same(None if found is None else found.probabilities, self.expected[self.at])

    def save(self, _):
        content = self.stream.to_bytes()
        self.stream = self.model.stream()
        self.stream.from_bytes(content)

    def fork(self, _):
        self.stream = self.stream.fork()

    def reset(self, _):
        self.stream.reset()
        self.at = 0

    def assign(self, _):
        self.stream.set_state(self.stream.state, symbols_seen=self.at)


MOVES = ("step", "step_id", "absorb", "run", "peek", "save", "fork", "reset", "assign")


@settings(max_examples=60, deadline=None)
@given(TIMES, st.lists(st.tuples(st.sampled_from(MOVES), st.integers(1, 6)), min_size=3, max_size=12))
def test_the_steps_that_answer_are_the_same_wherever_a_sequence_is_cut(times, moves):
    walk = Walk(*times)
    for name, count in moves:
        count = min(count, len(SYMBOLS) - 1 - walk.at)
        if not count:
            break
        getattr(walk, name)(count)
        assert walk.stream.symbols_seen == walk.at
        last = walk.stream.prediction
        if last is not None:
            require_same(last.probabilities, walk.expected[walk.at - 1])


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_every_interpreter_answers_at_the_same_steps(backend, name):
    stream = model(3, 2, backend=backend, format=name.split(".")[1]).stream()
    found = [stream.step(symbol) is not None for symbol in SYMBOLS]
    assert found == [step >= 3 and step % 2 == 1 for step in range(1, len(SYMBOLS) + 1)]


def test_a_low_latency_stream_answers_at_the_same_steps():
    low = model(3, 2, "lstm", backend="native").stream(low_latency=True)
    plain = model(3, 2, "lstm", backend="native").stream()
    for symbol in SYMBOLS:
        one, other = low.step(symbol), plain.step(symbol)
        low.settle()
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)


def test_the_prediction_of_a_stream_is_none_after_a_step_without_an_answer():
    stream = model(2, 2).stream()
    assert [stream.step(symbol) and stream.prediction.symbol for symbol in "0123"][::2] == [None, None]
    stream.step("0")
    assert stream.prediction is None
    assert stream.fork().prediction is None


def test_a_wrong_count_in_a_saved_state_is_noticed():
    """The state alone does not say which step answers: a restored count that is off by one answers at other steps."""
    walk = Walk(4, 3)
    walk.step(5)
    snapshot = walk.stream.snapshot()
    right, wrong = walk.model.stream(), walk.model.stream()
    right.set_state(snapshot.state, symbols_seen=5)
    wrong.set_state(snapshot.state, symbols_seen=6)
    answered = [[stream.step(symbol) is not None for symbol in SYMBOLS[5:]] for stream in (right, wrong)]
    assert answered[0] == [row is not None for row in walk.expected[5:]]
    assert answered[0] != answered[1]


@pytest.mark.parametrize("count", [None, -1, 1.5, "2"])
def test_a_state_without_a_count_is_refused(count):
    stream = model(3, 2).stream()
    stream.step("0")
    with pytest.raises(StateMismatchError, match="symbols_seen"):
        stream.set_state(model(3, 2).initial_state(), symbols_seen=count)
    with pytest.raises(StateMismatchError, match="at every 2nd step, first at step 3"):
        stream.state = model(3, 2).initial_state()
    assert stream.symbols_seen == 1


def test_the_pure_step_is_told_the_count():
    one = model(2, 2)
    answer, state = one.step("0", one.initial_state(), symbols_seen=0)
    assert answer is None
    answer, _ = one.step("1", state, symbols_seen=1)
    np.testing.assert_array_equal(answer, expected(2, 2)[1])


def test_streams_in_lockstep_count_each_for_itself():
    streams = model(3, 2, backend="litert").streams(3)
    for step in range(8):
        if step == 4:
            streams.reset([1])
        found = streams.step([SYMBOLS[step]] * 3)
        answered = [bool(AnswerTimes(3, 2).answers_at(seen)) for seen in streams.symbols_seen.tolist()]
        assert (~np.isnan(found).any(axis=1)).tolist() == answered
    assert streams.symbols_seen.tolist() == [8, 4, 8]
    state = streams.state
    with pytest.raises(StateMismatchError, match="symbols_seen"):
        streams.state = state
    with pytest.raises(StateMismatchError, match="shape"):
        streams.set_state(state, symbols_seen=[1, 2])
    streams.set_state(state, symbols_seen=[2, 3, 4])
    assert (~np.isnan(streams.step("012")).any(axis=1)).tolist() == [True, False, True]


def test_members_of_a_fleet_count_each_for_itself(tmp_path):
    one = model(2, 3)
    seen = dict.fromkeys("abcd", 0)
    with SqliteStore(tmp_path / "fleet.db", one.file) as store:
        fleet = one.fleet(max_members=2, store=store)
        for step in range(12):
            keys = [key for number, key in enumerate(seen) if (step + number) % 3]
            found = fleet.step({key: SYMBOLS[seen[key]] for key in keys})
            for row, key in enumerate(keys):
                wanted = expected(2, 3)[seen[key]]
                seen[key] += 1
                answer = found[key]
                assert (answer is None) == (wanted is None) == bool(np.isnan(found.probabilities[row]).any())
                if wanted is not None:
                    np.testing.assert_allclose(answer.probabilities, wanted, atol=1e-6)


def test_further_outputs_are_silent_at_the_same_steps():
    symbols, hours, speeds = wide_inputs(6)
    one = model(2, 2, "wide")
    stream = one.stream()
    for step, symbol in enumerate(symbols, 1):
        found = stream.step(symbol, {"hour": hours[step - 1], "speed": speeds[step - 1]})
        assert (found is None) == (step % 2 == 1)
        assert found is None or set(found.outputs) == {"gap", "mood"}
    rows = one.stream().run(symbols, {"hour": hours, "speed": speeds})
    assert np.isnan(rows).all(axis=1).tolist() == [True, False] * 3
    streams = one.streams(2)
    streams.step(symbols[:2], {"hour": hours[:2], "speed": speeds[:2]})
    assert all(np.isnan(array).all() for array in streams.outputs.values())
