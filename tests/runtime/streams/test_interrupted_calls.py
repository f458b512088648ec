"""Ctrl-C and signal handlers come in the middle of a call, and leave streams where they were or where it leads."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from support.faults import replace_computation
from support.models import DATA, WAYS, open_way

from stepcell.runtime import BackendError, load
from stepcell.runtime.interpreters.memory import copy_and_count
from stepcell.runtime.streams import bare_path

STEPS = [lambda stream: stream.step("0"), lambda stream: stream.step_id(0)]
CALLS = {
    "step": lambda stream: stream.step("2"),
    "step_id": lambda stream: stream.step_id(2),
    "peek": lambda stream: stream.peek("2"),
    "absorb": lambda stream: stream.absorb("23"),
    "run": lambda stream: stream.run("23"),
    "settle": lambda stream: stream.settle(),
    "reset": lambda stream: stream.reset(),
    "state": lambda stream: stream.state,
    "prediction": lambda stream: stream.prediction,
    "to_bytes": lambda stream: stream.to_bytes(),
    "fork": lambda stream: stream.fork(),
}


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def model(request):
    return open_way(*request.param)


def in_the_middle_of_a_step(stream, act, monkeypatch):
    """Let `act` be called where a signal handler may be: something is computed, and the state has not moved."""
    backend = stream._seat.backend

    def compute_and_act(compute):
        compute()
        act()

    if stream._tools is None:
        peek = backend.peek
        monkeypatch.setattr(backend, "peek", lambda number: compute_and_act(lambda: peek(number)))
    else:
        replace_computation(monkeypatch, stream, compute_and_act)


@pytest.mark.parametrize("step", STEPS, ids=["step", "step_id"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("of_another_stream", [False, True])
def test_a_signal_handler_in_a_step_is_refused_and_does_not_wait_or_disturb(
    model, step, call, of_another_stream, monkeypatch
):
    stream, again, other = model.stream(), model.stream(), model.stream()
    for each in (other, again, stream):
        each.absorb("30")
        step(each)
    refused = []

    def act():
        with pytest.raises(BackendError, match="not over yet.*moved no stream"):
            CALLS[call](other if of_another_stream else stream)
        refused.append(True)

    with monkeypatch.context() as patch:
        in_the_middle_of_a_step(stream, act, patch)
        step(stream)
    assert refused == [True]
    step(again)
    assert stream.to_bytes() == again.to_bytes()
    assert other.symbols_seen == 3
    step(other)
    assert other.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("call", ["peek", "to_bytes", "prediction"])
def test_a_timer_whose_handler_looks_at_the_stream_that_is_stepped_changes_nothing(model, call):
    stream, again = model.stream(), model.stream()
    said = []

    def handler(*_):
        try:
            CALLS[call](stream)
            said.append("looked")
        except BackendError:
            said.append("refused")

    before = signal.signal(signal.SIGALRM, handler)
    number = 0
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
        while len(said) < 50:
            stream.step("01234"[number % 5])
            number += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    again.absorb("01234"[step % 5] for step in range(number))
    assert stream.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("step", STEPS, ids=["step", "step_id"])
def test_a_step_that_is_interrupted_before_it_moves_has_not_moved(model, step, monkeypatch):
    stream, again = model.stream(), model.stream()
    stream.absorb("30")
    again.absorb("30")

    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        in_the_middle_of_a_step(stream, interrupt, patch)
        with pytest.raises(KeyboardInterrupt):
            step(stream)
    assert stream.symbols_seen == 2
    step(stream)
    step(again)
    assert stream.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("step", STEPS, ids=["step", "step_id"])
def test_a_step_that_is_interrupted_when_it_has_moved_has_counted_too(model, step, monkeypatch):
    stream, other, again = model.stream(), model.stream(), model.stream()
    stream.absorb("30")
    other.absorb("4")  # so that `stream` has to take the seat, and the lock
    backend = stream._seat.backend

    def step_and_interrupt(id):
        type(backend).step(backend, id)
        raise TimeoutError("the handler of an alarm")

    with monkeypatch.context() as patch:
        patch.setattr(backend, "step", step_and_interrupt)
        with pytest.raises(TimeoutError):
            step(stream)
    again.absorb("300")
    assert stream.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("step", STEPS, ids=["step", "step_id"])
def test_a_step_that_is_interrupted_when_all_is_done_keeps_its_answer(step, monkeypatch):
    model = load(DATA / "memory.onnx", backend="numpy")  # two pieces to copy, by a function
    stream, again = model.stream(), model.stream()
    for symbol in "304":
        again.step(symbol)
    for symbol in "0304":  # all of them once: what they put into the graph is known from here on
        stream.step(symbol)
    stream.reset()
    for symbol in "304":
        stream.step(symbol)

    def copy_and_interrupt(*pieces_and_count):
        copy_and_count(*pieces_and_count)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bare_path, "copy_and_count", copy_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            step(stream)
    expected = again.step("0")
    assert np.array_equal(stream.prediction.values, expected.values)
    assert stream.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("call", CALLS)
def test_a_signal_handler_in_settling_is_refused_and_does_not_wait_or_disturb(call, monkeypatch):
    model = load(DATA / "memory.tflite", backend="litert")
    stream, again = model.stream(low_latency=True), model.stream()
    for each in (stream, again):
        each.absorb("30")
        each.step("1")
    right, refused = stream._seat.backend._make_products, []

    def settle_and_act():
        with pytest.raises(BackendError, match="not over yet.*moved no stream"):
            CALLS[call](stream)
        refused.append(True)
        right()

    with monkeypatch.context() as patch:
        patch.setattr(stream._seat.backend, "_make_products", settle_and_act)
        stream.settle()
    assert refused == [True]
    stream.step("2")
    again.step("2")
    assert stream.to_bytes() == again.to_bytes()


@pytest.mark.parametrize("method", ["absorb", "run"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_history_that_is_interrupted_at_its_end_has_not_moved(model, method, error, monkeypatch):
    stream = model.stream()
    stream.absorb("30")
    before = stream.to_bytes()
    backend = stream._seat.backend

    def work_and_interrupt(ids):
        getattr(type(backend), method)(backend, ids)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(backend, method, work_and_interrupt)
        with pytest.raises(BackendError if error is MemoryError else error):
            getattr(stream, method)("124")
    assert stream.to_bytes() == before


class OnceInterrupted(bytearray):
    """Memory that is written to in the second attempt."""

    interrupted = False

    def __setitem__(self, place, value):
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
        super().__setitem__(place, value)


def test_several_pieces_are_copied_and_counted_all_or_none():
    holder = type("Holder", (), {"count": 3})()
    targets = [bytearray(4), OnceInterrupted(4), bytearray(4)]
    with pytest.raises(KeyboardInterrupt):
        copy_and_count([(target, b"abcd") for target in targets], holder, "count")
    assert targets == [b"abcd"] * 3
    assert holder.count == 4


def test_another_thread_may_save_a_stream_that_is_being_stepped(model):
    from threading import Thread

    stream = model.stream()
    stream.absorb("3012")
    found = []

    def save():
        for _ in range(200):
            kept = stream.snapshot()
            found.append((kept.symbols_seen, kept.state, kept.answers))

    thread = Thread(target=save)
    thread.start()
    number = 0
    while thread.is_alive():
        stream.step("30123"[number % 5])
        number += 1
    thread.join()
    again = model.stream()
    again.absorb("3012")
    known = {}
    for step in range(number):
        known[again.symbols_seen] = again.snapshot()
        again.step("30123"[step % 5])
    known[again.symbols_seen] = again.snapshot()
    for seen, state, answers in found:
        assert all(np.array_equal(state[name], array) for name, array in known[seen].state.items())
        assert all(np.array_equal(answers[name], array) for name, array in known[seen].answers.items())
