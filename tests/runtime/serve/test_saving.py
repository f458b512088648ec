"""When the state of a session is saved, and what a signal or a failed save leaves."""

from __future__ import annotations

import io
import os
import select
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.predicting import SYMBOLS, on_lines, predict, where

from stepcell.runtime import SavedStreams
from stepcell.runtime.common.errors import OutputError
from stepcell.runtime.serve.loop import IOOptions, predict_lines
from stepcell.runtime.serve.session import LineOptions
from stepcell.runtime.serve.signals import InterruptedSessionError, SignalGuard
from stepcell.runtime.serve.state_file import CheckpointPolicy


def run(memory, tmp_path, symbols, answer, **more):
    """Answer `symbols` as the command does; return the remarks."""
    told, place = [], IOOptions(state=tmp_path / "memory.state", **more)
    predict_lines(memory, LineOptions(), place, io.BytesIO(on_lines(symbols).encode()), answer, told.append)
    return told


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"save_every": 3, "save_interval": 9}, [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]),
        ({"save_interval": 0.0}, [*range(10)]),
    ],
)
def test_it_is_saved_after_so_many_lines_or_so_much_time(memory, tmp_path, options, expected):
    path, seen = tmp_path / "memory.state", []
    run(memory, tmp_path, SYMBOLS[:10], lambda _: seen.append(where(path)[""][0]), **options)
    assert seen == expected
    assert where(path)[""][0] == 10


@given(st.lists(st.floats(0, 3), max_size=30), st.integers(1, 5))
def test_no_line_is_unsaved_for_longer_than_its_time_or_count(pauses, lines):
    time, unsaved, saves = 0.0, [], []
    policy = CheckpointPolicy(lambda: saves.append(unsaved.clear()), lines, 2.0, lambda: time)
    for pause in pauses:
        timeout = policy.timeout()
        assert (timeout is None) == (not unsaved)
        if timeout is not None and timeout <= pause:  # a loop waits no longer than this
            time += timeout
            policy.save_if_due()
            assert not unsaved
            pause -= timeout
        time += pause
        unsaved.append(time)
        policy.count()
        assert len(unsaved) < lines
        assert all(time - since < 2.0 for since in unsaved)
    policy.save()
    assert not unsaved


def test_it_is_saved_after_a_while_even_if_nothing_comes(memory, tmp_path):
    path = tmp_path / "memory.state"
    reader, writer = os.pipe()
    os.write(writer, b"4\n0")
    time, seen = 0.0, []

    class Silence(SignalGuard):
        """Nothing comes after the first bytes, until the state has been saved."""

        def wait_for(self, descriptor, seconds):
            nonlocal time
            if not select.select([descriptor], [], [], 0)[0]:
                seen.append(where(path)[""][0])
                if seen[-1] == 1:
                    os.close(writer)
                    return True
                time += seconds
                return False
            return True

    with open(reader, "rb", buffering=0) as stdin:
        place = IOOptions(state=path, save_every=1000, save_interval=60)
        predict_lines(memory, LineOptions(), place, stdin, print, lambda _: None, Silence(lambda: time))
    assert (seen, time) == ([0, 1], 60)
    assert where(path)[""][0] == 2  # the last line of a pipe needs no end


NOWHERE = {"path": "x", "position": -1, "line": 0, "before": ""}


@pytest.mark.parametrize("note", [None, 5, {"input": 3}, {"input": NOWHERE, "lines": -1, "symbols": "x"}])
def test_a_note_may_be_anything(tmp_path, memory, note):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    stream = memory.stream()
    stream.absorb("40")
    SavedStreams.of(memory.manifest, {"": stream.snapshot()}, {"predict": note}).to_file(path)
    log.write_text("1\n")
    result = predict("--state", path, "--input", log)
    assert result.stdout == "2\n"
    assert "2 symbols seen, 2 lines read" in result.stderr
    assert "does not say how far" in result.stderr


def test_a_save_that_fails_ends_the_session_and_leaves_the_save_before(memory, tmp_path, monkeypatch):
    path, real, calls = tmp_path / "memory.state", os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:  # the first save syncs file and folder, and so does the second
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        run(memory, tmp_path, SYMBOLS, lambda _: None, save_every=5)
    assert where(path)[""][0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_the_lines_that_were_taken_from_a_pipe_are_answered_and_saved(memory, tmp_path, number):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    found = []

    def answer(text):
        found.append(text)
        if len(found) == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(InterruptedSessionError) as caught:
        run(memory, tmp_path, SYMBOLS, answer)
    assert caught.value.signal == number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert len(found) == 120
    assert where(tmp_path / "memory.state")[""][0] == 120


@pytest.mark.parametrize("follow", [False, True])
def test_a_signal_while_it_waits_for_a_line_ends_the_wait_and_saves(memory, tmp_path, follow):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    log.write_text("4\n0\n1")
    reader, writer = os.pipe()
    os.write(writer, b"4\n0\n1")
    answers = []

    def answer(text):
        answers.append(text)
        if len(answers) == 2:
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    before = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    place = IOOptions(log if follow else None, follow, path, save_interval=60)
    try:
        with open(reader, "rb", buffering=0) as stdin, pytest.raises(InterruptedSessionError):
            predict_lines(memory, LineOptions(), place, stdin, answer, lambda _: None)
    finally:
        signal.signal(signal.SIGALRM, before)
        os.close(writer)
    assert answers == ["0", "1"]
    assert where(path)[""][0] == 2


def test_ignored_signals_stay_ignored(memory, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run(memory, tmp_path, SYMBOLS[:5], lambda _: os.kill(os.getpid(), signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert where(tmp_path / "memory.state")[""][0] == 5


def test_a_second_signal_ends_the_session_at_once_without_saving(memory, tmp_path):
    def answer(text):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(memory, tmp_path, SYMBOLS, answer)
    assert where(tmp_path / "memory.state")[""][0] == 0


def test_a_session_in_another_thread_leaves_signals_alone(memory, tmp_path):
    handlers, seen = signal.getsignal(signal.SIGINT), []
    answer = lambda _: seen.append(signal.getsignal(signal.SIGINT))  # noqa: E731
    thread = threading.Thread(target=run, args=(memory, tmp_path, SYMBOLS[:2], answer))
    thread.start()
    thread.join()
    assert seen == [handlers, handlers]
    assert where(tmp_path / "memory.state")[""][0] == 2
