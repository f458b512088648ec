"""A log that is rotated, truncated or replaced, while it is read or not: no line is lost and none comes twice."""

from __future__ import annotations

import os

import pytest
from support.predicting import SYMBOLS, TFLITE, append, expected_answers, on_lines, predict, where

from stepcell.runtime import load, read_saved_streams
from stepcell.runtime.serve.file_lines import FileLines
from stepcell.runtime.serve.input_offset import FileIdentity, InputOffset
from stepcell.runtime.serve.loop import IOOptions, predict_lines
from stepcell.runtime.serve.session import LineOptions
from stepcell.runtime.serve.signals import InterruptedSessionError, SignalGuard


class Log:
    """A log, and a reader with a state that goes on where the last one was saved."""

    def __init__(self, folder):
        self.path, self.state, self.told = folder / "log", folder / "s", []

    def write(self, symbols):
        append(self.path, on_lines(symbols))

    def rotate(self, symbols="", name="log.1"):
        older = [each for each in self.path.parent.glob("log.*") if each.name[4:].isdigit()]
        for each in sorted(older, reverse=True):
            each.rename(each.with_name(f"log.{int(each.name[4:]) + 1}"))
        self.path.rename(self.path.with_name(name))
        self.write(symbols)

    def read(self, *options):
        result = predict("--input", self.path, "--state", self.state, *options)
        assert result.exit_code == 0
        self.told = result.stderr
        return result.stdout.split()


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def test_a_file_that_was_rotated_while_nothing_read_it_is_read_to_its_end_first(log):
    log.write(SYMBOLS[:10])
    found = log.read()
    log.write(SYMBOLS[10:20])
    log.rotate(SYMBOLS[20:30])
    found += log.read()
    assert "has been rotated: going on in log.1, after line 10." in log.told
    assert found == expected_answers()[:30]
    assert log.read() == []


@pytest.mark.parametrize("names", [("log.1", "log.1"), ("log-20240101", "log-20240102"), ("log.1", "log-2024.1")])
def test_all_files_that_were_rotated_are_read_in_their_order(log, names):
    log.write(SYMBOLS[:10])
    found = log.read()
    (log.path.parent / "log.lock").write_text("no line\n")
    log.rotate(SYMBOLS[10:20], names[0])
    log.rotate(SYMBOLS[20:30], names[1])
    log.write(SYMBOLS[30:40])
    found += log.read()
    assert found == expected_answers()[:40]


def test_a_repetitive_log_that_was_rotated_is_not_taken_for_the_old_one(log):
    log.write("40" * 500)
    log.read()
    log.rotate("40" * 700)
    assert len(log.read()) == 1400
    assert where(log.state)[""][0] == 2400


def test_a_repetitive_log_that_was_truncated_begins_anew(log):
    log.write("40" * 500)
    log.read()
    log.path.write_text(on_lines("40" * 100))
    assert len(log.read()) == 200
    assert "has changed since it was read: going on at its beginning. What followed line 1000" in log.told


def test_a_file_whose_rotated_part_is_gone_begins_anew_and_that_is_said(log):
    log.write(SYMBOLS[:10])
    log.read()
    log.path.unlink()
    (log.path.parent / "other").touch()  # another file may have the inode now
    log.write(SYMBOLS[:10])
    assert len(log.read()) == 10
    assert "What followed line 10 of the old content has not been read" in log.told


def test_a_file_that_was_compressed_before_it_was_read_is_named(log):
    log.write(SYMBOLS[:10])
    log.read()
    log.rotate(SYMBOLS[10:20])
    (log.path.parent / "log.2.gz").write_bytes(b"gz")
    log.rotate(SYMBOLS[20:30])
    log.read()
    assert "log.3.gz is compressed" in log.told or "log.2.gz is compressed and has not been read." in log.told


class Steps:
    """Time that passes only while a reader waits; an action at each of its waits, and a signal at the last."""

    def __init__(self, *actions):
        self.time, self.actions = 0.0, list(actions)

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds
        if not self.actions:
            raise InterruptedSessionError(2)
        self.actions.pop(0)()


def follow(log, *actions, answered=None):
    """Answers to a followed log, on which an action is done at each wait; `answered` is called after each answer."""
    found, steps = [], Steps(*actions)

    def answer(text):
        found.append(text)
        if answered is not None:
            answered(len(found))

    options = IOOptions(log.path, follow=True, state=log.state, save_every=1000, save_interval=1000)
    with pytest.raises((InterruptedSessionError, KeyboardInterrupt)):
        predict_lines(
            load(TFLITE), LineOptions(), options, None, answer, log.told.append, SignalGuard(steps.now, steps.sleep)
        )
    return found


def test_the_state_is_saved_before_the_first_line_of_the_next_file(log):
    def kill(count):
        if count == 4:
            raise KeyboardInterrupt  # which saves nothing

    log.write("40")
    rotate = [lambda: log.rotate("12"), *[lambda: None] * 3]
    assert follow(log, *rotate, answered=kill) == ["0", "1", "2", "4"]
    assert where(log.state)[""][0] == 2
    offset = InputOffset.from_json(read_saved_streams(log.state).note["predict"]["input"])
    assert (offset.position, offset.line) == (0, 0)
    assert offset.is_of(log.path)
    assert log.read() == ["2", "4"]


def test_rotations_that_follow_one_another_leave_no_file_out(log):
    def twice():
        log.rotate(SYMBOLS[10:20])
        log.rotate(SYMBOLS[20:30])

    log.write(SYMBOLS[:10])
    assert follow(log, twice, *[lambda: None] * 12) == expected_answers()[:30]


def test_a_log_that_is_truncated_and_refilled_while_its_lines_are_answered_begins_anew(log):
    def refill(count):
        if count == 100:
            os.truncate(log.path, 0)
        elif count == 101:
            log.write("40" * 600)

    log.write("40" * 500)
    assert len(follow(log, answered=refill)) == 1000 + 1200
    assert any("has been truncated" in each for each in log.told)


def test_a_kill_after_a_truncation_does_not_skip_what_was_refilled(log):
    def truncate(count):
        if count == 100:
            log.path.write_text("")
        elif count == 1300:
            raise KeyboardInterrupt

    log.write("40" * 500)
    follow(log, lambda: log.write("40" * 600), lambda: None, answered=truncate)
    assert where(log.state)[""][0] == 1000
    assert len(log.read()) == 1200


def test_an_identity_is_that_of_one_file_and_not_of_the_next_with_its_inode(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")
    first = FileIdentity.of(path)
    with open(path, "rb") as file:
        assert FileIdentity.of(file) == first
    assert first.is_same(first._replace(device=first.device + 1)) == (first.birth is not None)
    assert not first.is_same(first._replace(birth=1)) or first.birth is None
    assert not first.is_same(first._replace(inode=first.inode + 1))
    unknown = first._replace(birth=None)
    assert unknown.is_same(first)
    assert not unknown.is_same(first._replace(device=first.device + 1))


def test_a_position_of_an_earlier_version_goes_on(log, tmp_path):
    log.write(SYMBOLS[:20])
    lines = FileLines(log.path, SignalGuard(), print)
    for _ in range(10):
        lines.next(0.0)
    offset = lines.offset()
    lines.close()
    old = InputOffset(offset.path, offset.position, offset.line, offset.before)
    again = FileLines(log.path, SignalGuard(), print, offset=InputOffset.from_json(vars(old)))
    assert again.next(0.0).number == 11
    again.close()
