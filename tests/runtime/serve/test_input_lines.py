"""Lines come whole and in order, however a file grows, is rotated, cut off or written anew."""

from __future__ import annotations

import io
import os
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.predicting import append

from stepcell.runtime.common.errors import InputError
from stepcell.runtime.serve.file_lines import FileLines
from stepcell.runtime.serve.lines import LineBuffer, PipedLines
from stepcell.runtime.serve.signals import SignalGuard


@settings(max_examples=200, deadline=None)
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


def test_a_line_that_is_longer_than_any_is_refused_after_those_before_it_and_is_not_read():
    for end in (b"", b"\n"):
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
    waits = []

    class Trickle(SignalGuard):
        """A byte comes whenever one is waited for, and never a line end."""

        def wait_for(self, descriptor, seconds):
            waits.append(seconds)
            assert len(waits) < 100_000, "it waits for ever"
            os.write(writer, b"x")
            return seconds > 0

    try:
        with open(reader, "rb", buffering=0) as stdin:
            lines = PipedLines(stdin, Trickle())
            assert lines.next(0.01) is None
            assert waits == sorted(waits, reverse=True)
            assert waits[-1] == 0
            assert not lines.has_ended
    finally:
        os.close(writer)


@contextmanager
def lines_of(kind, content, path):
    """Lines of `content` from bytes in memory, through a pipe, or out of a file."""
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
    """A file that is followed, and what was told about it."""

    def __init__(self, path, **options):
        self.told = []
        self.lines = FileLines(path, SignalGuard(), self.told.append, follow=True, **options)

    def all(self, timeout=0.0):
        """All lines that there are now."""
        found = []
        while line := self.lines.next(timeout):
            found.append(line.content.decode())
        return found


def renamed_log(tmp_path):
    """Follow a log of one line, which has been read, and take its name away; return its old path."""
    path = tmp_path / "log"
    path.write_text("a\n")
    followed = Followed(path)
    assert followed.all() == ["a"]
    path.rename(tmp_path / "log.1")
    return path, followed


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
    ("content", "what"),
    [("x\n", "has been cut off (line 3 was the last): going on at its beginning."),
     ("x\ny\nz\nlonger than before\n", "has been written anew (line 3 was the last)")],
)  # fmt: skip
def test_a_file_that_is_cut_off_or_written_anew_is_noticed_and_read_from_its_beginning(tmp_path, content, what):
    path = tmp_path / "log"
    path.write_text("a\nb\nc\n")
    followed = Followed(path)
    assert followed.all() == ["a", "b", "c"]
    path.write_text(content)
    assert followed.all() == content.splitlines()
    assert len(followed.told) == 1
    assert what in followed.told[0]


def test_what_is_lost_of_an_unfinished_line_is_told(tmp_path):
    path = tmp_path / "log"
    path.write_text("a\nbcd")
    followed = Followed(path)
    assert followed.all() == ["a"]
    path.write_text("")
    assert followed.all() == []
    assert "3 bytes of an unfinished line are lost" in followed.told[0]


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(tmp_path):
    path, followed = renamed_log(tmp_path)
    assert followed.all(0.12) == []  # nobody has the name: wait
    append(tmp_path / "log.1", "late\nlast")
    path.write_text("new\n")
    assert followed.all(0.3) == ["late", "last", "new"]
    what = "has been replaced by another file (line 3 was the last): going on at its beginning."
    assert followed.told == [f"{path} {what}"]


def test_who_still_writes_to_the_old_file_is_heard(tmp_path):
    path, followed = renamed_log(tmp_path)
    path.write_text("new\n")
    assert followed.all() == []  # noticed, and not yet believed
    append(tmp_path / "log.1", "late\n")
    assert followed.all(0.3) == ["late", "new"]


def test_where_the_new_file_cannot_be_read_the_place_in_the_old_one_is_still_known(tmp_path):
    path, followed = renamed_log(tmp_path)
    path.mkdir()
    with pytest.raises(InputError, match="is not a file"):
        followed.all(0.3)
    assert (followed.lines.place().position, followed.lines.place().line) == (2, 1)
    followed.lines.close()


def test_a_followed_file_may_come_into_being_later(tmp_path):
    path = tmp_path / "log"
    timer = threading.Timer(0.12, path.write_text, ["a\n"])
    timer.start()
    followed = Followed(path)
    timer.join()
    assert followed.all() == ["a"]
    assert followed.told == [f"Waiting for {path}."]


@pytest.mark.parametrize(
    ("name", "message"), [("none", "There is no file"), ("", "is not a file"), ("secret", "Cannot")]
)
def test_an_input_that_cannot_be_read_is_refused(tmp_path, name, message, monkeypatch):
    if name == "secret":
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(InputError, match=message):
        FileLines(tmp_path / name, SignalGuard(), print)
