"""After a fork while other threads step, streams go on in the child or say that they cannot; nothing hangs."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from support.models import DATA

from stepcell.runtime import BackendError, OptionError, load

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
SECONDS = 60  # until a child that hangs is killed


@contextmanager
def stepping(*works):
    """Call each of `works` in a thread of its own, again and again."""
    ended = threading.Event()

    def again(work):
        while not ended.is_set():
            work()

    threads = [threading.Thread(target=again, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def in_child(work):
    """Fork, call `work` in the child, and return its exit code: 0, or 1 after an error."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_streams_go_on_in_the_child_of_a_process_whose_threads_step(model):
    busy, mine, fleet = model.stream(), model.stream(), model.fleet()
    expected = model.stream().run("301230")
    mine.absorb("301")
    fleet.step({"a": "3"})

    def work():
        assert mine.symbols_seen == 3
        assert np.array_equal(mine.step("2").values, expected[3])
        assert np.array_equal(mine.fork().run("30"), expected[4:])
        assert np.array_equal(model.stream().run("301230"), expected)
        busy.step("3")
        busy.reset()
        assert np.array_equal(busy.run("301230"), expected)
        assert np.abs(fleet.step({"a": "0"})["a"].values - expected[1]).max() < 1e-6
        assert np.abs(model.streams(3).step(["3"] * 3) - expected[0]).max() < 1e-6

    with stepping(lambda: busy.step("3"), lambda: model.step("3", model.initial_state())):
        for _ in range(3):
            assert in_child(work) == 0
    assert np.array_equal(mine.step("2").values, expected[3])


def test_a_batch_says_in_the_child_that_it_cannot_go_on(model):
    batch = model.streams(2)

    def work():
        with pytest.raises(BackendError, match=r"A batch of .* was made before this process was forked .*streams\(n\)"):
            batch.step(["3", "3"])

    with stepping(lambda: batch.step(["3", "4"])):
        assert in_child(work) == 0


def test_a_low_latency_stream_goes_on_in_the_child_whether_it_was_settled_or_not():
    model = load(DATA / "memory.tflite", backend="native")
    expected = model.stream(low_latency=True).run("3012")
    settled, pending = model.stream(low_latency=True), model.stream(low_latency=True)
    for stream in (settled, pending):
        stream.step("3")
    settled.settle()

    def work():
        for stream in (settled, pending):
            assert np.array_equal(stream.step("0").values, expected[1])
            stream.reset()
            assert np.array_equal(stream.run("3012"), expected)

    busy = model.stream(low_latency=True)
    with stepping(lambda: busy.step("3")):
        assert in_child(work) == 0


@pytest.mark.parametrize(
    ("make", "remedy"),
    [(lambda model: model, "Load its file in each process"), (lambda model: model.stream(), r"stream\.to_bytes\(\)"),
     (lambda model: model.streams(2), "state"),
     (lambda model: model.fleet(), "Save it to a file")],
)  # fmt: skip
def test_what_has_an_interpreter_is_not_pickled_and_says_what_to_do(memory, make, remedy):
    with pytest.raises(OptionError, match=f"cannot be pickled, as it has an interpreter.*{remedy}"):
        pickle.dumps(make(memory))
