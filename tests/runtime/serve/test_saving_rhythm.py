"""When the state of a feed is saved, and what a signal or a failed save leaves."""

from __future__ import annotations

import io
import os
import signal
import threading
import time

import pytest
from support.predicting import SYMBOLS, on_lines, predict, where

from stepcell.runtime import SavedStreams
from stepcell.runtime.common.errors import OutputError
from stepcell.runtime.serve.loop import IOOptions, predict_lines
from stepcell.runtime.serve.session import LineOptions
from stepcell.runtime.serve.signals import InterruptedSessionError


def feed(memory, tmp_path, lines, answer, options=None, **more):
    """Feed from memory, as the command does; return what was told."""
    told = []
    place = IOOptions(state=tmp_path / "memory.state", **more)
    predict_lines(memory, options or LineOptions(), place, io.BytesIO(lines.encode()), answer, told.append)
    return told


def test_it_is_saved_every_so_many_lines(memory, tmp_path):
    path, seen = tmp_path / "memory.state", []
    feed(
        memory,
        tmp_path,
        on_lines(SYMBOLS[:10]),
        lambda _: seen.append(where(path)[""][0]),
        save_every=3,
        save_interval=9,
    )
    assert seen == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]
    assert where(path)[""][0] == 10


def test_it_is_saved_after_a_while_also_if_lines_never_cease(memory, tmp_path):
    path, seen = tmp_path / "memory.state", []
    feed(memory, tmp_path, on_lines("3012"), lambda _: seen.append(where(path)[""][0]), save_interval=0.0)
    assert seen == [0, 1, 2, 3]


NOWHERE = {"path": "x", "position": -1, "line": 0, "before": ""}


@pytest.mark.parametrize("note", [None, 5, {"input": 3}, {"input": NOWHERE, "lines": -1, "symbols": "x"}])
def test_a_note_may_be_anything_at_all(tmp_path, memory, note):
    path, log = tmp_path / "memory.state", tmp_path / "log"
    stream = memory.stream()
    stream.absorb("40")
    SavedStreams.of(memory.manifest, {"": stream.snapshot()}, {"predict": note}).to_file(path)
    log.write_text("1\n")
    result = predict("--state", path, "--input", log)
    assert result.stdout == "2\n"
    assert "2 symbols seen, 2 lines read" in result.stderr
    assert "does not say how far" in result.stderr


def test_it_is_saved_after_a_while_even_if_nothing_comes(memory, tmp_path):
    path = tmp_path / "memory.state"
    reader, writer = os.pipe()
    answered = threading.Event()
    with open(reader, "rb", buffering=0) as stdin, open(writer, "wb", buffering=0) as pipe:
        thread = threading.Thread(
            target=predict_lines,
            args=(memory, LineOptions(), IOOptions(state=path, save_every=1000, save_interval=0.1), stdin),
            kwargs={"answer": lambda _: answered.set(), "tell": lambda _: None},
        )
        thread.start()
        pipe.write(b"4\n0")
        assert answered.wait(5)
        assert where(path)[""][0] == 0
        deadline = time.monotonic() + 5
        while where(path)[""][0] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert where(path)[""][0] == 1
        pipe.close()
        thread.join(5)
    assert where(path)[""][0] == 2  # the last line of a pipe needs no end


def test_a_save_that_fails_ends_it_and_leaves_the_save_before(memory, tmp_path, monkeypatch):
    path, real, calls = tmp_path / "memory.state", os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:  # the first save syncs file and folder, and so does the second
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        feed(memory, tmp_path, on_lines(SYMBOLS), lambda _: None, save_every=5)
    assert where(path)[""][0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_line_is_answered_waits_for_the_answer_and_saves(memory, tmp_path, number):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    found = []

    def answer(text):
        found.append(text)
        if len(found) == 3:
            os.kill(os.getpid(), number)

    with pytest.raises(InterruptedSessionError) as caught:
        feed(memory, tmp_path, on_lines(SYMBOLS), answer)
    assert caught.value.signal == number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert len(found) == 3
    assert where(tmp_path / "memory.state")[""][0] == 3


def test_signals_that_whoever_started_it_ignores_stay_ignored(memory, tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        feed(memory, tmp_path, on_lines(SYMBOLS[:5]), lambda _: os.kill(os.getpid(), signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert where(tmp_path / "memory.state")[""][0] == 5


def test_a_second_signal_ends_it_at_once_without_saving(memory, tmp_path):
    def answer(text):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        feed(memory, tmp_path, on_lines(SYMBOLS), answer)
    assert where(tmp_path / "memory.state")[""][0] == 0
