"""Columns of numbers are read as features of the symbols, and errors in them are reported."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import EventsReader, FeatureColumns, features_of


def write(tmp_path, content, name="events.csv"):
    path = tmp_path / name
    path.write_text(content)
    return path


def test_features_stay_with_their_events_in_any_order(tmp_path):
    path = write(tmp_path, "case,time,what,x,y\nb,3,stop,-1,1e3\na,2,go, 2.5 ,7\nb,1,start,0,8\na,1,start,4,9\n")
    reader = EventsReader("what", "case", "time", features={"y": "y", "first": "x"}, gap_feature=True, time_unit="s")
    features = reader.read(path).features
    assert features.names == ("y", "first", "gap")
    # Case b first: its events at 1 and 3; then case a: at 1 and 2.
    assert features.values.tolist() == [[8, 0, 0], [1000, -1, 2], [9, 4, 0], [7, 2.5, 1]]
    rows = [{"case": "b", "time": 3, "what": "stop", "x": -1, "y": "1e3"}, {"case": "b", "time": 1, "what": "start"}]
    rows[1] |= {"x": 0, "y": 8.0}
    lines = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "events.jsonl")
    assert reader.read(lines).features.values.tolist() == [[8, 0, 0], [1000, -1, 2]]


def test_a_gap_as_a_symbol_has_the_features_of_its_event(tmp_path):
    path = write(tmp_path, "time,what,x\n0,a,1\n9,b,2\n10,a,3\n")
    recording = EventsReader("what", order="time", gaps="5", features={"x": "x"}).read(path)
    assert recording.sequence(0) == ["a", "b", "gap>=5", "a", "gap<5"]
    assert recording.features.values[:, 0].tolist() == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("what,x\na,1\nb,\nc, \n", "2 lines wrong.*\n  line 3: nothing in the column 'x'; fill in missing numbers"),
        ("what,x\na,fast\nb,1\n", "line 2: 'fast' in the column 'x' is not a number$"),
        ("what;x\na;1,5\n", "line 2: '1,5' in the column 'x' is not a number; write 1.5"),
        ("what,x\na,nan\nb,-inf\n", "line 2: 'nan' .*is not finite\n  line 3: '-inf' in the column 'x' is not finite"),
        ("what,x\na,1e39\n", "line 2: '1e39' in the column 'x' is beyond float32, which ends at 3.4e"),
        ("what,X\na,1\n", "no column 'x' \\(--feature\\). Its columns: 'what', 'X'."),
        ("what,x,x\na,1,2\n", "2 columns 'x' \\(--feature\\)"),
    ],
)
def test_a_cell_that_is_no_number_is_refused_with_its_line(content, problem, tmp_path):
    with pytest.raises(CorpusError, match=problem):
        EventsReader("what", features={"x": "x"}).read(write(tmp_path, content))


def test_all_errors_of_a_line_are_named(tmp_path):
    path = write(tmp_path, "what,x,y,t\na,fast,,soon\n")
    with pytest.raises(CorpusError, match="line 2: 'fast' in .* 'x' is not a number; nothing in the column 'y'"):
        EventsReader("what", order="t", features={"x": "x", "y": "y"}).read(path)


@pytest.mark.parametrize("value", ["true", "[1]", '{"x": 1}'])
def test_a_json_value_that_is_no_number_is_refused(tmp_path, value):
    lines = write(tmp_path, f'{{"what": "a", "x": {value}}}\n', "events.jsonl")
    with pytest.raises(CorpusError, match="line 1: .* in the column 'x' is not a number"):
        EventsReader("what", features={"x": "x"}).read(lines)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"features": {"symbol": "x"}}, "cannot be called 'symbol'.*--feature NAME=x"),
        ({"features": {"h0": "x", "next_c1": "y"}}, "'h0'.*'next_c1'"),
        ({"features": {"gap": "x"}, "gap_feature": True, "order": "t"}, "cannot be called 'gap'"),
        ({"features": {"x y": "x"}}, "'x y': use ASCII letters"),
        ({"features": {"a": "x", "b": "x"}}, "the column 'x' is a feature twice"),
        ({"gap_feature": True}, "need a column of times, --order"),
        ({"format": "lines", "symbol": None, "features": {"x": "x"}}, "lines have no columns"),
    ],
)
def test_features_that_make_no_sense_are_refused(values, problem):
    with pytest.raises(CorpusError, match=problem):
        EventsReader(**{"symbol": "what", **values})


def test_a_feature_is_called_after_its_column_or_as_given():
    found = features_of(["Speed (km/h)", "Druck=p", "2", "größe", "a=b=c"])
    named = {"Speed_km_h": "Speed (km/h)", "Druck": "p", "feature_2": "2", "gr_e": "größe", "a": "b=c"}
    assert found == named
    for options in (["x", "x=y", "z"], ["x", "x"]):
        with pytest.raises(CorpusError, match="Several features are called x"):
            features_of(options)


@given(st.text(min_size=1).filter(lambda column: "=" not in column))
def test_the_name_of_any_column_is_a_name_of_a_feature(column):
    (name,) = features_of([column])
    assert name.isascii()
    assert name.isidentifier()


def test_features_that_are_constant_or_too_far_from_0_are_refused_together():
    values = np.array([[7, 1e9, 1], [7, 1e9 + 128, 2]], np.float32)
    with pytest.raises(CorpusError, match="always is always 7; .*; time is 1e\\+09 .*float32 has 7 digits"):
        FeatureColumns(("always", "time", "fine"), values).stats()
