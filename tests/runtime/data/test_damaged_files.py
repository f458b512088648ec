"""Damaged files of data end in a CorpusError, whatever is damaged."""

from __future__ import annotations

import gzip
import io

import pytest

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import EventsReader, SymbolsReader, TextReader


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, '{"what": ' + "9" * 5000 + "}"])
def test_a_line_that_no_json_reader_can_take_is_an_error_of_its_line(line, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"what": "open"}}\n{line}\n')
    with pytest.raises(CorpusError, match="line 2: not JSON"):
        EventsReader("what").read(path)


def test_a_number_beyond_all_floats_is_an_error_of_its_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"what": "open", "x": 1' + "0" * 400 + "}\n")
    with pytest.raises(CorpusError, match="line 1: .* in the column 'x' is not a number"):
        EventsReader("what", features={"x": "x"}).read(path)


@pytest.mark.parametrize("damage", [lambda packed: packed[:-6], lambda packed: packed[:-8] + b"\0" * 8])
def test_a_wrong_encoding_in_a_damaged_compressed_file_is_an_encoding_error(damage, tmp_path):
    path = tmp_path / "log.txt.gz"
    path.write_bytes(damage(gzip.compress(b"caf\xe9\n" + b"tea\n" * 5)))
    with pytest.raises(CorpusError, match="is not UTF-8|cut off or damaged|Cannot read"):
        TextReader().read(path)


def test_days_beyond_the_calendar_in_parquet_are_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for number, days in enumerate((2**31 - 1, 5_000_000)):
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(pyarrow.table({"what": pyarrow.array([days], pyarrow.date32())}), path)
        with pytest.raises(CorpusError, match="is no Parquet file that can be read"):
            EventsReader("what").read(path)


def test_strings_that_are_not_utf_8_in_parquet_are_refused(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    offsets = pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0")
    column = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, offsets, pyarrow.py_buffer(b"\xff")])
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"what": column}), file)
    (tmp_path / "log.parquet").write_bytes(file.getvalue())
    with pytest.raises(CorpusError, match="is no Parquet file that can be read"):
        EventsReader("what").read(tmp_path / "log.parquet")


def test_empty_lines_are_no_symbols_and_are_counted(tmp_path):
    path = tmp_path / "symbols.txt"
    path.write_bytes(b"open\n\r\nclose\n\n\n")
    recording = SymbolsReader().read(path)
    assert recording.sequence(0) == ["open", "close"]
    assert recording.remarks == ("left out: 3 empty lines",)
    path.write_bytes(b"\n\n")
    with pytest.raises(CorpusError, match="is empty"):
        SymbolsReader().read(path)
