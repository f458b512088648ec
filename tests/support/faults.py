"""Interpreters, batches and stores with faults, passed in where the real ones are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

from stepcell.runtime import BackendError, OutputError, Snapshot, Stream, read_model_file
from stepcell.runtime.interpreters.base import initial_state
from stepcell.runtime.interpreters.in_place import InPlaceBackend
from stepcell.runtime.interpreters.registry import open_backend, open_two_phase_backend
from stepcell.runtime.streams.pool import InterpreterPool


class Fault:
    """Acts in the middle of a step: the outputs are written, and the state has not moved.

    Attributes:
        act: What is done there; None: nothing.
        calls: How often a step came there.
    """

    def __init__(self):
        self.act: Callable[[], object] | None = None
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.act is not None:
            self.act()

    @contextmanager
    def raising(self, error, after=0):
        """Raise `error` at every computation but the first `after` ones."""
        first = self.calls + after

        def act():
            if self.calls > first:
                raise error

        with self.doing(act):
            yield

    @contextmanager
    def doing(self, act):
        """Let `act` be called at each computation."""
        self.act = act
        try:
            yield
        finally:
            self.act = None


class FaultyBackend:
    """A backend with a fault in every call that computes."""

    engine = None  # so that a stream calls `step` and not C

    def __init__(self, backend, fault):
        self.backend, self.fault = backend, fault

    def __getattr__(self, name):
        return getattr(self.backend, name)

    @property
    def steps(self):
        return self.backend.steps

    @steps.setter
    def steps(self, count):
        self.backend.steps = count

    def step(self, id):
        self.peek(id)
        self.backend.step(id)

    def peek(self, id):
        self.backend.peek(id)
        self.fault()

    def absorb(self, ids):
        self.run(ids)

    def run(self, ids):
        answers = self.backend.run(ids)
        for _ in range(len(ids)):
            self.fault()
        return answers


def with_fault(backend, fault):
    """Return `backend` with `fault` in the middle of each of its steps."""
    if not isinstance(backend, InPlaceBackend):
        return FaultyBackend(backend, fault)
    function, arguments = backend.call

    def compute(*arguments):
        function(*arguments)
        fault()

    backend.call = compute, arguments
    return backend


def faulty_model(backend_name, path, *low_latency):
    """Return a maker of streams of the file at `path`, and the fault in all of their interpreters."""
    file, fault, opened = read_model_file(path), Fault(), []
    open_one = open_two_phase_backend if low_latency else open_backend

    def open_faulty(shared=None):
        opened.append(backend_name)
        return with_fault(open_one(backend_name, file, shared), fault)

    return FaultyModel(InterpreterPool(file, backend_name, open_faulty(), open=open_faulty), opened, low_latency), fault


class FaultyModel:
    """Streams whose interpreters have a fault.

    Attributes:
        pool: Their interpreters.
        opened: An entry for each interpreter that was opened.
    """

    def __init__(self, pool, opened, low_latency):
        self.pool, self.opened, self._kind = pool, opened, Stream
        if low_latency:
            from stepcell.runtime.streams.native_stream import LowLatencyStream

            self._kind = LowLatencyStream

    def stream(self):
        return self._kind(self.pool, Snapshot(initial_state(self.pool.file.manifest.state)))


class FaultyBatch:
    """A batch that computes as another one, until `failing` is set."""

    failing = False

    def __init__(self, batch):
        self.batch = batch

    def __getattr__(self, name):
        return getattr(self.batch, name)

    def compute(self, *arguments):
        self.batch.compute(*arguments)
        if self.failing:
            raise BackendError("no memory. No state has moved.")


class FaultyStore:
    """A store of a fleet whose methods can be made to fail.

    Attributes:
        refuses: Name of a method -> tells of an argument whether it is refused.
    """

    def __init__(self, store):
        self.store, self.refuses = store, {}

    def _call(self, name, *arguments):
        if name in self.refuses and self.refuses[name](*arguments):
            raise OutputError("the disk is gone")
        return getattr(self.store, name)(*arguments)

    def get(self, key):
        return self._call("get", key)

    def put(self, members):
        return self._call("put", members)

    def forget(self, key):
        return self._call("forget", key)

    def keys(self):
        return self._call("keys")
