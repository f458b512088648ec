"""A row of a file and a live line become the same event."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import EventRow, EventsReader, RowParser

HOME = EventsReader(("entity", "state"), "day", "time", features={"watts": "W"}, gap_feature=True)
LINE = {"entity": "lamp", "state": "on", "day": 3, "time": "1970-01-01T00:00:01.5Z", "W": "60.5", "id": 7}


def test_a_live_line_is_an_event_with_its_columns_joined():
    parser = RowParser.of(HOME)
    event = parser.parse_mapping(LINE)
    assert event == EventRow("lamp=on", "3", 1_500_000_000, (60.5,))
    assert parser.feature_names == ("watts",)
    later = parser.parse_mapping({**LINE, "time": "1970-01-01T00:01:01.5Z"})
    assert parser.gap(event.time, later.time) == 60.0
    assert RowParser.of(EventsReader()).parse_mapping({"anything": True}) == EventRow("true")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"entity": "a=b"}, "'a=b' in the column 'entity' makes 'a=b=on' ambiguous.*--join TEXT"),
        ({"state": ["on"]}, "a list where a symbol is expected"),
        ({"state": b"\xff"}, "bytes that are not UTF-8"),
        ({"W": "", "time": "soon"}, "nothing in the column 'W'.*; 'soon' is not a number or a time.*column 'time'"),
        ({"W": "1_000"}, "'1_000' in the column 'W' is not a number"),
    ],
)
def test_all_problems_of_a_line_are_named(change, problem):
    with pytest.raises(ValueError, match=problem):
        RowParser.of(HOME).parse_mapping({**LINE, **change})


def test_a_line_that_lacks_a_field_is_refused_and_an_empty_one_is_no_event():
    parser = RowParser.of(HOME)
    with pytest.raises(ValueError, match="no field 'entity', 'W'; its fields: 'state', 'day', 'time'"):
        parser.parse_mapping({name: LINE[name] for name in ("state", "day", "time")})
    with pytest.raises(ValueError, match="2 fields where a symbol alone is expected"):
        RowParser.of(EventsReader()).parse_mapping({"a": 1, "b": 2})
    assert parser.parse_mapping({**LINE, "state": None}).missing == "symbol, with nothing in the column 'state'"
    assert parser.parse_mapping({**LINE, "day": ""}).missing == "sequence"


values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@given(st.lists(st.tuples(values, values), min_size=2, max_size=2, unique=True), st.sampled_from(["=", "==", " / "]))
def test_different_values_never_join_to_the_same_symbol(pairs, join):
    parser = RowParser.of(EventsReader(("a", "b"), join=join))
    symbols = []
    for pair in pairs:
        with suppress(ValueError):
            symbols.append(parser.parse([*pair, None, None]).symbol)
    assert len(set(symbols)) == len(symbols)


def test_columns_are_joined_in_every_format_and_the_manifest_names_them(tmp_path):
    reader = EventsReader(("entity", "state"))
    (tmp_path / "a.csv").write_text("state,entity\non,lamp\n,door\noff,lamp\n")
    (tmp_path / "a.jsonl").write_text('{"entity": "lamp", "state": "on"}\n{"entity": "lamp", "state": "off"}\n')
    found = [reader.read(tmp_path / name) for name in ("a.csv", "a.jsonl")]
    assert [recording.sequence(0) for recording in found] == [["lamp=on", "lamp=off"]] * 2
    assert found[0].remarks == (
        "left out: 1 without a symbol, with nothing in the column 'state' (the first in line 3)",
    )
    recorded = json.loads(json.dumps(reader.to_json()))
    recorded.pop("kind")
    assert EventsReader(**recorded) == reader
    assert EventsReader(["one"]).symbol == "one"
    with pytest.raises(CorpusError, match="give each column once.*--join is empty"):
        EventsReader(("a", "a"), join="")
    (tmp_path / "b.csv").write_text("entity,state\nlamp,on\na=b,on\n")
    with pytest.raises(CorpusError, match="line 3: 'a=b' in the column 'entity'"):
        reader.read(tmp_path / "b.csv")
