"""`stepcell predict` with static inputs: of an option, or of the first line of each stream."""

import json

import pytest
from support.power import write_scaled
from support.predicting import predict

from stepcell.runtime import read_saved_streams


@pytest.fixture
def model(tmp_path):
    return str(write_scaled(tmp_path / "scaled.onnx"))


def lines(*rows):
    return "".join(json.dumps({"volts": [2], "amps": [0.5], **row}) + "\n" for row in rows)


def values(result):
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["values"][0] for line in result.stdout.splitlines() if "values" in line]


def test_static_inputs_of_an_option_are_those_of_all_streams(model):
    assert values(predict("--static", "gain=3", "--json", model=model, input=lines({}, {}))) == [3, 6]
    keyed = predict("--static", "gain=3", "--key", "key", "--json", model=model, input=lines({"key": 1}, {"key": 2}))
    assert values(keyed) == [3, 3]


def test_the_first_line_of_a_stream_may_have_its_static_inputs(model, tmp_path):
    keyed = ("--key", "key", "--json", "--state", tmp_path / "keys.state")
    rows = [{"key": "a", "gain": 2}, {"key": "b", "gain": [3]}, {"key": "a"}, {"key": "b", "gain": 3}]
    assert values(predict(*keyed, model=model, input=lines(*rows))) == [2, 3, 4, 6]
    assert values(predict(*keyed, model=model, input=lines({"key": "b"}, {"key": "a"}))) == [9, 6]
    saved = read_saved_streams(tmp_path / "keys.state").streams
    assert {key: one.state["gain"].item() for key, one in saved.items()} == {"a": 2, "b": 3}


def test_the_first_line_may_have_them_where_the_only_stream_is_saved(model, tmp_path):
    state = ("--json", "--state", tmp_path / "one.state")
    assert values(predict(*state, model=model, input=lines({"gain": 2}, {}))) == [2, 4]
    assert values(predict(*state, model=model, input=lines({}))) == [6]


def test_static_inputs_change_after_a_reset_alone(model):
    rows = [{"gain": 2}, {"gain": 5, "reset": True}, {"gain": 4}]
    result = predict("--json", model=model, input=lines(*rows))
    assert result.exit_code == 1
    assert [json.loads(line)["values"][0] for line in result.stdout.splitlines()] == [2, 5]
    assert "Line 3: The static inputs gain are other ones than this stream has begun with" in result.stderr
    skipped = predict("--json", "--bad-lines", "skip", model=model, input=lines(*rows, {}))
    assert values(skipped) == [2, 5, 10]


def test_a_stream_without_static_inputs_is_refused(model, tmp_path):
    result = predict("--json", "--state", tmp_path / "one.state", model=model, input=lines({}))
    assert result.exit_code == 1
    assert "gain is missing" in result.stderr
    assert "--static gain=" in result.stderr
    assert not (tmp_path / "one.state").exists()
    keyed = predict("--key", "key", model=model, input=lines({"key": "a", "gain": 1}, {"key": "b"}))
    assert keyed.exit_code == 1
    assert "Line 2: scaled.onnx reads static inputs" in keyed.stderr


@pytest.mark.parametrize("text", ["gain", "=1", "gain=", "gain=a"])
def test_a_static_input_that_cannot_be_read_is_refused(model, text):
    result = predict("--static", text, model=model, input="")
    assert result.exit_code == 2
    assert f"not {text!r}" in result.stderr


def test_a_saved_state_needs_no_static_inputs(model, tmp_path):
    state = ("--json", "--state", tmp_path / "one.state")
    assert values(predict(*state, "--static", "gain=3", model=model, input=lines({}))) == [3]
    assert values(predict(*state, model=model, input=lines({}))) == [6]
