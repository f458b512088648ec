"""Lines that hold features: read, answered by key, and refused."""

from __future__ import annotations

import json

import pytest
from support.models import path_of
from typer.testing import CliRunner

from stepcell.cli import app
from stepcell.runtime import FeatureMismatchError, OptionError, UnknownSymbolError, load, read_model_file
from stepcell.runtime.serve.input_line import parse_json_line, parse_line
from stepcell.runtime.serve.session import LineOptions, Session


def test_a_line_is_a_symbol_or_an_object_of_what_is_read():
    manifest = read_model_file(path_of("wide")).manifest
    line = '{"symbol": "a", "hour": 3, "speed": [1, 2, 3]}'
    assert parse_line(line, manifest) == ("a", {"hour": 3, "speed": [1, 2, 3]})
    for line, error, problem in (
        ("a", FeatureMismatchError, "is not JSON"),
        ("[1]", FeatureMismatchError, "is not a JSON object; wanted is .*symbol.*hour.*speed"),
        ('{"hour": 3}', UnknownSymbolError, "has no symbol"),
    ):
        with pytest.raises(error, match=problem):
            parse_line(line, manifest)
    numbers = read_model_file(path_of("sensor", "onnx")).manifest
    assert parse_line("[1, 2, 3, 4]", numbers) == (None, {"features": [1, 2, 3, 4]})


def test_a_record_holds_features_and_other_fields_that_are_left_out():
    manifest = read_model_file(path_of("wide")).manifest
    line = '{"machine": 7, "event": "a", "hour": 3, "speed": [1, 2, 3], "weather": "fine"}'
    assert parse_json_line(line, manifest, "event", "machine") == ("7", "a", {"hour": 3, "speed": [1, 2, 3]})
    numbers = read_model_file(path_of("sensor", "onnx")).manifest
    assert parse_json_line('{"machine": "x", "features": [1]}', numbers, None, "machine") == (
        "x",
        None,
        {"features": [1]},
    )
    with pytest.raises(OptionError, match="reads no symbols but features: leave out --symbol-field"):
        Session(load(path_of("sensor", "onnx")), LineOptions(symbol_field="event"), 1, print)


def test_streams_by_key_read_features():
    records = [{"k": k, "symbol": "a", "hour": h, "speed": [h, 0, 1]} for h in range(3) for k in "xy"]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    result = CliRunner().invoke(app, ["predict", str(path_of("wide", "onnx")), "--key", "k", "--json"], input=lines)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(answer["stream"], answer["seen"]) for answer in answers] == [(k, n) for n in (1, 2, 3) for k in "xy"]
    assert answers[4]["probability"] == answers[5]["probability"] != answers[2]["probability"]
    line = '{"k": "x", "symbol": "a", "speed": [1, 0, 1]}\n'
    result = CliRunner().invoke(app, ["predict", str(path_of("wide", "onnx")), "--key", "k"], input=line)
    assert "hour is missing" in result.output


def test_the_command_line_predicts_from_features():
    lines = '{"symbol": "a", "hour": 3, "speed": [1, 2, 3]}\n{"symbol": "b", "hour": 30, "speed": [1, 2, 3]}\n'
    file = str(path_of("wide", "onnx"))
    result = CliRunner().invoke(app, ["predict", file, "--json"], input=lines)
    assert result.exit_code == 1
    assert "Line 2: wide.onnx reads hour" in result.output
    answer = json.loads(result.output.splitlines()[0])
    assert {"input", "symbol", "probability", "gap", "mood"} <= answer.keys()
    assert len(answer["gap"]["values"]) == 2
    assert "hour (id of 24), speed [3]" in CliRunner().invoke(app, ["inspect", file]).output
