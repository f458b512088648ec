"""Data that are larger than memory are read, split and encoded as those that fit, block by block."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcell.runtime.common.errors import CorpusError
from stepcell.runtime.data import Corpus, EventsReader, HeldOut, TextReader, storage
from stepcell.runtime.data.learned import LearnedData
from stepcell.runtime.data.sorted_rows import Rows, RowSorter

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4), st.sampled_from(["", "0", "1", "1.5", "2", "7"]), st.sampled_from("abc"), st.floats(-9, 9)
    ),
    min_size=12, max_size=40,
)  # fmt: skip


@contextmanager
def tiny_blocks(size):
    """Work on so many rows at once, and keep every array in a file."""
    with patch.object(storage, "BLOCK", size), patch.object(storage, "IN_MEMORY", 0):
        yield


def columns(recording):
    """Return everything that a recording holds, as lists."""
    features = None if recording.features is None else recording.features.values.tolist()
    keys = None if recording.keys is None else recording.keys.tolist()
    times = None if recording.times is None else (recording.times.dtype.kind, recording.times.tolist())
    arrays = [recording.ids.tolist(), recording.starts.tolist(), recording.has_start.tolist()]
    return [recording.symbols, *arrays, times, features, keys, recording.remarks, recording.sha256]


def everything(read, split, end):
    """Return what comes of reading, splitting and encoding, or the message of the refusal."""
    try:
        recording = read()
        corpus = Corpus.of(recording, end=end, split=split)
    except CorpusError as error:
        return str(error)
    learned = LearnedData.of(corpus.train)
    encoded = [
        [each.inputs.tolist(), each.targets.tolist(), each.weights.tolist(), each.starts.tolist()]
        for each in (corpus.encoded_train, corpus.encoded_held_out)
    ]
    return [
        columns(recording),
        columns(corpus.train),
        encoded,
        learned and learned.to_json(),
        corpus.vocabulary.symbols,
    ]


@settings(max_examples=20, deadline=None)
@given(ROWS, st.integers(1, 9), st.sampled_from(["case", None]), st.sampled_from(["time", None]),
       st.sampled_from(["sequence", "time", "last"]), st.booleans())  # fmt: skip
def test_a_table_in_tiny_blocks_becomes_the_same_sequences(tmp_path_factory, rows, size, sequence, order, by, features):
    path = tmp_path_factory.getbasetemp() / "log.csv"
    path.write_text("case,time,symbol,x\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in rows))
    end = "<end>" if sequence else None
    more = {"features": {"x": "x"}, "gap_feature": bool(order)} if features else {}
    reader = EventsReader("symbol", sequence, order, end=end, bad_lines="skip", **more)
    whole = everything(lambda: reader.read(path), HeldOut(0.3, by), end)
    with tiny_blocks(size):
        assert everything(lambda: reader.read(path), HeldOut(0.3, by), end) == whole


@settings(max_examples=10, deadline=None)
@given(st.text("abc de\n", min_size=30, max_size=90), st.integers(1, 9), st.sampled_from(["character", "word", "byte"]))
def test_a_text_in_tiny_blocks_becomes_the_same_symbols(tmp_path_factory, content, size, unit):
    path = tmp_path_factory.getbasetemp() / "text.txt"
    path.write_text(content)
    reader = TextReader(unit)
    whole = everything(lambda: reader.read(path), HeldOut(0.3, "time"), None)
    with tiny_blocks(size):
        assert everything(lambda: reader.read(path), HeldOut(0.3, "time"), None) == whole


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 7), st.integers(1, 4))
def test_rows_come_out_as_from_one_sort_in_memory(seed, size, sequences):
    random = np.random.default_rng(seed)
    rows = Rows(
        random.integers(0, sequences, 60).astype(np.int32), random.integers(0, 9, 60), np.arange(60, dtype=np.int32),
        random.normal(size=(60, 2)),
    )  # fmt: skip
    with tiny_blocks(size):
        sorter = RowSorter(2)
        for block in storage.blocks(60):
            sorter.add(rows.at(block))
        parts = list(sorter.merged())
    found = Rows(*map(np.concatenate, zip(*parts, strict=True)))
    assert all(np.array_equal(a, b) for a, b in zip(found, rows.sorted(), strict=True))
    assert sorter.lengths.tolist() == np.bincount(rows.sequences).tolist()


def test_the_files_have_no_name_and_hold_what_was_written(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with tiny_blocks(5):
        array = storage.new_array((1_000,), np.int64)
        array[:] = np.arange(1_000)
        storage.release(array[3:], None, np.zeros(3))
        assert np.array_equal(array, np.arange(1_000))
    assert not list(tmp_path.iterdir())


def test_a_folder_for_large_files_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    with tiny_blocks(5), pytest.raises(CorpusError, match=r"none meanwhile, where no file can be made \(No such file"):
        storage.new_array((1_000,), np.int64)


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with tiny_blocks(5), pytest.raises(CorpusError, match=r"no room for 1 MB more \(No space left .*Set TMPDIR to"):
        storage.new_array((1_000,), np.int64)


def test_an_empty_line_before_one_that_is_longer_than_a_block_stays_an_empty_sequence(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("a\n\n\n" + "a b " * 9 + "\n\n")
    reader = EventsReader(format="lines", end="<end>")
    whole = columns(reader.read(path))
    with tiny_blocks(4):
        assert columns(reader.read(path)) == whole
