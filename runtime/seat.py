"""The seat: a backend, and the stream whose state is in it."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from time import sleep
from typing import TYPE_CHECKING, Any

from .arrays import Float32
from .backend import Backend, describe_backend
from .bare_path import refuse_within_step, tools_of
from .batch import Batch, open_batch
from .errors import BackendError, NotFiniteError, StepcellError
from .golden import replay_golden_in_batch
from .intake import Intake
from .memory_backend import MemoryBackend
from .model_file import ModelFile
from .snapshot import Snapshot
from .two_phase_backend import NOTHING, TwoPhaseBackend

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
        lock: Held by whoever steps.
        occupant: The stream whose state is in the backend; None: nobody's.
        golden: Replay the golden sequence on whatever is opened for this model.
        tools: What streams step with as long as one sits there; see `bare_path`.
    """

    __slots__ = ("__dict__", "occupant")  # see `Stream`

    def __init__(self, backend: Backend, backend_name: str, file: ModelFile, *, golden: bool = True) -> None:
        """Make an empty seat around `backend`, into which `file` is loaded."""
        self.golden = golden
        self.backend = backend
        self.backend_name = backend_name
        self.file = file
        self.intake = Intake(file)
        self.lock = Lock()
        self.occupant: Stream | None = None
        self._batches: dict[int, Batch] = {}
        self.tools = tools_of(backend, file.manifest)
        self._entry_contents = backend.entry.contents if isinstance(backend, MemoryBackend) else _NOT_SEATED

    def batch(self, size: int) -> Batch:
        """Return a batch of this model for `size` streams, made once. Whoever uses it holds no other lock."""
        with self.lock:
            if size not in self._batches:
                self._batches[size] = self.open_batch(size)
            return self._batches[size]

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
        """Seat `stream` and return the backend that holds its state. Call with the lock held."""
        before = self.occupant
        if before is not stream:
            if before is not None:
                try:
                    if before._stepping:
                        refuse_within_step(before)
                        sleep(_TURN)  # it steps in another thread, and goes on meanwhile
                    before._entry_contents = _NOT_SEATED
                    while before._stepping:  # it will see that it may not go on
                        sleep(0)
                    self.keep_answers(before)
                    before._parked = self.backend.read_state()
                    self.occupant = None  # nobody sits here while the next state is written, whatever interrupts that
                finally:
                    if self.occupant is before:  # its state is still here
                        before._entry_contents = self._entry_contents
            self.backend.write_state(stream._parked)
            self.occupant = stream
            stream._entry_contents = self._entry_contents
        return self.backend

    def answers(self) -> dict[str, Float32]:
        """Return copies of what all outputs answered last, the main one first. Call with the lock held."""
        return {self.file.manifest.answer: self.backend.answer().copy(), **self.backend.others()}

    def failure(self, error: Exception) -> StepcellError:
        """Return what to raise where `error` has come out of the backend: one of our errors."""
        if isinstance(error, StepcellError):
            return error
        name = describe_backend(self.backend_name)
        return BackendError(f"{name} failed on {self.file.name}: {error}. The stream has not moved.")

    def keep_answers(self, stream: Stream) -> None:
        """Keep the last answers of the seated `stream`, before something else is computed. Call with the lock held."""
        if stream._symbols_seen != stream._answered_at:
            # In the middle of a step (this is a signal handler then) the outputs may be those of the step.
            answers = None if stream._stepping else self.answers()
            stream._answers, stream._answered_at = answers, stream._symbols_seen

    def last_answers(self, stream: Stream) -> dict[str, Float32] | None:
        """Return a copy of the last answers to `stream`, if there are any."""
        with self.lock:
            if self.occupant is stream:
                self.keep_answers(stream)
            answers = stream._answers
            return None if answers is None else {name: array.copy() for name, array in answers.items()}

    def settle(self, stream: Stream, *, expect: bool) -> None:
        """Do what the seated `stream` has left for later, and what it will need if its answer is right.

        Call with the lock held.
        """
        backend, manifest = self.backend, self.file.manifest
        backend.settle()
        predicts = manifest.labels is None and manifest.output != "linear" and not manifest.features
        if expect and predicts and isinstance(backend, TwoPhaseBackend) and backend.expected == NOTHING:
            self.keep_answers(stream)  # they are where the expected one comes
            if stream._answers is not None:
                with suppress(NotFiniteError):  # that symbol has not come
                    backend.expect(int(stream._answers[manifest.answer].argmax()))

    def snapshot(self, stream: Stream) -> Snapshot:
        """Return where `stream` is, as a copy."""
        with self.lock:
            if self.occupant is stream:
                self.keep_answers(stream)
                stream._parked = self.backend.read_state()
            return Snapshot(stream._parked, stream._symbols_seen, stream._answers).copy()

    def replace(self, stream: Stream, snapshot: Snapshot) -> None:
        """Let `stream` be where `snapshot` says, which it owns from now on."""
        with self.lock:
            stream._answers, stream._parked = snapshot.answers, snapshot.state
            stream._symbols_seen = stream._answered_at = snapshot.symbols_seen
            if self.occupant is stream:
                self.occupant = None
                stream._entry_contents = _NOT_SEATED
