"""Tables of every format are read alike, and errors are reported with their lines, all at once."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import tracemalloc
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepcell.runtime.common.errors import CorpusError, MissingPackageError
from stepcell.runtime.data import EventsReader
from stepcell.runtime.data.columns import Columns
from stepcell.runtime.data.event_row import RowParser
from stepcell.runtime.data.recording_builder import RecordingBuilder
from stepcell.runtime.data.row_errors import RowErrors
from stepcell.runtime.data.text_file import HashingReader, open_text

BY_CASE = EventsReader(symbol="what", sequence="case", order="time")
TABLE = """case,time,what
b,3,stop
a,2,"go, fast"
b,1,start
a,1,start
"""
READ = [["start", "stop"], ["start", "go, fast"]]


def sequences(recording):
    return [recording.sequence(index) for index in range(len(recording))]


def write(folder, content, name="events.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(reader, path):
    with pytest.raises(CorpusError) as caught:
        reader.read(path)
    return str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=5)


@given(
    st.lists(st.tuples(text, st.integers(-3, 3), text), min_size=1, max_size=9),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_table_is_read_alike_as_csv_and_as_json(folder, rows, delimiter, line_end):
    names = ("case", "time", "what")
    path = folder / "any.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
        writer.writerows([names, *rows])
    objects = write(folder, "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows), "any.jsonl")
    expected = {}
    for case, time, what in rows:
        expected.setdefault(case, []).append((time, what))
    expected = [[what for _, what in sorted(events, key=lambda event: event[0])] for events in expected.values()]
    recording = BY_CASE.read(path)
    assert sequences(recording) == sequences(BY_CASE.read(objects)) == expected
    assert recording.found == f"csv, separated by {delimiter!r}"


def test_the_format_follows_from_the_suffix(tmp_path):
    files = [
        write(tmp_path, TABLE),
        write(tmp_path, TABLE.replace(",", "\t").replace("go\t", "go,"), "events.tsv"),
        write(tmp_path, gzip.compress(TABLE.encode()), "events.csv.gz"),
        write(tmp_path, b"\xef\xbb\xbf" + TABLE.encode(), "marked.csv"),
    ]
    assert [sequences(BY_CASE.read(file)) for file in files] == [READ] * len(files)
    assert "--format csv, tsv, jsonl, parquet, or lines" in refusal(EventsReader(), write(tmp_path, "a", "keys"))
    assert BY_CASE.read(files[0]).sha256 == hashlib.sha256(TABLE.encode()).hexdigest()


def test_parquet_is_read_where_pyarrow_is_installed(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = [datetime(2024, 5, day) for day in (3, 2, 1, 1)]
    table = {"case": ["b", "a", "b", "a"], "time": times, "what": ["stop", "go, fast", "start", "start"]}
    table |= {"x": [4, 3, 2, 1], "gappy": [1, None, 2, 3]}
    table |= {"kind": [1.5, None, 2.0, 3.0], "is": [True, False, None, True]}
    parquet.write_table(pyarrow.table(table), tmp_path / "events.parquet")
    recording = EventsReader("what", "case", "time", features={"x": "x"}).read(tmp_path / "events.parquet")
    assert sequences(recording) == READ
    assert np.diff(recording.times).tolist() == [172_800 * 10**9, -172_800 * 10**9, 86_400 * 10**9]
    assert recording.gaps.tolist() == [0.0, 172_800.0, 0.0, 86_400.0]
    assert recording.features.values.tolist() == [[2], [4], [1], [3]]
    assert sequences(EventsReader("kind").read(tmp_path / "events.parquet")) == [["1.5", "2.0", "3.0"]]
    assert sequences(EventsReader("is").read(tmp_path / "events.parquet")) == [["true", "false", "true"]]
    missing = refusal(EventsReader("what", features={"x": "gappy"}), tmp_path / "events.parquet")
    assert "1 line wrong.\n  line 2: nothing in the column 'gappy'" in missing
    assert "no column 'wat' (--symbol), perhaps 'what'" in refusal(EventsReader("wat"), tmp_path / "events.parquet")
    assert "is no Parquet file" in refusal(EventsReader(), write(tmp_path, "no", "other.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install 'stepcell\\[parquet\\]'"):
        EventsReader().read(write(tmp_path, "", "events.parquet"))


def test_a_sequence_on_each_line_needs_no_columns(tmp_path):
    recording = EventsReader(format="lines").read(write(tmp_path, "5 22  5 \n\n7\n9 9", "keys"))
    assert sequences(recording) == [["5", "22", "5"], ["7"], ["9", "9"]]
    assert recording.remarks == ("left out: 1 without a symbol (the first in line 2)",)
    whole = EventsReader(format="lines", end="<end>").read(write(tmp_path, "5 22  5 \n\n7\n9 9\n\n\n", "keys"))
    assert sequences(whole) == [["5", "22", "5"], [], ["7"], ["9", "9"], [], []]
    assert whole.remarks == ("3 of 6 sequences are empty: they end at once",)
    split = EventsReader(format="lines", end="<end>", delimiter=",").read(write(tmp_path, "a,,b\n\nc\n", "keys"))
    assert sequences(split) == [["a", "b"], [], ["c"]]
    assert split.remarks[0] == "left out: 1 without a symbol (the first in line 1)"


def test_without_a_sequence_column_all_rows_are_one_and_without_a_header_columns_have_numbers(tmp_path):
    path = write(tmp_path, "3,x\n1,y\n2,x\n")
    assert sequences(EventsReader(symbol="2", header=False).read(path)) == [["x", "y", "x"]]
    assert sequences(EventsReader(symbol="2", order="1", header=False).read(path)) == [["y", "x", "x"]]
    assert sequences(EventsReader().read(write(tmp_path, "x\na\nb\n"))) == [["a", "b"]]


@pytest.mark.parametrize(
    ("values", "order", "options"),
    [
        (["10", "9", "-1.5"], "210", {}),
        ([2**60 + 1, 2**60, 2**60 + 2], "102", {}),  # equal as float64
        ([2**70, 0.5, 7], "120", {}),
        (["2024-05-01 10:00:00", "2024-04-30", "2024-05-01T09:59:59.5Z"], "120", {}),
        (["2024-05-01T10:00:00+02:00", "2024-05-01T09:00:00+00:00"], "01", {}),
        (["31.01.2024", "01.02.2024", "30.01.2024"], "201", {"time_format": "%d.%m.%Y"}),
    ],
)
def test_numbers_and_times_put_events_in_order(tmp_path, values, order, options):
    content = "when,what\n" + "".join(f"{value},{index}\n" for index, value in enumerate(values))
    recording = EventsReader(symbol="what", order="when", **options).read(write(tmp_path, content))
    assert "".join(recording.sequence(0)) == order


def test_events_of_the_same_time_stay_in_the_order_of_the_file_and_are_counted(tmp_path):
    recording = BY_CASE.read(write(tmp_path, "case,time,what\na,2,x\nb,1,z\na,1,y\na,1,x\na,1,x\n"))
    assert sequences(recording) == [["y", "x", "x", "x"], ["z"]]
    what = "2 events have the same order as the one before in their sequence, 1 of them the same symbol too"
    assert what in recording.remarks[0]


@pytest.mark.parametrize(
    ("reader", "content", "problems"),
    [
        (EventsReader("wat", "who", "time"), TABLE, [
            "no column 'wat' (--symbol), perhaps 'what'; no column 'who' (--sequence)",
            "Its columns: 'case', 'time', 'what'."]),
        (EventsReader(), TABLE, ["3 columns; name that of the symbol, for example --symbol 'what'"]),
        (EventsReader("what"), "what,what\n1,2\n", ["2 columns 'what' (--symbol)"]),
        (EventsReader("what", delimiter=","), TABLE.replace(",", ";"), [
            "Separated by ';' it would have 3: leave out --delimiter."]),
        (EventsReader("what", delimiter=",,"), TABLE, ["The delimiter is ',,'; give one character"]),
        (BY_CASE, "case,time,what\n", ["holds no events"]),
        (BY_CASE, "\n\n", ["is empty"]),
        (EventsReader(), 'what\n"a\n' + "b\n" * 100, ["line 2 on", "Is a quotation mark left open there?"]),
        (BY_CASE, "\n".join(["case,time,what", "a,1,x", "a,1", "a,now,x", "a,,x", "a,1,x,y", *["a,2,x,y"] * 4]), [
            "cannot be used: 8 lines wrong.", "line 3: 2 fields, 3 are expected",
            "line 4: 'now' is not a number, as the first value in its column is",
            "line 5: nothing in the order column", "and 3 more"]),
        (BY_CASE, "case,time,what\na,1.5.2024 14:00,x\n", ["--time-format, for example '%d.%m.%Y %H:%M'"]),
        (BY_CASE, "case,time,what\na,nan,x\n", ["'nan' is not a number or a time", "--time-format"]),
        (BY_CASE, "case,time,what\na,1,x\na,inf,x\n", ["'inf' is not a number"]),
        (EventsReader("what", None, "time", gaps="5"), "time,what\n1,gap<5\n", ["events called gap<5, which are gaps"]),
        (EventsReader("what", end="end"), "what\nend\n", ["events called 'end', the end symbol"]),
    ],
)  # fmt: skip
def test_all_problems_of_a_table_are_named(tmp_path, reader, content, problems):
    found = refusal(reader, write(tmp_path, content))
    assert [problem for problem in problems if problem not in found] == []


def test_lines_that_are_no_objects_are_named(tmp_path):
    lines = ['{"what": "a"}', "{", '["a"]', '{"what": {"a": 1}}', '{"what": null}', '{"what": 3}', '{"other": 1}']
    found = refusal(EventsReader("what"), write(tmp_path, "\n".join(lines), "events.jsonl"))
    assert "3 lines wrong" in found
    assert "line 3: not a JSON object\n  line 4: an object where a symbol is expected" in found
    good = write(tmp_path, "\n\n".join([lines[0], *lines[4:]]), "events.jsonl")
    assert sequences(EventsReader("what").read(good)) == [["a", "3"]]
    assert "is a JSON array" in refusal(EventsReader("what"), write(tmp_path, '[{"what": 1}]', "events.json"))
    assert "no column 'what'" in refusal(EventsReader("what"), write(tmp_path, '{"who": 1}', "events.json"))
    for value in ("true", "[1]"):
        path = write(tmp_path, f'{{"what": "a", "time": 1}}\n{{"what": "a", "time": {value}}}', "events.jsonl")
        assert "line 2: " in refusal(EventsReader("what", order="time"), path)


def test_rows_without_a_symbol_or_a_sequence_are_left_out_and_counted(tmp_path):
    recording = BY_CASE.read(write(tmp_path, TABLE + "a,9,\n,9,x\n\nb,,\n"))
    assert sequences(recording) == READ
    assert recording.remarks == (
        "left out: 2 without a symbol (the first in line 6)",
        "left out: 1 without a sequence (the first in line 7)",
    )


@pytest.mark.parametrize(
    ("content", "encoding", "problem"),
    [
        ("what\nä\n".encode("latin-1"), "utf-8", "is not UTF-8: byte 5 is 0xe4 (line 2).*--encoding latin-1"),
        ("what\n„a“\n".encode("cp1252"), "utf-8", "byte 5 is 0x84 (line 2).*--encoding cp1252"),
        ("what\na\n".encode("utf-16"), "utf-8", "byte 0 is 0xff.*--encoding utf-16"),
        ("what\na\n".encode("utf-16-le"), "utf-8", "looks like UTF-16"),
        (b"what\na\n", "utf-9", "There is no encoding 'utf-9'"),
    ],
)
def test_a_wrong_encoding_is_named_with_the_first_wrong_byte(tmp_path, content, encoding, problem):
    found = refusal(EventsReader(symbol="what", encoding=encoding), write(tmp_path, content))
    assert all(part in found for part in problem.split(".*"))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_read_when_they_are_named(tmp_path, encoding):
    path = write(tmp_path, "what\nä\nb\n".encode(encoding))
    assert sequences(EventsReader("what", encoding=encoding).read(path)) == [["ä", "b"]]


def test_a_file_that_grows_while_it_is_read_ends_with_its_last_whole_line(tmp_path):
    path = write(tmp_path, TABLE + "a,3,cut in the mid")
    with open_text(path, "utf-8", None) as (content, file):
        with open(path, "ab") as other:
            other.write(b"a,7,more\n" * 3)
        assert content.read() == TABLE
        assert file.remarks() == (f"it grew while it was read: only its first {len(TABLE)} bytes count",)
        assert file.sha256 == hashlib.sha256(TABLE.encode()).hexdigest()


def test_a_last_line_without_an_end_counts_where_nothing_is_being_written(tmp_path):
    recording = BY_CASE.read(write(tmp_path, TABLE + "a,3,stop"))
    assert sequences(recording) == [READ[0], [*READ[1], "stop"]]
    assert recording.remarks == ()


def test_a_file_that_becomes_shorter_is_refused(tmp_path):
    path = write(tmp_path, TABLE)
    with HashingReader(path) as file:
        path.write_bytes(b"case")
        with pytest.raises(CorpusError, match="has become shorter while it was read"):
            file.readall()


def test_a_damaged_compressed_file_is_refused(tmp_path):
    path = write(tmp_path, gzip.compress(TABLE.encode() * 99)[:-20], "events.csv.gz")
    assert "cut off or damaged" in refusal(BY_CASE, path)


@pytest.mark.parametrize(
    ("start", "problem"),
    [
        (b"PK\x03\x04", "is not text: it is a zip archive; unpack it, or save an Excel workbook (.xlsx) as CSV"),
        (b"\xd0\xcf\x11\xe0", "it is an Excel workbook"),
        (b"PAR1\x15", "it is a Parquet file; name its format: --format parquet"),
        (b"SQLite format 3\0", "it is an SQLite database"),
    ],
)
def test_a_file_is_what_its_content_says_and_not_its_name(tmp_path, start, problem):
    assert problem in refusal(BY_CASE, write(tmp_path, start + bytes(range(200))))
    compressed = write(tmp_path, gzip.compress(TABLE.encode()), "packed.csv")
    assert sequences(BY_CASE.read(compressed)) == sequences(BY_CASE.read(write(tmp_path, TABLE, "a.csv.gz"))) == READ


ROWS = "".join(f"{case},{step},{what}\n" for case in range(9) for step, what in enumerate(["open", "pick", "ship"]))


@given(st.integers(0, 26), st.integers(0, 2), st.sampled_from(["", "close the line", "close the next", "a field"]))
def test_an_open_quotation_mark_never_swallows_rows(folder, row, column, closing):
    lines = ROWS.splitlines()
    cells = lines[row].split(",")
    cells[column] = '"' + cells[column]
    lines[row] = ",".join(cells) + ('"' if closing == "close the line" else "")
    if closing in ("close the next", "a field") and row < 26:
        lines[row + 1] = f'{lines[row + 1]}"' if closing == "close the next" else f'"{lines[row + 1]}'
    path = write(folder, "case,time,what,note\n" + "".join(line + ",\n" for line in lines), "quoted.csv")
    if column == 2 and closing == "close the line":
        assert len(BY_CASE.read(path).ids) == 27
    else:
        assert f"line {row + 2}" in refusal(BY_CASE, path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('case,time,what,note\na,1,x,"first\na,2,y,second\nb,1,x,third"\nb,2,y,\n', "line 2: a field that begins"),
        ('case,time,what,note\na,1,x,"first, of all\nand a second line"\nb,2,y,\n', ""),
        ('note,case,time,what\n"a text\nof ""two"" lines",a,1,x\n"b\r\n\r\nb",b,2,y\n', ""),
        ('note,case,time,what\n"a text,a,1,x\nb,b,2,y"\nc,b,3,y\n', "line 2"),
        ('case,time,what,note\na,1,x,"say \\"hi\\""\n', "from line 2 on"),
        ('case,time,"what\na,1,x\nb,2,y\n', "The first line of"),
        ("case,time,what,note\na,1,x," + "long" * 50_000 + "\nb,2,y,\n", ""),
        ("sep=;\ncase;time;what\na;1;x\nb;2;y\n", ""),
        ("case;time;what\na;1,5;x\nb;2,5;y\n", "write the decimal comma as a point: 1.5"),
    ],
)  # fmt: skip
def test_quotation_marks_long_fields_and_separators(tmp_path, content, problem):
    path = write(tmp_path, content)
    if problem:
        assert problem in refusal(BY_CASE, path)
    else:
        assert sequences(BY_CASE.read(path)) == [["x"], ["y"]]


def test_a_delimiter_that_is_doubtful_is_not_guessed(tmp_path):
    path = write(tmp_path, "open;2024-01-01 00:00:00,123\nship;2024-01-01 00:00:00,120\n")
    reader = EventsReader("1", order="2", header=False)
    assert reader.read(path).sequence(0) == ["ship", "open"]
    assert EventsReader("1", header=False, delimiter=";").read(path).sequence(0) == ["open", "ship"]
    assert "equally many fields" in refusal(EventsReader("1", header=False), path)


def test_values_are_the_same_symbols_in_parquet_and_json(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    values = {
        "bytes": [b"open", b"caf\xc3\xa9"], "true": [True, None], "int": [1, 2], "float": [1.5, float("nan")],
        "decimal": [Decimal("1.50"), Decimal("2.00")], "category": pyarrow.array(["a", "b"]).dictionary_encode(),
        "day": [date(2024, 5, 1), None], "list": [[1], [2]], "raw": [b"\xff", b"a"],
        "time": pyarrow.array([1_000_000_001, 1], pyarrow.timestamp("ns")),
        "order": pyarrow.array([1_700_000_000_000_000_002, 1_700_000_000_000_000_001], pyarrow.timestamp("ns", "UTC")),
    }  # fmt: skip
    path = tmp_path / "events.parquet"
    parquet.write_table(pyarrow.table(values), path)
    found = {name: EventsReader(name).read(path).sequence(0) for name in values if name not in ("list", "raw")}
    found.pop("order")
    assert found == {
        "bytes": ["open", "café"], "true": ["true"], "int": ["1", "2"], "float": ["1.5"], "decimal": ["1.5", "2.0"],
        "category": ["a", "b"], "day": ["2024-05-01"],
        "time": ["1970-01-01T00:00:01.000000001", "1970-01-01T00:00:00.000000001"],
    }  # fmt: skip
    assert EventsReader("int", order="order").read(path).sequence(0) == ["2", "1"]
    assert "line 1: bytes that are not UTF-8" in refusal(EventsReader("raw"), path)
    assert "line 1: a list where a symbol is expected" in refusal(EventsReader("list"), path)


def test_a_unit_of_gaps_needs_a_unit_of_numbers(tmp_path):
    path = write(tmp_path, "time,what\n1704067200000,a\n1704067290000,b\n")
    reader = EventsReader("what", order="time", gaps="1min,1h")
    assert "they look like milliseconds since 1970: --time-unit ms" in refusal(reader, path)
    assert "--gap-feature, which is in seconds, needs the unit" in refusal(
        replace(reader, gaps=None, gap_feature=True), path
    )
    assert replace(reader, time_unit="ms").read(path).sequence(0) == ["a", "b", "gap<1h"]
    assert replace(reader, gaps="100000").read(path).sequence(0) == ["a", "b", "gap<100000"]
    assert replace(reader, time_unit="unstated").read(path).sequence(0) == ["a", "b", "gap>=1h"]


def test_memory_holds_ids_and_not_the_file(tmp_path):
    rows = 10_000
    symbol = "a symbol with a long name, " + 100 * "long, " + "number {}"
    path = write(tmp_path, "case,what\n" + "".join(f'{n % 50},"{symbol.format(n % 9)}"\n' for n in range(rows)))
    tracemalloc.start()
    recording = EventsReader("what", "case").read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(recording.ids) == rows
    assert peak < path.stat().st_size / 5


def test_a_column_without_symbols_is_noticed_before_memory_is_full():
    builder = RecordingBuilder("log.csv", RowErrors("log.csv"), RowParser(Columns(None)), max_different=50)
    for line in range(1, 51):
        builder.add(line, (str(line), None, None))
    with pytest.raises(CorpusError, match="more than 50 different symbols by line 51. Name another column"):
        builder.add(51, ("51", None, None))


def test_a_file_of_another_format_is_given_up_after_many_errors():
    errors = RowErrors("log.csv")
    for line in range(1, 10_000):
        errors.add(line, "wrong")
    with pytest.raises(CorpusError, match="(?s)10,000 or more lines wrong.*and 9,995 more"):
        errors.add(10_000, "wrong")
