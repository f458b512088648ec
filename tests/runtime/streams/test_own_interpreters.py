"""Each stream has an interpreter of its own: opened when it is needed, used by one thread, never left between steps."""

from __future__ import annotations

import sys
from threading import Thread

import numpy as np
import pytest
from support.faults import faulty_model
from support.models import DATA, INTERPRETERS, RUNTIMES, WAYS, open_way

from stepcell.runtime import BackendError, Snapshot, StateMismatchError, Stream, load
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.interpreters.in_place import InPlaceBackend
from stepcell.runtime.interpreters.numpy_backend import step_program
from stepcell.runtime.interpreters.registry import open_backend
from stepcell.runtime.streams.model import Model
from stepcell.runtime.streams.pool import InterpreterPool

SYMBOLS = "01234"


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def way(request):
    return request.param


def test_an_interpreter_is_opened_at_the_first_step_and_the_first_stream_takes_the_one_of_load(way):
    backend, name, *low_latency = way
    model, _ = faulty_model(backend, DATA / name, *low_latency)
    streams = [model.stream() for _ in range(3)]
    streams[1].step("3")
    assert len(model.opened) == 1  # the first one, which is there already
    streams[0].step("3")
    assert len(model.opened) == 2
    fork = streams[0].fork()
    fork.reset()
    fork.go_to(streams[1].snapshot())
    assert fork.to_bytes() == streams[1].to_bytes()
    assert len(model.opened) == 2
    fork.step("0")
    streams[2].state = fork.state
    assert len(model.opened) == 3


def test_pure_steps_share_an_interpreter_and_a_beam_search_has_one():
    faulty, _ = faulty_model("litert", DATA / "memory.tflite")
    model = Model(faulty.pool)
    state = model.initial_state()
    for symbol in "3012":
        _, state = model.step(symbol, state)
    with pytest.raises(StateMismatchError):
        model.step("3", {})
    assert len(faulty.opened) == 1
    stream = model.stream()
    stream.absorb("30")
    found = stream.beam(6, 4)
    assert len(faulty.opened) == 3
    alone = load(DATA / "memory.tflite").stream()
    alone.absorb(["3", "0", *found[0].symbols])
    assert found[0].stream.to_bytes() == alone.to_bytes()
    assert stream.symbols_seen == 2


@pytest.mark.parametrize(("backend", "name"), RUNTIMES)
def test_backends_share_what_never_changes_and_nothing_else(backend, name):
    file = load(DATA / name).file
    first = open_backend(backend, file)
    second = open_backend(backend, file, first.shared)
    assert second.shared is first.shared
    first.step(3)
    assert not any(array.any() for array in second.read_state().values())
    second.step(4)
    assert not np.array_equal(first.answer(), open_backend(backend, file).answer())
    assert not np.shares_memory(first.answer(), second.answer())


def test_streams_of_one_model_step_in_different_threads(way):
    model = open_way(*way)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change all the time
    plans = [np.random.default_rng(number).integers(0, 5, 400).tolist() for number in range(4)]
    found = [None] * len(plans)

    def work(number):
        stream, answers = model.stream(), []
        for step, id in enumerate(plans[number]):
            answers.append(stream.step(SYMBOLS[id]).values if step % 2 else stream.step_id(id).copy())
            if step % 5 == 0:
                stream.settle()
        found[number] = answers, stream.to_bytes()

    try:
        threads = [Thread(target=work, args=(number,)) for number in range(len(plans))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for plan, (answers, content) in zip(plans, found, strict=True):
        stream = model.stream()
        assert np.array_equal(answers, [stream.step(SYMBOLS[id]).values for id in plan])
        assert content == stream.to_bytes()


CALLS = {
    "step": lambda stream, at: stream.step(SYMBOLS[at]),
    "step by id": lambda stream, at: stream.step_id(at),
    "run": lambda stream, at: stream.run_ids([at]),
    "absorb": lambda stream, at: stream.absorb(SYMBOLS[at]),
    "step after another place": lambda stream, at: (stream.go_to(stream.snapshot()), stream.step(SYMBOLS[at])),
    "settle and step": lambda stream, at: (stream.settle(), stream.step(SYMBOLS[at])),
    "save and peek": lambda stream, at: (stream.to_bytes(), stream.peek(SYMBOLS[at]), stream.prediction),
}


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_before_or_after_any_function_that_a_call_calls_leaves_it_before_or_after_a_step(way, name):
    """Where functions are called, and return, is where Python raises KeyboardInterrupt."""
    model = open_way(*way)
    stream, again, moves = model.stream(), model.stream(), int(name != "save and peek")
    ids, interrupted = np.random.default_rng(5).integers(0, 5, 2000).tolist(), True
    stream.step_id(ids[0])
    places = [None, stream.snapshot()]
    again.go_to(places[1])
    events = 0
    while interrupted:
        seen, left = stream.symbols_seen, [events]
        while len(places) <= seen + 1:
            again.step_id(ids[len(places) - 1])
            places.append(again.snapshot())

        def interrupt(*_, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt

        events += 1
        try:
            sys.setprofile(interrupt)
            CALLS[name](stream, ids[seen])
            sys.setprofile(None)
            interrupted = False
        except KeyboardInterrupt:  # has ended the profile, too
            pass
        here = stream.snapshot()
        assert here.symbols_seen in (seen, seen + moves)
        expected = places[here.symbols_seen]
        assert all(np.array_equal(here.state[key], array) for key, array in expected.state.items())
        if here.answers is not None:  # else it was lost with the step that was interrupted
            assert np.array_equal(here.answers["probabilities"], expected.answers["probabilities"])


def in_pieces(at_the_first_attempt):
    """A backend whose state has three pieces, and its pieces; the second calls a function when it is first written."""

    class Piece(bytearray):
        attempts = 0

        def __setitem__(self, place, content):
            self.attempts += 1
            if self.attempts == 1:
                at_the_first_attempt()
            super().__setitem__(place, content)

    file = load(DATA / "memory.onnx").file
    program = step_program(file)
    targets = [bytearray(4), Piece(4), bytearray(4)]
    feedback = [(target, b"abcd") for target in targets]
    return InPlaceBackend((program.run, ()), {**program.inputs, **program.outputs}, feedback, file.manifest), targets


def test_several_pieces_of_a_state_are_copied_and_counted_all_or_none():
    def interrupt():
        raise KeyboardInterrupt

    backend, targets = in_pieces(interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.step(3)
    assert targets == [b"abcd"] * 3
    assert backend.steps == 1


def test_a_state_that_is_read_between_two_of_its_pieces_as_after_a_fork_is_that_after_the_step():
    def fork():
        backend.read_state()
        found.append((list(map(bytes, targets)), backend.steps))
        raise KeyboardInterrupt  # the child does not go on here

    found = []
    backend, targets = in_pieces(fork)
    with pytest.raises(KeyboardInterrupt):
        backend.step(3)
    assert found == [([b"abcd"] * 3, 1)]
    assert backend.steps == 1


@pytest.mark.parametrize(("error", "seen"), [(OSError("no memory"), BackendError), (KeyboardInterrupt(), None)])
def test_a_history_that_breaks_off_in_the_middle_leaves_state_and_answer_where_they_were(way, error, seen):
    backend, name, *low_latency = way
    model, fault = faulty_model(backend, DATA / name, *low_latency)
    stream, again = model.stream(), model.stream()
    for one in (stream, again):
        one.absorb("40")
    for call in (stream.run, stream.absorb, stream.score):
        with fault.raising(error, after=20), pytest.raises(seen or KeyboardInterrupt):
            call("3012401234" * 5)
        assert stream.to_bytes() == again.to_bytes()
    assert [stream.step(symbol).values.tolist() for symbol in "12"] == again.run("12").tolist()


@pytest.mark.parametrize(("backend", "name"), INTERPRETERS)
def test_an_interpreter_that_cannot_be_opened_or_written_leaves_the_stream_where_it_was(backend, name):
    file = load(DATA / name).file
    inner = open_backend(backend, file)

    class Unwritable:
        """An interpreter whose memory is gone."""

        def __getattr__(self, attribute):
            return getattr(inner, attribute)

        def write_state(self, state):
            raise MemoryError("no memory. The stream")

    found = [BackendError("no room"), Unwritable()]

    def open(shared):
        if isinstance(found[0], Exception):
            raise found.pop(0)
        return found[0]

    pool = InterpreterPool(file, backend, inner, open=open)
    pool.open()  # the first one is in use
    stream = Stream(pool, Snapshot(initial_state(file.manifest.state), 7))
    for problem in ("no room", "failed on .*no memory.*The stream has not moved", "no memory"):
        with pytest.raises(BackendError, match=problem):
            stream.step("3")
        assert (stream.symbols_seen, stream.prediction) == (7, None)
    assert not any(array.any() for array in stream.state.values())
