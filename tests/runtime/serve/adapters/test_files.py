"""A file as a source: each line once, wherever it is read on, whatever happens to the file."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepcell.runtime.common.errors import InputError
from stepcell.runtime.serve.adapters.base import Inbox
from stepcell.runtime.serve.adapters.files import CutLineBuffer, FileSource
from stepcell.runtime.serve.file_lines import FileLines
from stepcell.runtime.serve.lines import LONGEST
from stepcell.runtime.serve.signals import SignalGuard


class Reading:
    """A source of a file, and what it delivers."""

    def __init__(self, path, position=None, **options):
        self.inbox, self.told, self.beginnings = Inbox(), [], []
        self.source = FileSource(path, self.told.append, **options)
        self.source.start(self.inbox, position)

    def take(self, count):
        """The next records, at least `count`."""
        found = []
        while len(found) < count:
            source, records = self.inbox.take(10.0)
            assert source is self.source
            found += self.lines_of(records)
        return found

    def all(self):
        """All records to the end, and the error behind them."""
        found = []
        while isinstance(entry := self.inbox.take(10.0)[1], list):
            found += self.lines_of(entry)
        return found, entry

    def lines_of(self, records):
        """Records that are lines, and not the beginning of a file."""
        self.inbox.taken(len(records))
        self.beginnings += [each.position for each in records if not each.number]
        return [each for each in records if each.number]

    def all_waiting(self):
        """What is in the inbox of a source that was stopped."""
        while (entry := self.inbox.take(0)) is not None:
            self.lines_of(entry[1])

    def stop(self):
        self.source.stop()
        self.source.close()


def all_of(path, position=None):
    reading = Reading(path, position)
    records, error = reading.all()
    assert error is None
    return records


def kept(record):
    """The position of a record as it comes back from the store."""
    return json.loads(json.dumps(record.position()))


def contents(records):
    return [(each.number, each.content, each.error) for each in records]


CONTENT = st.lists(st.binary(max_size=12) | st.sampled_from([b"4", b"{}", b"\xff\x00", b"4\r", b""]), max_size=30)


@settings(max_examples=40, deadline=None)
@given(CONTENT, st.data())
def test_a_file_goes_on_after_any_record_and_with_the_position_that_predict_saves(tmp_path_factory, lines, data):
    path = tmp_path_factory.mktemp("files") / "in"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    records = all_of(path)
    if not records:
        return
    index = data.draw(st.integers(0, len(records) - 1))
    assert contents(all_of(path, kept(records[index]))) == contents(records[index + 1 :])
    reader = FileLines(path, SignalGuard(), print)
    for _ in range(index + 1):
        reader.next(0.0)
    assert vars(reader.offset()) == kept(records[index])
    reader.close()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60)))
def test_lines_are_the_same_in_whichever_pieces_they_come(content, cuts):
    whole, pieces, found = CutLineBuffer(), CutLineBuffer(), []
    whole.add(content)
    whole.finish()
    edges = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    for first, last in pairwise(edges):
        pieces.add(content[first:last])
        found += pieces.take()
    pieces.finish()
    assert found + pieces.take() == whole.take()
    assert pieces.position == len(content)


def test_what_is_no_text_comes_as_it_stands_and_takes_nothing_of_its_neighbours(tmp_path):
    (tmp_path / "in").write_bytes(b"\xef\xbb\xbf4\r\n\xff\xfe\x00\n\n\x00\x01\n0\n")
    records = all_of(tmp_path / "in")
    assert [each.content for each in records] == [b"4", b"\xff\xfe\x00", b"", b"\x00\x01", b"0"]
    assert [each.number for each in records] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1, 3 * LONGEST])
def test_a_line_that_is_too_long_is_an_error_and_the_next_one_is_read(tmp_path, length):
    (tmp_path / "in").write_bytes(b"4\n" + b"x" * length + b"\n0\n1\n")
    records = all_of(tmp_path / "in")
    assert [each.content for each in records[2:]] == [b"0", b"1"]
    assert (records[1].error is not None) == (length > LONGEST)
    if records[1].error:
        assert records[1].error == "Line 2 is longer than 1,048,576 bytes."
    assert contents(all_of(tmp_path / "in", kept(records[1]))) == contents(records[2:])


def test_a_partly_written_line_waits_for_its_end(tmp_path):
    (tmp_path / "in").write_text("4\n0")
    records = all_of(tmp_path / "in")
    assert [each.content for each in records] == [b"4"]
    reading = Reading(tmp_path / "in", kept(records[0]), follow=True)
    time.sleep(0.1)
    assert reading.inbox.take(0) is None
    with open(tmp_path / "in", "a") as file:
        file.write("12\n")
    assert [each.content for each in reading.take(1)] == [b"012"]
    reading.stop()


def test_a_followed_file_is_rotated_and_no_line_is_left_out(tmp_path):
    log = tmp_path / "log"
    reading = Reading(log, follow=True)
    while not reading.told:
        time.sleep(0.01)
    log.write_text("0\n1\n")
    records = reading.take(2)
    log.rename(tmp_path / "log.1")
    log.write_text("2\n3\n")
    records += reading.take(2)
    reading.stop()
    assert contents(records) == [(1, b"0", None), (2, b"1", None), (1, b"2", None), (2, b"3", None)]
    assert reading.told[0] == f"Waiting for {log}."
    assert "has been replaced by another file" in reading.told[1]
    assert contents(all_of(log, kept(records[0]))) == contents(records[1:])


def test_the_beginning_of_a_file_is_known_before_its_first_line(tmp_path):
    log = tmp_path / "log"
    log.touch()
    reading = Reading(log, follow=True)
    while not reading.inbox.waiting:
        time.sleep(0.01)
    reading.stop()
    reading.all_waiting()
    log.write_text("0\n")
    log.rename(tmp_path / "log.1")
    log.write_text("1\n")
    assert [each.content for each in all_of(log, *reading.beginnings)] == [b"0", b"1"]
    again = Reading(log, *reading.beginnings)
    again.all()
    assert [each["position"] for each in again.beginnings] == [0]  # of the second file


def test_positions_of_lines_that_were_read_before_a_truncation_fit_no_later_content(tmp_path):
    log = tmp_path / "log"
    log.write_text("4\n" * 500)
    reading = Reading(log, follow=True)
    records = reading.take(500)
    log.write_text("")
    while not reading.told:
        time.sleep(0.01)
    reading.stop()
    log.write_text("4\n" * 600)
    assert len(all_of(log, kept(records[-1]))) == 600


def test_a_file_that_is_not_there_is_refused_or_waited_for(tmp_path):
    with pytest.raises(InputError, match="There is no file .*in to read records from. --follow waits for it"):
        Reading(tmp_path / "in")
    reading = Reading(tmp_path / "in", follow=True)
    while not reading.told:
        time.sleep(0.01)
    reading.stop()
    assert reading.told == [f"Waiting for {tmp_path / 'in'}."]


def test_a_folder_ends_the_service_with_an_error(tmp_path):
    _, error = Reading(tmp_path).all()
    assert str(error) == f"{tmp_path} is not a file."


def test_a_source_whose_inbox_is_closed_ends(tmp_path):
    (tmp_path / "in").write_text("4\n" * 10_000)
    reading = Reading(tmp_path / "in")
    reading.take(1)
    reading.inbox.close()
    reading.stop()
