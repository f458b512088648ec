"""The seat: a backend, and the stream whose state is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from time import sleep
from typing import TYPE_CHECKING, Any

from ..common.arrays import Float32
from ..common.errors import BackendError, NotFiniteError, StepcellError
from ..format.model_file import ModelFile
from ..interpreters.base import Backend
from ..interpreters.batch import Batch, open_batch
from ..interpreters.golden import replay_golden_in_batch
from ..interpreters.in_place import InPlaceBackend
from ..interpreters.registry import describe_backend
from ..interpreters.two_phase_backend import IDLE, TwoPhaseBackend
from .bare_path import tools_of
from .input_encoder import InputEncoder
from .snapshot import Snapshot
from .two_phase_path import tools_of as two_phase_tools_of
from .within_a_call import is_within_step, within_a_call

if TYPE_CHECKING:
    from .stream import Stream

# Seconds that a stream which is being stepped keeps the seat when another thread wants it. Two threads that change
# places at each step take five times as long as one (benchmarks/threads.py).
_TURN = 1e-3
_NOT_SEATED: list[Any] = []  # of no id is known here what goes to the entry


class Seat:
    """The one place where a state can be stepped.

    Streams of one model share the seat. As long as one stream steps, its state stays in the interpreter and nothing
    is copied; when another stream steps, the two states change places.

    Attributes:
        backend: The backend.
        backend_name: Its name.
        file: The file in it.
        intake: Reads what its streams are fed.
        occupant: The stream whose state is in the backend; None: nobody's.
        golden: Replay the golden sequence on whatever is opened for this model.
        tools: What streams step with as long as one sits there; see `bare_path`, `two_phase_path`.
    """

    __slots__ = ("__dict__", "occupant")  # see `Stream`

    def __init__(self, backend: Backend, backend_name: str, file: ModelFile, *, golden: bool = True) -> None:
        """Make an empty seat around `backend`, into which `file` is loaded."""
        self.golden = golden
        self.backend = backend
        self.backend_name = backend_name
        self.file = file
        self.intake = InputEncoder(file)
        self._lock: Any = RLock()  # a thread can ask whether it is the one that has it
        self.occupant: Stream | None = None
        manifest = file.manifest  # does its answer tell what is fed next?
        self._predicts = manifest.labels is None and manifest.output != "linear" and not manifest.features
        self._idle_batches: dict[int, list[Batch]] = {}
        find_tools = two_phase_tools_of if isinstance(backend, TwoPhaseBackend) else tools_of
        self.tools = find_tools(backend, file.manifest)
        self._entry_contents = backend.slot.cache if isinstance(backend, InPlaceBackend) else _NOT_SEATED

    @property
    def lock(self) -> Any:
        """What is held by whoever uses the backend.

        Raises:
            BackendError: This is called in the middle of a call that uses it: by a signal handler, which would wait
                for itself, or see half of what that call does.
        """
        occupant = self.occupant
        stepping = occupant is not None and occupant._stepping and is_within_step(occupant)
        if stepping or self._lock._is_owned():
            raise within_a_call(self.file)
        return self._lock

    @contextmanager
    def lend_batch(self, size: int) -> Iterator[Batch]:
        """Lend a batch of this model for `size` streams, to one borrower at a time; the last one is kept for the next.

        Raises:
            BackendError, GoldenMismatchError: As `open_batch` does.
        """
        idle = self._idle_batches.setdefault(size, [])
        try:
            batch = idle.pop()
        except IndexError:
            batch = self.open_batch(size)
        try:
            yield batch
        finally:
            if not idle:
                idle.append(batch)

    def open_batch(self, size: int) -> Batch:
        """Return a new batch of this model for `size` streams, in the initial state.

        Raises:
            BackendError: The interpreter cannot load it, or fails.
            GoldenMismatchError: Its answers are not the recorded ones.
        """
        batch = open_batch(self.backend_name, self.file, size)
        if self.golden:
            replay_golden_in_batch(batch, self.file, self.backend_name)
        return batch

    def take(self, stream: Stream) -> Backend:
        """Seat `stream` and return the backend that holds its state. Call with the lock held; `release` it."""
        before = self.occupant
        if before is stream:
            self.hold(stream)
            return self.backend
        if before is not None:
            try:
                if before._stepping:
                    sleep(_TURN)  # it steps in another thread, and goes on meanwhile
                self.hold(before)
                self.keep_answers(before)
                before._parked = self._read_state()
                self.occupant = None  # nobody sits here while the next state is written, whatever interrupts that
            finally:
                self.release(before)  # if its state is still here
        self.backend.write_state(stream._parked)
        self.occupant = stream
        return self.backend

    def hold(self, stream: Stream) -> None:
        """Let `stream` take no step without the lock until it is released. Call with the lock held."""
        stream._entry_contents = _NOT_SEATED
        while stream._stepping:  # in another thread; it will see that it may not go on
            sleep(0)

    def release(self, stream: Stream) -> None:
        """Let `stream` step without the lock if it sits here. If this is interrupted the next call does it."""
        if self.occupant is stream:
            stream._entry_contents = self._entry_contents

    def _read_state(self) -> dict[str, Float32]:
        """Return the resident state, or raise one of our errors: a step in two phases is settled for it."""
        try:
            return self.backend.read_state()
        except Exception as error:
            raise self.failure(error) from error

    def answers(self) -> dict[str, Float32]:
        """Return copies of what all outputs answered last, the main one first. Call with the lock held."""
        return {self.file.manifest.answer: self.backend.answer().copy(), **self.backend.extra_outputs()}

    def failure(self, error: Exception) -> StepcellError:
        """Return what to raise where `error` has come out of the backend: one of our errors."""
        if isinstance(error, StepcellError):
            return error
        name = describe_backend(self.backend_name)
        return BackendError(f"{name} failed on {self.file.name}: {error}. The stream has not moved.")

    def keep_answers(self, stream: Stream) -> None:
        """Keep the last answers of the seated `stream`, before something else is computed. Call while it is held."""
        if stream._symbols_seen != stream._answered_at:
            stream._answers, stream._answered_at = self.answers(), stream._symbols_seen

    def last_answers(self, stream: Stream) -> dict[str, Float32] | None:
        """Return a copy of the last answers to `stream`, if there are any."""
        with self.lock:
            self.hold(stream)
            try:
                if self.occupant is stream:
                    self.keep_answers(stream)
                answers = stream._answers
                return None if answers is None else {name: array.copy() for name, array in answers.items()}
            finally:
                self.release(stream)

    def settle(self, stream: Stream, *, expect: bool) -> None:
        """Do what the seated `stream` has left for later, and what it will need if its answer is right.

        Call while it is held, or stepping.

        Raises:
            BackendError: The interpreter failed. What was left is left still.
        """
        backend = self.backend
        try:
            backend.settle()
            if expect and self._predicts and isinstance(backend, TwoPhaseBackend) and backend.pending == IDLE:
                self.keep_answers(stream)  # they are where the expected one comes
                if stream._answers is not None:
                    with suppress(NotFiniteError):  # that symbol has not come
                        backend.expect(int(stream._answers[self.file.manifest.answer].argmax()))
        except Exception as error:
            raise self.failure(error) from error

    def snapshot(self, stream: Stream) -> Snapshot:
        """Return where `stream` is, as a copy."""
        with self.lock:
            self.hold(stream)
            try:
                if self.occupant is stream:
                    self.keep_answers(stream)
                    stream._parked = self._read_state()
                return Snapshot(stream._parked, stream._symbols_seen, stream._answers).copy()
            finally:
                self.release(stream)

    def replace(self, stream: Stream, snapshot: Snapshot) -> None:
        """Let `stream` be where `snapshot` says, which it owns from now on."""
        with self.lock:
            self.hold(stream)
            # Nothing that can be interrupted from here on.
            stream._answers, stream._parked = snapshot.answers, snapshot.state
            stream._symbols_seen = stream._answered_at = snapshot.symbols_seen
            if self.occupant is stream:
                self.occupant = None
