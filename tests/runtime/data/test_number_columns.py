"""Columns of numbers in files of events are read beside the symbols, and what is wrong with them is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import EventsReader, FeatureColumns, features_of


def write(tmp_path, content, name="events.csv"):
    path = tmp_path / name
    path.write_text(content)
    return path


def test_features_go_with_their_events_in_whatever_order_these_come(tmp_path):
    path = write(tmp_path, "case,time,what,x,y\nb,3,stop,-1,1e3\na,2,go, 2.5 ,7\nb,1,start,0,8\na,1,start,4,9\n")
    reading = EventsReader("what", "case", "time", features={"y": "y", "first": "x"}, gap_feature=True)
    numbers = reading.read(path).features
    assert numbers.names == ("y", "first", "gap")
    # Case b first: its events at 1 and 3; then case a: at 1 and 2.
    assert numbers.values.tolist() == [[8, 0, 0], [1000, -1, 2], [9, 4, 0], [7, 2.5, 1]]
    rows = [{"case": "b", "time": 3, "what": "stop", "x": -1, "y": "1e3"}, {"case": "b", "time": 1, "what": "start"}]
    rows[1] |= {"x": 0, "y": 8.0}
    lines = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "events.jsonl")
    assert reading.read(lines).features.values.tolist() == [[8, 0, 0], [1000, -1, 2]]


def test_features_are_read_from_parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"x": [1, None], "what": ["a", "b"]}), tmp_path / "events.parquet")
    reading = EventsReader("what", features={"x": "x"})
    with pytest.raises(CorpusError, match="1 line wrong.*\n  line 2: nothing in the column 'x'"):
        reading.read(tmp_path / "events.parquet")
    parquet.write_table(pyarrow.table({"x": [1, 2], "what": ["a", "b"]}), tmp_path / "events.parquet")
    assert reading.read(tmp_path / "events.parquet").features.values.tolist() == [[1], [2]]


def test_a_gap_as_a_symbol_has_the_features_of_its_event(tmp_path):
    path = write(tmp_path, "time,what,x\n0,a,1\n9,b,2\n10,a,3\n")
    recording = EventsReader("what", order="time", gaps="5", features={"x": "x"}).read(path)
    assert recording.sequence(0) == ["a", "b", "gap>=5", "a", "gap<5"]
    assert recording.features.values[:, 0].tolist() == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("what,x\na,1\nb,\nc, \n", "2 lines wrong.*\n  line 3: nothing in the column 'x'; .*have to be filled in"),
        ("what,x\na,fast\nb,1\n", "line 2: 'fast' in the column 'x' is not a number$"),
        ("what;x\na;1,5\n", "line 2: '1,5' in the column 'x' is not a number; write 1.5"),
        ("what,x\na,nan\nb,-inf\n", "line 2: 'nan' .*is not finite\n  line 3: '-inf' in the column 'x' is not finite"),
        ("what,x\na,1e39\n", "line 2: '1e39' in the column 'x' is beyond float32, which ends at 3.4e"),
        ("what,X\na,1\n", "no column 'x' \\(--feature\\). Its columns: 'what', 'X'."),
        ("what,x,x\na,1,2\n", "2 columns 'x' \\(--feature\\)"),
    ],
)
def test_what_is_no_number_is_refused_with_its_line(content, problem, tmp_path):
    with pytest.raises(CorpusError, match=problem):
        EventsReader("what", features={"x": "x"}).read(write(tmp_path, content))


def test_all_that_is_wrong_with_a_line_is_said(tmp_path):
    path = write(tmp_path, "what,x,y,t\na,fast,,soon\n")
    with pytest.raises(CorpusError, match="line 2: 'fast' in .* 'x' is not a number; nothing in the column 'y'"):
        EventsReader("what", order="t", features={"x": "x", "y": "y"}).read(path)
    lines = write(tmp_path, '{"what": "a", "x": true}\n', "events.jsonl")
    with pytest.raises(CorpusError, match="line 1: (True|'true') in the column 'x' is not a number"):
        EventsReader("what", features={"x": "x"}).read(lines)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"features": {"symbol": "x"}}, "cannot be called 'symbol'.*--feature NAME=x"),
        ({"features": {"h0": "x", "next_c1": "y"}}, "'h0'.*'next_c1'"),
        ({"features": {"gap": "x"}, "gap_feature": True, "order": "t"}, "cannot be called 'gap'"),
        ({"features": {"x y": "x"}}, "'x y': give letters of ASCII"),
        ({"features": {"a": "x", "b": "x"}}, "the column 'x' is a feature twice"),
        ({"gap_feature": True}, "need a column of times, --order"),
        ({"format": "lines", "symbol": None, "features": {"x": "x"}}, "lines have no columns"),
    ],
)
def test_features_that_make_no_sense_are_refused(given, problem):
    with pytest.raises(CorpusError, match=problem):
        EventsReader(**{"symbol": "what", **given})


def test_a_feature_is_called_after_its_column_or_as_you_say():
    found = features_of(["Speed (km/h)", "Druck=p", "2", "größe", "a=b=c"])
    named = {"Speed_km_h": "Speed (km/h)", "Druck": "p", "feature_2": "2", "gr_e": "größe", "a": "b=c"}
    assert found == named
    with pytest.raises(CorpusError, match="Several features are called x"):
        features_of(["x", "x=y", "z"])
    with pytest.raises(CorpusError, match="Several features are called x"):
        features_of(["x", "x"])


def test_features_that_say_nothing_or_too_little_are_refused_together():
    values = np.array([[7, 1e9, 1], [7, 1e9 + 128, 2]], np.float32)
    with pytest.raises(CorpusError, match="always is always 7, which .*; time is 1e\\+09 .*float32 has 7 digits"):
        FeatureColumns(("always", "time", "fine"), values).stats()
