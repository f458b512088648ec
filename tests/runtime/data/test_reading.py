"""Files of events and texts are read as they are meant, and what is wrong with them is said, all of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import tracemalloc
from datetime import datetime

import numpy as np
import pytest

from stepcell.runtime import UnknownSymbolError, Vocabulary
from stepcell.runtime.common.errors import CorpusError, MissingPackageError
from stepcell.runtime.data import Corpus, EventsReader, HeldOut, Recording, TextReader, TimeBins, encode_sequences
from stepcell.runtime.data.text_file import HashingReader

BY_CASE = EventsReader(symbol="what", sequence="case", order="time")
TABLE = """case,time,what
b,3,stop
a,2,"go, fast"
b,1,start
a,1,start
"""
READ = [["start", "stop"], ["start", "go, fast"]]


def sequences(recording):
    return [recording.sequence(number) for number in range(len(recording))]


def write(tmp_path, content, name="events.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(reading, path):
    with pytest.raises(CorpusError) as caught:
        reading.read(path)
    return str(caught.value)


def test_events_come_in_their_sequences_and_each_sequence_in_its_order(tmp_path):
    assert sequences(BY_CASE.read(write(tmp_path, TABLE))) == READ


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_separates_the_columns_is_found_out(tmp_path, delimiter):
    rows = [["case", "time", "what"], ["a", "1", "x, y; z|\tz"], ["a", "2", "w"]]
    content = "".join(delimiter.join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    recording = BY_CASE.read(write(tmp_path, content))
    assert sequences(recording) == [["x, y; z|\tz", "w"]]
    assert recording.found == f"csv, separated by {delimiter!r}"


def test_the_same_events_are_read_from_every_format(tmp_path):
    rows = [("b", 3, "stop"), ("a", 2, "go, fast"), ("b", 1, "start"), ("a", 1, "start")]
    objects = "".join(json.dumps(dict(zip(("case", "time", "what"), row, strict=True))) + "\n" for row in rows)
    tabs = "".join("\t".join(map(str, row)) + "\n" for row in [("case", "time", "what"), *rows])
    files = [
        write(tmp_path, TABLE),
        write(tmp_path, objects, "events.jsonl"),
        write(tmp_path, tabs, "events.tsv"),
        write(tmp_path, gzip.compress(TABLE.encode()), "events.csv.gz"),
        write(tmp_path, b"\xef\xbb\xbf" + TABLE.encode(), "marked.csv"),
    ]
    assert [sequences(BY_CASE.read(file)) for file in files] == [READ] * len(files)


def test_parquet_is_read_where_pyarrow_is_installed(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = [datetime(2024, 5, day) for day in (3, 2, 1, 1)]
    table = {"case": ["b", "a", "b", "a"], "time": times, "what": ["stop", "go, fast", "start", "start"], "x": [0] * 4}
    parquet.write_table(pyarrow.table(table), tmp_path / "events.parquet")
    recording = BY_CASE.read(tmp_path / "events.parquet")
    assert sequences(recording) == READ
    assert np.diff(recording.when).tolist() == [172_800.0, -172_800.0, 86_400.0]
    assert "no column 'kind' (--symbol)" in refusal(EventsReader(symbol="kind"), tmp_path / "events.parquet")
    assert "is no Parquet file" in refusal(EventsReader(), write(tmp_path, "no", "other.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install 'stepcell\\[parquet\\]'"):
        EventsReader().read(write(tmp_path, "", "events.parquet"))


def test_a_sequence_on_each_line_needs_no_columns(tmp_path):
    path = write(tmp_path, "5 22  5 \n\n7\n9 9", "keys")
    recording = EventsReader(format="lines").read(path)
    assert sequences(recording) == [["5", "22", "5"], ["7"], ["9", "9"]]
    assert recording.remarks == ("left out: 1 without a symbol (the first in line 2)",)
    assert "--format csv, tsv, jsonl, parquet, or lines" in refusal(EventsReader(), path)


def test_without_a_sequence_column_all_is_one_and_without_a_header_columns_have_numbers(tmp_path):
    path = write(tmp_path, "3,x\n1,y\n2,x\n")
    assert sequences(EventsReader(symbol="2", header=False).read(path)) == [["x", "y", "x"]]
    assert sequences(EventsReader(symbol="2", order="1", header=False).read(path)) == [["y", "x", "x"]]
    assert sequences(EventsReader().read(write(tmp_path, "x\na\nb\n"))) == [["a", "b"]]


def test_times_numbers_and_times_as_they_are_written_elsewhere_put_events_in_order(tmp_path):
    def order(values, **options):
        content = "when,what\n" + "".join(f"{value},{place}\n" for place, value in enumerate(values))
        recording = EventsReader(symbol="what", order="when", **options).read(write(tmp_path, content))
        return "".join(recording.sequence(0))

    assert order(["10", "9", "-1.5"]) == "210"
    assert order([2**60 + 1, 2**60, 2**60 + 2]) == "102"  # as float64 they are all the same
    assert order(["2024-05-01 10:00:00", "2024-04-30", "2024-05-01T09:59:59.5Z"]) == "120"
    assert order(["2024-05-01T10:00:00+02:00", "2024-05-01T09:00:00+00:00"]) == "01"
    assert order(["31.01.2024", "01.02.2024", "30.01.2024"], time_format="%d.%m.%Y") == "201"


def test_events_at_the_same_moment_stay_as_they_stand_in_the_file_and_are_counted(tmp_path):
    recording = BY_CASE.read(write(tmp_path, "case,time,what\na,2,x\nb,1,z\na,1,y\na,1,x\na,1,x\n"))
    assert sequences(recording) == [["y", "x", "x", "x"], ["z"]]
    assert (
        "2 events have the same order as the one before in their sequence, 1 of them the same" in recording.remarks[0]
    )


def test_missing_columns_are_all_named_with_those_that_exist(tmp_path):
    found = refusal(EventsReader(symbol="wat", sequence="who", order="time"), write(tmp_path, TABLE))
    assert "no column 'wat' (--symbol), perhaps 'what'; no column 'who' (--sequence)" in found
    assert "Its columns: 'case', 'time', 'what'." in found
    assert "3 columns; say which is the symbol, for example --symbol 'what'" in refusal(
        EventsReader(), write(tmp_path, TABLE)
    )
    assert "2 columns 'what'" in refusal(EventsReader(symbol="what"), write(tmp_path, "what,what\n1,2\n"))


def test_a_wrong_delimiter_is_said_to_be_one(tmp_path):
    found = refusal(EventsReader(symbol="what", delimiter=","), write(tmp_path, TABLE.replace(",", ";")))
    assert "Separated by ';' it would have 3: leave out --delimiter." in found


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
def test_a_wrong_encoding_is_said_to_be_one_with_its_place(tmp_path, content, encoding, problem):
    found = refusal(EventsReader(symbol="what", encoding=encoding), write(tmp_path, content))
    assert all(part in found for part in problem.split(".*"))


def test_other_encodings_are_read_when_they_are_named(tmp_path):
    for encoding in ("latin-1", "utf-16"):
        path = write(tmp_path, "what\nä\nb\n".encode(encoding))
        assert sequences(EventsReader("what", encoding=encoding).read(path)) == [["ä", "b"]]


def test_all_wrong_lines_are_counted_and_the_first_shown(tmp_path):
    rows = ["case,time,what", "a,1,x", "a,1", "a,now,x", "a,,x", "a,1,x,y", *["a,2,x,y"] * 4]
    found = refusal(BY_CASE, write(tmp_path, "\n".join(rows)))
    assert "cannot be used: 8 lines wrong." in found
    assert "line 3: 2 fields, 3 are expected" in found
    assert "line 4: 'now' is not a number, as the first value in its column is" in found
    assert "line 5: nothing in the order column" in found
    assert found.endswith("and 3 more")
    times = "case,time,what\na,1.5.2024 14:00,x\n"
    assert "--time-format, for example '%d.%m.%Y %H:%M'" in refusal(BY_CASE, write(tmp_path, times))


def test_wrong_json_lines_are_named(tmp_path):
    lines = ['{"what": "a"}', "{", '["a"]', '{"what": {"a": 1}}', '{"what": null}', '{"what": 3}', '{"other": 1}']
    found = refusal(EventsReader("what"), write(tmp_path, "\n".join(lines), "events.jsonl"))
    assert "3 lines wrong" in found
    assert "line 3: not a JSON object" in found
    good = write(tmp_path, "\n".join([lines[0], *lines[4:]]), "events.jsonl")
    assert sequences(EventsReader("what").read(good)) == [["a", "3"]]
    assert "is a JSON array" in refusal(EventsReader("what"), write(tmp_path, '[{"what": 1}]', "events.json"))
    assert "no column 'what'" in refusal(EventsReader("what"), write(tmp_path, '{"who": 1}', "events.json"))


def test_rows_without_a_symbol_or_a_sequence_are_left_out_and_counted(tmp_path):
    recording = BY_CASE.read(write(tmp_path, TABLE + "a,9,\n,9,x\n\nb,,\n"))
    assert sequences(recording) == READ
    assert recording.remarks == (
        "left out: 2 without a symbol (the first in line 6)",
        "left out: 1 without a sequence (the first in line 7)",
    )
    assert "holds no events" in refusal(BY_CASE, write(tmp_path, "case,time,what\n"))
    assert "is empty" in refusal(BY_CASE, write(tmp_path, ""))


def test_a_quotation_mark_without_its_counterpart_is_not_swallowed(tmp_path):
    content = 'what\n"a\n' + "b\n" * 100_000
    assert "A quotation mark left open" in refusal(EventsReader(), write(tmp_path, content))


class Growing(HashingReader):
    """A file to which something is appended as soon as it has been opened."""

    def __init__(self, path):
        super().__init__(path)
        with open(path, "ab") as file:
            file.write(b"a,7,more\n" * 3)


def test_a_file_that_grows_while_it_is_read_ends_with_its_last_whole_line(tmp_path, monkeypatch):
    monkeypatch.setattr("stepcell.runtime.data.text_file.HashingReader", Growing)
    recording = BY_CASE.read(write(tmp_path, TABLE + "a,3,cut in the mid"))
    assert sequences(recording) == READ
    assert recording.remarks == (f"it grew while it was read: only its first {len(TABLE)} bytes count",)


def test_a_last_line_without_an_end_counts_where_nothing_is_being_written(tmp_path):
    recording = BY_CASE.read(write(tmp_path, TABLE + "a,3,stop"))
    assert sequences(recording) == [READ[0], [*READ[1], "stop"]]
    assert recording.remarks == ()


def test_a_file_that_becomes_shorter_is_refused(tmp_path, monkeypatch):
    class Shrinking(HashingReader):
        def __init__(self, path):
            super().__init__(path)
            path.write_bytes(b"case")

    monkeypatch.setattr("stepcell.runtime.data.text_file.HashingReader", Shrinking)
    assert "has become shorter while it was read" in refusal(BY_CASE, write(tmp_path, TABLE))


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path):
    path = write(tmp_path, gzip.compress(TABLE.encode() * 99)[:-20], "events.csv.gz")
    assert "cut off or damaged" in refusal(BY_CASE, path)
    assert "Not a gzipped file" in refusal(BY_CASE, write(tmp_path, TABLE, "events.csv.gz"))


def test_memory_holds_ids_and_not_the_file(tmp_path):
    rows = 40_000
    symbol = "a symbol with a long name, " + 100 * "long, " + "number {}"
    path = write(tmp_path, "case,what\n" + "".join(f'{n % 50},"{symbol.format(n % 9)}"\n' for n in range(rows)))
    tracemalloc.start()
    recording = EventsReader("what", "case").read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(recording.ids) == rows
    assert peak < path.stat().st_size / 10


def test_gaps_stand_behind_the_events_that_ended_them():
    recording = Recording.of([["a", "b", "c"], ["d"], ["e", "f"]])
    when = np.array([0, 59, 3600, 5, 7, 7 + 3600], float)
    timed = Recording.whole(recording.symbols, recording.ids, recording.starts, when)
    gaps = TimeBins.parse("1min, 1h")
    assert gaps.symbols == ("gap<1min", "gap<1h", "gap>=1h")
    found = gaps.insert(timed)
    assert sequences(found) == [["a", "b", "gap<1min", "c", "gap<1h"], ["d"], ["e", "f", "gap>=1h"]]
    assert found.when.tolist() == [0, 59, 59, 3600, 3600, 5, 7, 3607, 3607]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: TimeBins.parse("1h,1min"), "have to grow"),
        (lambda: TimeBins.parse("soon"), "'soon' is no time"),
        (lambda: EventsReader(gaps="1s", format="xls"), "'xls', not one of csv.*gaps need a column of times, --order"),
        (lambda: EventsReader(symbol="what", format="lines"), "lines have no columns"),
        (lambda: HeldOut(1.5, "chance"), "hold out is 1.5.*'chance', not 'sequence' or 'time'"),
        (lambda: TextReader("letter"), "'letter', not one of character, byte, word"),
    ],
)
def test_values_that_make_no_sense_are_refused_together(make, problem):
    with pytest.raises(CorpusError, match=problem):
        make()


def test_the_names_of_gaps_and_of_the_end_must_be_free(tmp_path):
    path = write(tmp_path, "time,what\n1,gap<5\n2,end\n")
    assert "events called gap<5, which are gaps" in refusal(EventsReader("what", None, "time", gaps="5"), path)
    assert "events called 'end', the end symbol" in refusal(EventsReader("what", end="end"), path)


def test_a_share_of_the_sequences_is_held_out_always_the_same():
    recording = Recording.of([[f"s{n}", "x"] for n in range(40)])
    learned, held_out = HeldOut(0.25).split(recording)
    assert (len(learned), len(held_out)) == (30, 10)
    names = {s[0] for s in sequences(learned)}, {s[0] for s in sequences(held_out)}
    assert names[0].isdisjoint(names[1])
    assert sequences(HeldOut(0.25).split(recording)[1]) == sequences(held_out)
    with pytest.raises(CorpusError, match="nothing is left to learn from. Hold out less"):
        HeldOut(0.9, "sequence").split(Recording.of([["a"]]))


def test_a_split_by_time_cuts_sequences_that_go_on_across_it():
    recording = Recording.of([["a", "b", "c"], ["d", "e"], ["f", "g"]])
    when = np.array([1, 5, 9, 2, 3, 8, 9], float)
    timed = Recording.whole(recording.symbols, recording.ids, recording.starts, when)
    learned, held_out = HeldOut(0.45, "time").split(timed)
    assert (sequences(learned), sequences(held_out)) == ([["a", "b"], ["d", "e"]], [["c"], ["f", "g"]])
    assert (learned.begun.tolist(), learned.ended.tolist()) == ([True, True], [False, True])
    assert (held_out.begun.tolist(), held_out.ended.tolist()) == ([False, True], [True, True])


def spelled(tape, vocabulary):
    spell = lambda ids: [vocabulary.decode(int(id)) for id in ids]  # noqa: E731
    return spell(tape.inputs), [t if w else None for t, w in zip(spell(tape.targets), tape.weights, strict=True)]


def test_the_end_symbol_comes_first_and_last_so_that_every_event_is_asked_for():
    vocabulary = Vocabulary(("a", "b", "c", "end"))
    tape = encode_sequences(Recording.of([["a", "b"], ["c"]]), vocabulary, "end")
    assert spelled(tape, vocabulary) == (["end", "a", "b", "end", "c"], ["a", "b", "end", "c", "end"])
    assert tape.is_start.tolist() == [True, False, False, True, False]


def test_what_was_cut_has_no_end_and_no_beginning_there():
    vocabulary = Vocabulary(("a", "b", "c", "end"))
    whole = Recording.of([["a", "b"], ["c", "a"]])
    cut = whole.part(whole.starts[:-1], whole.starts[1:], np.array([True, False]), np.array([False, True]))
    tape = encode_sequences(cut, vocabulary, "end")
    assert spelled(tape, vocabulary) == (["end", "a", "b", "c", "a"], ["a", "b", None, "a", "end"])
    assert spelled(encode_sequences(whole, vocabulary, None), vocabulary) == (
        ["a", "b", "c", "a"],
        ["b", None, "a", None],
    )


def test_rare_and_new_symbols_are_unknown():
    learned = Recording.of([["a", "a", "b", "b", "b", "rare"]])
    held_out = Recording.of([["a", "new", "rare", "b"]])
    corpus = Corpus.of_parts(learned, held_out, end="end", min_count=2)
    assert corpus.vocabulary.symbols == ("b", "a", "<unknown>", "end")
    found = spelled(corpus.encoded_held_out, corpus.vocabulary)[0]
    assert found == ["end", "a", "<unknown>", "<unknown>", "b"]
    with pytest.raises(UnknownSymbolError):
        encode_sequences(held_out, Vocabulary(("a", "b")), None)


def test_a_vocabulary_above_the_limit_is_refused_with_what_would_make_it_smaller():
    recording = Recording.of([["x"] * 5 + ["y"] * 5 + ["z"] * 3 + [f"n{n}" for n in range(9)]])
    with pytest.raises(CorpusError, match="has 12 different symbols, 5 are the most. --min-count 2 leaves 3;"):
        Corpus.of_parts(recording, recording, max_symbols=5)
    with pytest.raises(CorpusError, match="No symbol .* occurs 9 times"):
        Corpus.of_parts(recording, recording, min_count=9)


def test_a_column_of_something_that_is_no_symbol_is_noticed_before_memory_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr("stepcell.runtime.data.recording_builder._MOST_DIFFERENT", 50)
    path = write(tmp_path, "what\n" + "".join(f"{n}\n" for n in range(90)))
    assert "more than 50 different symbols by line 52. Name another column" in refusal(EventsReader(), path)


@pytest.mark.parametrize(
    ("unit", "symbols"),
    [
        ("character", ["H", "é", "'", "s", " ", "9", ",", "\n", "o", "k", "!"]),
        ("byte", ["48", "c3", "a9", "27", "73", "20", "39", "2c", "0a", "6f", "6b", "21"]),
        ("word", ["Hé's", "9", ",", "\n", "ok", "!"]),
    ],
)
def test_a_text_is_characters_bytes_or_words(tmp_path, unit, symbols, monkeypatch):
    content = "Hé's 9,\nok!"
    assert TextReader(unit).split(content) == symbols
    for size in (3, 4, 1 << 20):  # wherever the blocks of a file end
        monkeypatch.setattr("stepcell.runtime.data.text._BLOCK", size)
        assert sequences(TextReader(unit).read(write(tmp_path, content, "a.txt"))) == [symbols]


def test_a_folder_of_texts_has_a_sequence_for_each_file(tmp_path):
    (tmp_path / "sub").mkdir()
    for name, content in {
        "b.txt": "two",
        "a.txt": "one",
        "sub/c.txt": "three",
        ".hidden": "no",
        "empty.txt": "",
    }.items():
        write(tmp_path, content, name)
    recording = TextReader(end="<end>").read(tmp_path)
    assert ["".join(sequence) for sequence in sequences(recording)] == ["one", "two", "three"]
    assert recording.remarks == (f"{tmp_path / 'empty.txt'} is empty and left out",)
    before = recording.sha256
    write(tmp_path, "2", "b.txt")
    assert TextReader().read(tmp_path).sha256 != before


def test_the_same_file_has_the_same_sha256_and_another_has_not(tmp_path):
    path = write(tmp_path, TABLE)
    assert BY_CASE.read(path).sha256 == hashlib.sha256(TABLE.encode()).hexdigest()
