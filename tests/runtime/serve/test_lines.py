"""Lines come whole and in order, however a file grows, is rotated, truncated or overwritten."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.predicting import append

from stepcell.runtime.common.errors import InputError
from stepcell.runtime.serve.file_lines import FileLines
from stepcell.runtime.serve.lines import LineBuffer, PipedLines
from stepcell.runtime.serve.signals import SignalGuard


class Clock:
    """Time that passes only while somebody sleeps; `events` happen then, each at its time."""

    def __init__(self):
        self.time, self.events = 0.0, {}

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds
        for time in [time for time in self.events if time <= self.time]:
            self.events.pop(time)()


@given(st.lists(st.binary(max_size=9), max_size=9), st.data())
def test_however_lines_come_in_pieces_they_are_the_same(lines, data):
    lines = [line.replace(b"\n", b"").rstrip(b"\r") for line in lines]
    content = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r\n"])) for line in lines)
    rest = data.draw(st.sampled_from([b"", b"x", b"xyz"]))
    buffer, found, position = LineBuffer(), [], 0
    content += rest
    while position < len(content):
        size = data.draw(st.integers(1, 7))
        buffer.add(content[position : position + size])
        position += size
        while line := buffer.next():
            found.append(line)
    assert [line.content for line in found] == lines
    assert [line.number for line in found] == list(range(1, len(lines) + 1))
    assert buffer.position == len(content) - len(rest)
    buffer.finish()
    last = buffer.next()
    assert buffer.next() is None
    assert (last.content if last else b"") == rest
    if last:
        buffer.take_back()
        assert (buffer.position, buffer.number) == (len(content) - len(rest), len(lines))


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_is_refused_after_those_before_it_and_is_not_read(end):
    buffer = LineBuffer()
    buffer.add(b"first\n" + b"x" * (2**20 + 1) + end)
    assert buffer.next().content == b"first"
    for _ in range(2):
        with pytest.raises(InputError, match="Line 2 is longer than 1,048,576 bytes"):
            buffer.next()
    assert (buffer.position, buffer.number) == (6, 1)
    buffer = LineBuffer()
    buffer.add(b"x" * 2**20 + b"\n")
    assert len(buffer.next().content) == 2**20


def test_pieces_of_a_line_do_not_lengthen_the_wait_for_its_end():
    reader, writer = os.pipe()
    clock, waits = Clock(), []

    class Trickle(SignalGuard):
        """After each wait comes a byte, never a line end."""

        def wait_for(self, descriptor, seconds):
            waits.append(seconds)
            clock.sleep(0.002)
            os.write(writer, b"x")
            return seconds > 0

    try:
        with open(reader, "rb", buffering=0) as stdin:
            lines = PipedLines(stdin, Trickle(clock.now))
            assert lines.next(0.01) is None
            assert waits == sorted(waits, reverse=True)
            assert waits[-1] == 0
            assert not lines.has_ended
    finally:
        os.close(writer)


@contextmanager
def lines_of(kind, content, path):
    """Lines of `content` from bytes in memory, through a pipe, or from a file."""
    if kind == "memory":
        yield PipedLines(io.BytesIO(content), SignalGuard())
    elif kind == "file":
        path.write_bytes(content)
        lines = FileLines(path, SignalGuard(), print)
        yield lines
        lines.close()
    else:
        reader, writer = os.pipe()
        os.write(writer, content)
        os.close(writer)
        with open(reader, "rb", buffering=0) as pipe:
            yield PipedLines(pipe, SignalGuard())


@pytest.mark.parametrize("kind", ["memory", "pipe", "file"])
def test_a_last_line_without_an_end_is_a_line_and_then_there_is_none(kind, tmp_path):
    with lines_of(kind, b"a\nb", tmp_path / "log") as lines:
        assert lines.next(0.0).content == b"a"
        assert not lines.has_ended
        last = lines.next(0.0)
        assert (last.number, last.content) == (2, b"b")
        assert lines.next(None) is None
        assert lines.has_ended


class Followed:
    """A followed file, and the remarks about it."""

    def __init__(self, path, clock=None):
        self.told, clock = [], clock or Clock()
        self.lines = FileLines(path, SignalGuard(clock.now, clock.sleep), self.told.append, follow=True)

    def all(self, timeout=0.0):
        """All lines that there are now."""
        found = []
        while line := self.lines.next(timeout):
            found.append(line.content.decode())
        return found


@pytest.fixture
def renamed(tmp_path):
    """A followed log of one line, which has been read, renamed; its old path."""
    path = tmp_path / "log"
    path.write_text("a\n")
    followed = Followed(path)
    assert followed.all() == ["a"]
    path.rename(tmp_path / "log.1")
    yield path, followed
    followed.lines.close()


def test_a_line_that_is_partly_written_waits_for_its_end(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\nb")
    followed = Followed(path)
    assert followed.all() == ["a"]
    append(path, "c")
    assert followed.all() == []
    append(path, "d\ne\n")
    assert followed.all() == ["bcd", "e"]
    assert followed.told == []


@pytest.mark.parametrize(
    ("before", "content", "remark"),
    [
        ("a\nb\nc\n", "x\n", "has been truncated (line 3 was the last): going on at its beginning."),
        ("a\nb\nc\n", "x\ny\nz\nlonger than before\n", "has been overwritten (line 3 was the last)"),
        ("a\nbcd", "", "(line 1 was the last, 3 bytes of an unfinished line are lost)"),
    ],
)
def test_a_file_that_is_truncated_or_overwritten_is_read_from_its_beginning(tmp_path, before, content, remark):
    path = tmp_path / "log"
    path.write_text(before)
    followed = Followed(path)
    assert followed.all() == before.splitlines()[: before.count("\n")]
    path.write_text(content)
    assert followed.all() == content.splitlines()
    assert len(followed.told) == 1
    assert remark in followed.told[0]


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(tmp_path, renamed):
    path, followed = renamed
    assert followed.all(0.12) == []  # no file has the name: wait
    append(tmp_path / "log.1", "late\nlast")
    path.write_text("new\n")
    assert followed.all(0.3) == ["late", "last", "new"]
    what = "has been replaced by another file (line 3 was the last): going on at its beginning."
    assert followed.told == [f"{path} {what}"]


def test_lines_that_are_still_written_to_the_old_file_are_read(tmp_path, renamed):
    path, followed = renamed
    path.write_text("new\n")
    assert followed.all() == []  # noticed, and not yet believed
    append(tmp_path / "log.1", "late\n")
    assert followed.all(0.3) == ["late", "new"]


def test_where_the_new_file_cannot_be_read_the_offset_in_the_old_one_is_still_known(renamed):
    path, followed = renamed
    path.mkdir()
    with pytest.raises(InputError, match="is not a file"):
        followed.all(0.3)
    assert (followed.lines.offset().position, followed.lines.offset().line) == (2, 1)


def test_a_followed_file_may_be_created_later(tmp_path):
    path, clock = tmp_path / "log", Clock()
    clock.events[0.12] = lambda: path.write_text("a\n")
    followed = Followed(path, clock)
    assert followed.all() == ["a"]
    assert followed.told == [f"Waiting for {path}."]
    assert clock.time == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "There is no file"), ("", "is not a file"), ("long" * 99, "Cannot read"), (os.devnull, "is not a file")],
)
def test_an_input_that_cannot_be_read_is_refused(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        FileLines(tmp_path / name, SignalGuard(), print)
