"""A line of input is parsed into key, symbol and features, or refused with the expected fields."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.models import DATA

from stepcell.runtime import FeatureMismatchError, OptionError, UnknownSymbolError, load, read_model_file
from stepcell.runtime.common.errors import InputError
from stepcell.runtime.format.vocabulary import escape_symbol
from stepcell.runtime.serve.input_line import parse_json_line, parse_line
from stepcell.runtime.serve.session import LineOptions, Session

MEMORY, WIDE, SENSOR = (
    read_model_file(DATA / name).manifest for name in ("memory.tflite", "wide.tflite", "sensor.tflite")
)
FEATURES = {"hour": 3, "speed": [1, 2, 3]}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_escaped_symbol_is_parsed(symbol):
    assert parse_line(escape_symbol(symbol), MEMORY) == (symbol, None)


def test_a_line_is_a_symbol_an_object_or_the_array_of_the_only_feature():
    assert parse_line("3", MEMORY) == ("3", None)
    assert parse_line(json.dumps({"symbol": "a", **FEATURES}), WIDE) == ("a", FEATURES)
    assert parse_line("[1, 2, 3, 4]", SENSOR) == (None, {"features": [1, 2, 3, 4]})


@pytest.mark.parametrize(
    ("line", "error", "problem"),
    [
        ("a", FeatureMismatchError, "'a' is not JSON"),
        ("[1]", FeatureMismatchError, "is not a JSON object; expected is .*symbol.*hour.*speed"),
        ('{"hour": 3}', UnknownSymbolError, "has no symbol"),
        ('{"symbol": []}', UnknownSymbolError, "has a list as its symbol"),
    ],
)
def test_a_line_without_symbol_and_features_is_refused(line, error, problem):
    with pytest.raises(error, match=problem):
        parse_line(line, WIDE)


@given(st.one_of(st.text(), st.integers(), st.booleans()), st.one_of(st.text(), st.integers(), st.booleans()))
def test_a_key_and_a_symbol_may_be_any_json_scalar(key, symbol):
    line = json.dumps({"machine": key, "event": symbol, **FEATURES, "weather": "fine"})
    texts = [value if isinstance(value, str) else json.dumps(value) for value in (key, symbol)]
    assert parse_json_line(line, WIDE, "event", "machine") == (*texts, FEATURES)


def test_a_model_of_features_alone_reads_no_symbol(model_of_features):
    assert parse_json_line('{"key": "x", "features": [1]}', SENSOR, None, "key") == ("x", None, {"features": [1]})
    with pytest.raises(OptionError, match="reads no symbols but features: leave out --symbol-field"):
        Session(model_of_features, LineOptions(symbol_field="event"), 1, print)


@pytest.fixture(scope="module")
def model_of_features():
    return load(DATA / "sensor.tflite")


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("3", InputError, '\'3\' is not a JSON object; expected is {"machine": ..., "event": ...}.'),
        ("{", InputError, "'{' is not JSON"),
        ('{"event": "3"}', InputError, "has no 'machine'"),
        ('{"machine": [1], "event": "3"}', InputError, "has a list as 'machine'"),
        ('{"machine": "a"}', UnknownSymbolError, "has no symbol"),
        ('{"machine": "a", "event": {}}', UnknownSymbolError, "has an object as its symbol"),
    ],
)
def test_an_object_without_key_or_symbol_is_refused_with_the_expected_fields(line, error, message):
    with pytest.raises(error) as caught:
        parse_json_line(line, MEMORY, "event", "machine")
    assert message in str(caught.value)
