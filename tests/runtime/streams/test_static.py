"""Static inputs are given once for each stream and are in its state: resets keep them, saved states have them."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models import path_of
from support.power import write_scaled

from stepcell.runtime import SqliteStore, StateMismatchError, load
from stepcell.runtime.tasks.lanes import FEWEST

FOLDER = Path(mkdtemp())
NUMBERS = [1.5, -2.0, 0.5, 3.0, 1.0, -1.0, 2.5, 0.25, -0.5, 4.0]


@cache
def model(backend="numpy"):
    """A model that answers with the sum of its products times its static `gain`, and with the gain."""
    return load(write_scaled(FOLDER / "scaled.onnx"), backend=backend)


def inputs(number):
    return {"volts": [number], "amps": [2.0]}


def expected(gain, count=10):
    sums = np.cumsum([gain * 2 * number for number in NUMBERS[:count]])
    return np.stack([sums, np.full(count, gain)], 1).astype(np.float32)


@pytest.mark.parametrize("backend", ["numpy", "onnxruntime"])
@pytest.mark.parametrize("given", [[3.0], 3.0, np.array([[3.0]])])
def test_a_stream_answers_with_the_static_inputs_it_was_given(backend, given):
    stream = model(backend).stream(static={"gain": given})
    found = [stream.step(features=inputs(number)).values for number in NUMBERS]
    np.testing.assert_allclose(found, expected(3.0), rtol=1e-6)
    stream.reset()
    np.testing.assert_allclose(stream.step(features=inputs(NUMBERS[0])).values, expected(3.0, 1)[0], rtol=1e-6)


MOVES = st.sampled_from(["save", "fork", "reset", "assign", "restore", "go"])


@settings(max_examples=40, deadline=None)
@given(st.floats(-4, 4, width=32), st.lists(st.tuples(MOVES, st.integers(1, 4)), max_size=8))
def test_static_inputs_stay_wherever_a_sequence_is_cut(gain, moves):
    stream, at = model().stream(static={"gain": gain}), 0
    other = model().stream(static={"gain": gain + 1})
    other.step(features=inputs(7))
    for name, count in moves:
        count = min(count, len(NUMBERS) - at)
        if not count:
            break
        rows = {key: np.array([inputs(n)[key] for n in NUMBERS[at : at + count]]) for key in ("volts", "amps")}
        np.testing.assert_allclose(stream.run(None, rows), expected(gain)[at : at + count], rtol=1e-4, atol=1e-4)
        at += count
        if name == "save":
            stream = model().restore(stream.to_bytes())
        elif name == "restore":
            stream.save(FOLDER / "one.state")
            other.restore(FOLDER / "one.state")
            stream = other.fork()
        elif name == "fork":
            stream = stream.fork()
        elif name == "assign":
            stream.state = stream.state
        elif name == "go":
            before = stream.snapshot()
            stream.run(None, rows)
            stream.go_to(before)
        else:
            stream.reset()
            at = 0
    assert stream.state["gain"].tolist() == [[np.float32(gain)]]


WRONG = [
    (None, ["gain is missing"]),
    ({}, ["gain is missing"]),
    ({"gian": [1]}, ["gain is missing", "there is no static input gian"]),
    ({"gain": [1, 2]}, [r"gain has the shape \(2,\), wanted is \((3, )?1,?\)"]),
    ({"gain": [float("nan")], "more": 1}, ["there is no static input more", "gain is not finite"]),
    ({"gain": ["a"]}, ["gain cannot be read"]),
]


@pytest.mark.parametrize(("static", "problems"), WRONG)
def test_everything_wrong_with_static_inputs_is_named_at_once(static, problems):
    makers = (model().stream, model().initial_state, lambda static: model().streams(3, static=static))
    for make in makers:
        with pytest.raises(StateMismatchError, match=".*".join(problems)) as caught:
            make(static=static)
        assert "Give static={'gain': [...]}" in str(caught.value)


def test_a_model_without_static_inputs_takes_none():
    with pytest.raises(StateMismatchError, match="has no static inputs: there is no static input gain"):
        load(path_of("memory"), backend="numpy").stream(static={"gain": 1})


def test_a_state_without_static_inputs_is_refused():
    stream = model().stream(static={"gain": 2})
    state = {name: array for name, array in stream.state.items() if name != "gain"}
    with pytest.raises(StateMismatchError, match="gain"):
        stream.state = state
    assert stream.state["gain"] == 2


def test_a_model_with_static_inputs_gives_them_to_all_of_its_streams():
    one = model().with_static({"gain": 2})
    assert one.stream().step(features=inputs(3)).values[0] == 12
    assert one.stream(static={"gain": 1}).step(features=inputs(3)).values[0] == 6
    assert one.fleet().step({"a": None}, {"a": inputs(3)})["a"].values[0] == 12
    assert one.streams(2).step(None, {"volts": [[3], [4]], "amps": [[2], [2]]})[:, 0].tolist() == [12, 16]
    with pytest.raises(StateMismatchError, match="gain is missing"):
        model().with_static({})
    with pytest.raises(StateMismatchError, match="gain is missing"):
        model().stream()


def test_the_pure_step_takes_and_returns_static_inputs_in_the_state():
    state = model().initial_state(static={"gain": 2})
    values, after = model().step(None, state, inputs(3))
    assert values.tolist() == [12, 2]
    assert after["gain"].tolist() == state["gain"].tolist()


@pytest.mark.parametrize("backend", ["numpy", "onnxruntime"])
def test_streams_in_lockstep_have_static_inputs_each(backend):
    streams = model(backend).streams(3, static={"gain": [[1], [2], [3]]})
    rows = {"volts": np.ones((3, 1)), "amps": np.ones((3, 1))}
    assert streams.step(None, rows)[:, 0].tolist() == [1, 2, 3]
    streams.reset([1])
    assert streams.step(None, rows)[:, 0].tolist() == [2, 2, 6]
    assert streams.state["gain"].tolist() == [[1], [2], [3]]


def test_members_of_a_fleet_begin_with_static_inputs_of_their_own(tmp_path):
    one = model()
    with SqliteStore(tmp_path / "fleet.db", one.file) as store:
        fleet = one.fleet(max_members=2, store=store)
        with pytest.raises(StateMismatchError, match=r"there are none of 'a', 'b': fleet\.add\(key, static="):
            fleet.step({"a": None, "b": None}, {"a": inputs(1), "b": inputs(1)})
        assert len(fleet) == 0
        with pytest.raises(StateMismatchError, match="gain is missing"):
            fleet.add("a")
        for number, key in enumerate("abcdef"):
            fleet.add(key, {"gain": number})
        for _ in range(2):
            found = fleet.step(dict.fromkeys("abcdef"), {key: inputs(0.5) for key in "abcdef"})
        assert [found[key].values.tolist() for key in "abcdef"] == [[2 * n, n] for n in range(6)]
        fleet.save(tmp_path / "fleet.state")
    other = one.fleet()
    other.restore(tmp_path / "fleet.state")
    assert other.step({"d": None}, {"d": inputs(0.5)})["d"].values.tolist() == [9, 3]


PERSONAL = [(b, "tflite") for b in ("litert", "tflite", "numpy")] + [(b, "onnx") for b in ("onnxruntime", "numpy")]
USERS = [[0.5, -1.0, 2.0], [1.0, 1.0, -0.5], [-3.0, 0.0, 0.1]]
SYMBOLS = "0123401234210432104321"


@cache
def personal(backend, format):
    return load(path_of("personal", format), backend=backend)


@cache
def answers_to(user):
    return personal("numpy", "onnx").stream(static={"user": USERS[user]}).run(SYMBOLS)


@pytest.mark.parametrize(("backend", "format"), PERSONAL)
def test_every_interpreter_answers_as_the_static_inputs_say(backend, format):
    for user, numbers in enumerate(USERS):
        stream = personal(backend, format).stream(static={"user": numbers})
        for _ in range(2):
            found = [stream.step(symbol).probabilities for symbol in SYMBOLS]
            np.testing.assert_allclose(found, answers_to(user), atol=1e-5)
            np.testing.assert_array_equal(stream.state["user"], [np.float32(numbers)])
            stream.reset()
        np.testing.assert_allclose(stream.run(SYMBOLS), answers_to(user), atol=1e-5)
    assert np.abs(answers_to(0) - answers_to(1)).max() > 1e-2


def test_a_low_latency_stream_has_static_inputs():
    stream = personal("native", "tflite").stream(low_latency=True, static={"user": USERS[1]})
    for _ in range(2):
        found = [stream.step(symbol).probabilities for symbol in SYMBOLS]
        np.testing.assert_allclose(found, answers_to(1), atol=1e-5)
        stream = stream.fork()
        stream.reset()


@pytest.mark.parametrize(("backend", "format"), PERSONAL)
def test_many_streams_at_once_have_static_inputs_each(backend, format):
    model = personal(backend, format)
    streams, fleet = model.streams(3, static={"user": USERS}), model.fleet()
    for user, numbers in enumerate(USERS):
        fleet.add(str(user), {"user": numbers})
    for step, symbol in enumerate(SYMBOLS):
        expected = np.stack([answers_to(user)[step] for user in range(3)])
        np.testing.assert_allclose(streams.step([symbol] * 3), expected, atol=1e-5)
        np.testing.assert_allclose(fleet.step(dict.fromkeys("012", symbol)).probabilities, expected, atol=1e-5)


def test_a_score_in_lanes_is_that_of_the_static_inputs():
    symbols = np.random.default_rng(0).integers(0, 5, FEWEST)
    text = [str(symbol) for symbol in symbols.tolist()]
    plain, lanes = (
        personal("litert", "tflite").stream(static={"user": USERS[0]}).score(text, in_lanes=in_lanes)
        for in_lanes in (False, True)
    )
    assert lanes.lanes is not None
    assert lanes.lanes.redone == 0
    np.testing.assert_allclose(lanes.log_probabilities[1:], plain.log_probabilities[1:], atol=1e-4)
