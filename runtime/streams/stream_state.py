"""The state of a stream: in its interpreter, or in a snapshot that is written there at the next step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from numpy.typing import ArrayLike

from ..common.arrays import AnyArray, Float32
from ..common.errors import BackendError, SavedStateError, StepcellError
from ..format.model_file import ModelFile
from ..interpreters.base import Backend
from ..interpreters.forks import Unpicklable, leave, tell_of_forks
from ..interpreters.registry import describe_backend
from .pool import InterpreterPool
from .prediction import Prediction, prediction_of, symbols_of
from .saved_state import SavedStreams, parse_saved_streams, read_saved_streams
from .snapshot import Snapshot, State, checked_count, checked_state
from .static import after_reset

T = TypeVar("T")

_ALONE = ""  # the key of a stream that is saved by itself


class StreamState(Unpicklable):
    """Where a stream is, and the interpreter that steps it, opened when it is needed first.

    While `_parked` is a snapshot the stream is there; else it is where its interpreter is. One assignment changes from
    one to the other, so Ctrl-C comes before it or after it.

    Attributes:
        pool: Opens the interpreter. The streams of a model share it.
    """

    pickle_remedy = "Send stream.to_bytes(), load the model in each process, and go on with from_bytes() there."

    def __init__(self, pool: InterpreterPool, start: Snapshot) -> None:
        """Start from `start`, whose arrays belong to this stream from now on. Use `Model.stream()` instead."""
        self.pool = pool
        self._backend: Any = None
        self._bound: tuple[Any, ...] | None = None  # what `Stream.step` needs, while the state is in the interpreter
        self._parked: Snapshot | None = start
        self._answers, self._answered_at = start.answers, start.symbols_seen

    @property
    def file(self) -> ModelFile:
        """The file of the model."""
        return self.pool.file

    @property
    def symbols_seen(self) -> int:
        """How many symbols have moved the state since the last reset (or since `state` was assigned)."""
        seen: int = self._backend.steps if self._parked is None else self._parked.symbols_seen
        return seen

    @property
    def prediction(self) -> Prediction | None:
        """The answer to the last symbol, again.

        None where there is none: after a reset, after `state` was assigned, after an interpreter failed in a step,
        after a step without an answer (`Manifest.answers`).
        """
        answers = self._last_answers()
        if answers is None:
            return None
        return prediction_of({name: array.copy() for name, array in answers.items()}, self.file.manifest)

    def reset(self) -> None:
        """Forget everything: the state becomes the model's initial state. Static inputs stay."""
        manifest = self.file.manifest
        self._park(Snapshot(after_reset(manifest, self.snapshot().state if manifest.static else {})))

    @property
    def state(self) -> State:
        """The state: name -> read-only copy, each float32 of shape (1, ...). Assign one to continue from there.

        Assigning is `set_state` without a count.

        Raises:
            StateMismatchError: On assignment, as `set_state` does. The state has not moved.
        """
        state = self.snapshot().state
        for array in state.values():
            array.flags.writeable = False  # a change of the copy would change nothing
        return state

    @state.setter
    def state(self, state: Mapping[str, ArrayLike]) -> None:
        self.set_state(state)

    def set_state(self, state: Mapping[str, ArrayLike], *, symbols_seen: int | None = None) -> None:
        """Continue from a state, of which a copy is made.

        Args:
            state: Name -> numbers of shape (1, ...).
            symbols_seen: How many symbols led there from a reset. A model that does not answer at each step must be
                told: the count says which steps answer. None: 0, of all other models.

        Raises:
            StateMismatchError: Names or shapes are not those of the model, a number is not finite, or the count is
                missing or none. The state has not moved.
        """
        seen = checked_count(symbols_seen, self.file)
        self._park(Snapshot(checked_state(state, self.file), seen))

    def snapshot(self) -> Snapshot:
        """Return where the stream is, as a copy: all that `go_to` needs to come back."""
        answers = self._last_answers()
        if self._parked is not None:
            return self._parked.copy()
        state = self._guarded(lambda: self._backend.read_state())
        return Snapshot(state, self._backend.steps, answers and {n: array.copy() for n, array in answers.items()})

    def go_to(self, snapshot: Snapshot) -> None:
        """Go where another stream of this model was, or this one was before.

        Args:
            snapshot: What `snapshot()` returned. It is copied and not checked: what comes from elsewhere is assigned to
                `state`.
        """
        self._park(snapshot.copy())

    def to_bytes(self) -> bytes:
        """Return where the stream is, as bytes that any engine can read; the README has their layout.

        Raises:
            StateMismatchError: A number of the state is not finite: no stream can go on from there.
        """
        return self._saved().to_bytes()

    def from_bytes(self, content: bytes, *, ignore_fingerprint: bool = False) -> None:
        """Go on where a stream was when `to_bytes` was called on it.

        Args:
            content: What `to_bytes` returned.
            ignore_fingerprint: Take it from another model file too, if that has the same names and shapes: the same
                network in another format or precision.

        Raises:
            SavedStateError: It is something else, damaged, newer, of another model, or holds several streams. The
                stream has not moved.
            StateMismatchError: Names or shapes are not those of the model, or a number is not finite. The stream has
                not moved.
        """
        self._go_on(parse_saved_streams(content, "The saved state"), "The saved state", ignore_fingerprint)

    def save(self, path: str | Path) -> None:
        """Write `to_bytes()` to a file; a crash or power cut leaves the old one there or the new one, never a part.

        Args:
            path: Where to write.

        Raises:
            StateMismatchError: As `to_bytes` does. What stood at `path` still stands there.
            OutputError: It cannot be written. What stood at `path` still stands there.
        """
        self._saved().to_file(path)

    def restore(self, path: str | Path, *, ignore_fingerprint: bool = False) -> None:
        """Go on where a stream was when it was saved.

        Args:
            path: What `save` wrote.
            ignore_fingerprint: As for `from_bytes`.

        Raises:
            StateNotFoundError: There is no such file, or it cannot be read. The stream has not moved.
            SavedStateError, StateMismatchError: As `from_bytes` does. The stream has not moved.
        """
        self._go_on(read_saved_streams(path), Path(path).name, ignore_fingerprint)

    def _saved(self) -> SavedStreams:
        return SavedStreams.of(self.file.manifest, {_ALONE: self.snapshot()})

    def _go_on(self, saved: SavedStreams, name: str, ignore_fingerprint: bool) -> None:
        if set(saved.streams) != {_ALONE}:
            raise SavedStateError(
                f"{name} holds {len(saved.streams)} streams by key and not one by itself. Step them with: "
                "stepcell predict MODEL --key FIELD --state FILE"
            )
        self._park(saved.checked(self.file, name, ignore_fingerprint=ignore_fingerprint)[_ALONE])

    def _park(self, snapshot: Snapshot) -> None:
        """Be where `snapshot` says, which belongs to this stream from now on."""
        self._bound = None
        self._answers, self._answered_at = snapshot.answers, snapshot.symbols_seen
        self._parked = snapshot

    def _interpreter(self) -> Backend:
        """Return the interpreter with the state of this stream in it; where there is none yet, open one."""
        parked = self._parked
        if parked is not None:
            if self._backend is None:
                self._backend = self.pool.open()
                tell_of_forks(self)
            self._guarded(lambda: self._backend.write_state(parked.state))
            self._backend.steps = parked.symbols_seen
            bound = self._bind(self._backend)
            self._parked = None
            self._bound = bound
        backend: Backend = self._backend
        return backend

    def after_fork(self) -> None:
        """See `Holder.after_fork`: go on with another interpreter. The last answer is lost, unless it was read before.

        The state is read from memory, without a call: a step writes it there between two calls of the interpreter.
        """
        if self._backend is not None:
            if self._parked is None:
                answers = self._answers if self._answered_at == self._backend.steps else None
                self._park(Snapshot(self._backend.read_state(), self._backend.steps, answers))
            leave(self._backend)
            self._backend = None

    def _bind(self, backend: Backend) -> tuple[Any, ...] | None:
        """Return what the short step of a stream needs; None: it reads or answers more than symbols at each step."""
        manifest = self.file.manifest
        if manifest.features or manifest.extra_outputs or self.pool.answers is not None:
            return None
        return backend, backend.answer(), manifest.vocabulary.id_by_symbol, symbols_of(manifest)

    def _step(self, id: int, features: Mapping[str, AnyArray]) -> Backend:
        """Step once on any backend, which then has the answer."""
        backend = self._interpreter()
        if features:
            self._guarded(lambda: backend.write_features(features))
        self._advance(backend, id)
        return backend

    def _advance(self, backend: Backend, id: int) -> None:
        """Step `backend`; if that fails, forget the last answer, which it may have overwritten."""
        try:
            backend.step(id)
        except BaseException as error:
            self._forget_answers(error)
            raise

    def _move(self, work: Callable[[Backend], T], count: int) -> T:
        """Return what `work` does with the interpreter, which moves the state by `count` symbols.

        Until it has done that the stream is where it was, whatever is raised.
        """
        backend, before, bound = self._interpreter(), self.snapshot(), self._bound
        self._park(before)
        result = self._guarded(lambda: work(backend))
        backend.steps = before.symbols_seen + count
        self._parked = None
        self._bound = bound
        return result

    def _guarded(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; what an interpreter raises becomes a StepcellError."""
        try:
            return work()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        """Raise `error` as a StepcellError."""
        if isinstance(error, StepcellError):
            raise error
        name = describe_backend(self.pool.backend_name)
        raise BackendError(f"{name} failed on {self.file.name}: {error}. The stream has not moved.") from error

    def _forget_answers(self, error: BaseException) -> None:
        """Note that a step which has not moved may have overwritten the last answer; raise `error` as `_fail` does."""
        self._answers, self._answered_at = None, self._backend.steps
        if isinstance(error, Exception):
            self._fail(error)

    def _answers_at(self, step: int) -> dict[str, Float32] | None:
        """Return a copy of what the interpreter has answered in that step, the main output first; None: nothing."""
        if not self.file.manifest.answers.answers_at(step):
            return None
        return {self.file.manifest.answer: self._backend.answer().copy(), **self._backend.extra_outputs()}

    def _last_answers(self) -> dict[str, Float32] | None:
        """Return the answers to the last symbol; they belong to this stream. From now on the interpreter may forget."""
        if self._parked is None and self._backend.steps != self._answered_at:
            self._answers, self._answered_at = self._answers_at(self._backend.steps), self._backend.steps
        return self._answers
