"""A line of input is parsed into key, symbol and features, or refused with the expected fields."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import DATA

from stepcell.runtime import OptionError, load, read_model_file
from stepcell.runtime.common.errors import InputError
from stepcell.runtime.format.vocabulary import escape_symbol
from stepcell.runtime.serve.input_line import Event, parse_json_line, parse_line
from stepcell.runtime.serve.session import LineOptions, Session

MEMORY, WIDE, SENSOR = (
    read_model_file(DATA / name).manifest for name in ("memory.tflite", "wide.tflite", "sensor.tflite")
)
FEATURES = {"hour": 3, "speed": [1, 2, 3]}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_escaped_symbol_is_parsed(symbol):
    assert parse_line(escape_symbol(symbol), MEMORY) == Event(symbol)


def test_a_line_is_a_symbol_an_object_or_the_array_of_the_only_feature():
    assert parse_line("3", MEMORY) == Event("3")
    assert parse_line(json.dumps({"symbol": "a", **FEATURES}), WIDE) == Event("a", FEATURES)
    assert parse_line("[1, 2, 3, 4]", SENSOR) == Event(None, {"features": [1, 2, 3, 4]})


def test_an_object_may_start_or_end_a_sequence_with_its_symbol_or_alone():
    line = json.dumps({"symbol": "a", "start": True, "end": True, **FEATURES})
    assert parse_line(line, WIDE) == Event("a", FEATURES, start=True, end=True)
    assert parse_line('{"end": true}', WIDE) == Event(None, end=True, is_event=False)
    assert parse_line('{"start": true}', WIDE) == parse_line('{"reset": true}', WIDE)
    assert parse_json_line('{"k": 1, "end": true, "e": 2}', MEMORY, "e", "k") == Event("2", None, "1", end=True)
    assert parse_json_line('{"end": true, "start": true}', MEMORY, "start", "end") == Event("true", None, "true")


def test_an_object_may_reset_its_stream_before_its_symbol_or_alone():
    assert parse_line(json.dumps({"symbol": "a", "reset": True, **FEATURES}), WIDE) == Event("a", FEATURES, start=True)
    assert parse_line('{"reset": true}', WIDE) == Event(None, start=True, is_event=False)
    assert parse_json_line('{"k": 1, "reset": true}', MEMORY, "e", "k") == Event(None, None, "1", True, False)
    assert parse_json_line('{"k": 1, "reset": false, "e": 2}', MEMORY, "e", "k") == Event("2", None, "1")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a", "'a' is not JSON"),
        ("[1]", "is not a JSON object; expected is .*symbol.*hour.*speed"),
        ('{"hour": 3}', "has no symbol"),
        ('{"symbol": []}', "has a list as its symbol"),
        ("[" * 100_000, "is not JSON"),
        ('{"symbol": "\\ud800"}', "half of a surrogate pair in its symbol"),
    ],
    ids=str.__len__,
)
def test_a_line_without_symbol_and_features_is_refused(line, problem):
    with pytest.raises(InputError, match=problem):
        parse_line(line, WIDE)


@pytest.mark.parametrize("value", ["1", '"true"', '"Yes"', "1.0"])
@pytest.mark.parametrize("name", ["start", "reset", "end"])
def test_a_bound_that_is_almost_true_is_refused(name, value):
    line = f'{{"event": "3", "speed": [0.1, 0.2], "{name}": {value}}}'
    with pytest.raises(InputError, match=f'"{name}" is {value}, and true was perhaps meant. Write "{name}": true'):
        parse_json_line(line, WIDE, "event", None)


@pytest.mark.parametrize("value", ["0", "false", "null", '"2026-11-30"', "12"])
def test_a_field_with_the_name_of_a_bound_may_be_something_else(value):
    event = parse_json_line(f'{{"event": "3", "speed": [0.1, 0.2], "start": {value}}}', WIDE, "event", None)
    assert not event.start


@given(*[st.one_of(st.text(), st.integers(), st.booleans())] * 2)
def test_a_key_and_a_symbol_may_be_any_json_scalar(key, symbol):
    line = json.dumps({"machine": key, "event": symbol, **FEATURES, "weather": "fine"})
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (key, symbol)]
    assert parse_json_line(line, WIDE, "event", "machine") == Event(texts[1], FEATURES, texts[0])


def test_a_model_of_features_alone_reads_no_symbol(model_of_features):
    found = parse_json_line('{"key": "x", "features": [1]}', SENSOR, None, "key")
    assert found == Event(None, {"features": [1]}, "x")
    with pytest.raises(OptionError, match="reads no symbols but features: leave out --symbol-field"):
        Session(model_of_features, LineOptions(symbol_field="event"), 1, print)


@pytest.fixture(scope="module")
def model_of_features():
    return load(DATA / "sensor.tflite")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3", '\'3\' is not a JSON object; expected is {"machine": ..., "event": ...}.'),
        ("{", "'{' is not JSON"),
        ('{"event": "3"}', "has no 'machine'"),
        ('{"machine": [1], "event": "3"}', "has a list as 'machine'"),
        ('{"machine": "a"}', "has no symbol"),
        ('{"machine": "\\ud800", "event": 3}', "has half of a surrogate pair in 'machine'"),
        ('{"machine": "a", "event": {}}', "has an object as its symbol"),
    ],
)
def test_an_object_without_key_or_symbol_is_refused_with_the_expected_fields(line, message):
    with pytest.raises(InputError) as caught:
        parse_json_line(line, MEMORY, "event", "machine")
    assert message in str(caught.value)
