"""Streams: one sequence being stepped, with the state that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from numpy.typing import ArrayLike

from ..common.arrays import Float32, Ids
from ..format.model_file import ModelFile
from ..format.tensor_specs import Features
from ..interpreters.base import Backend, initial_state
from ..tasks.generate import beam, generate
from ..tasks.score import score
from .bare_path import step, step_id
from .bulk import absorb, run, run_ids
from .locked_path import settle_with_lock
from .prediction import Prediction, prediction_of
from .saving import from_bytes, restore, save, to_bytes
from .seat import Seat
from .snapshot import Snapshot, State, checked_state

T = TypeVar("T")


class Stream:
    """One sequence of symbols on its way through a model.

    Made by `Model.stream()`. What it answers depends on every symbol since the last `reset()` and on nothing else: no
    other stream of the model, no other thread. Use one stream from one thread at a time. A call that fails leaves the
    state where it was. Ctrl-C in the middle of a call leaves it where it was or where the call would have moved it,
    never between. A signal handler that comes in the middle of a call cannot use the streams of that model: it gets a
    BackendError. Let it set a flag.
    """

    # An attribute with a slot is found in a third of the time of one in the dictionary, and each step looks at six.
    __slots__ = (
        "__dict__", "__weakref__", "_answered_at", "_answers", "_entry_contents", "_intake", "_parked", "_room",
        "_seat", "_spare", "_stepping", "_symbols_seen", "_tools", "_wide",
    )  # fmt: skip

    def __init__(
        self, seat: Seat, state: State, symbols_seen: int = 0, answers: dict[str, Float32] | None = None
    ) -> None:
        """Start from there; the arrays are this stream's from now on. Use `Model.stream()` instead."""
        manifest = seat.file.manifest
        self._seat = seat
        self._intake = seat.intake
        self._wide = bool(manifest.features or manifest.extra_outputs)
        self._parked = state  # the state while this stream is not seated
        self._symbols_seen = symbols_seen
        # See `bare_path` and `two_phase_path` for these.
        self._tools = seat.tools
        self._stepping = False  # without the lock, at this moment
        self._entry_contents: list[Any] = []  # of the seat's backend as long as this stream sits there
        self._spare: Any = None  # the array of the last answer, and its memory
        self._room: Any = None
        self._answers = answers  # the last ones as they were at `_answered_at`; what came later the backend has
        self._answered_at = symbols_seen

    @property
    def file(self) -> ModelFile:
        """The file of the model."""
        return self._seat.file

    @property
    def symbols_seen(self) -> int:
        """How many symbols have moved the state since the last reset (or since `state` was assigned)."""
        return self._symbols_seen

    @property
    def prediction(self) -> Prediction | None:
        """The answer to the last symbol, again.

        None where there is none: after a reset, after `state` was assigned, after an interpreter failed in a step.
        """
        answers = self._seat.last_answers(self)
        return None if answers is None else prediction_of(answers, self.file.manifest)

    def settle(self, *, expect: bool = True) -> None:
        """Do now what a step of a low-latency stream has left for later; see `Model.stream`. The state stays.

        Args:
            expect: Compute the answer to the symbol that the last answer calls likeliest as well. If that is the one
                that is stepped next, its answer is there already. (Of models that answer with the next symbol.)

        Raises:
            BackendError: The interpreter failed. The state has not moved.
        """
        settle_with_lock(self, expect=expect)

    def peek(self, symbol: str | None = None, features: Features | None = None) -> Prediction:
        """Return what `step` would return; the state does not move.

        Args:
            symbol: As for `step`.
            features: As for `step`.

        Raises:
            UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: As `step` does.
        """
        id, checked = self._intake.id_of(symbol), self._intake.features_of(features)

        def work(backend: Backend) -> Prediction:
            backend.write_features(checked)
            backend.peek(id)
            return prediction_of(self._seat.answers(), self.file.manifest)

        return self._work(work, moves=0)

    def reset(self) -> None:
        """Forget everything: the state becomes the model's initial state."""
        self._seat.replace(self, Snapshot(initial_state(self._seat.file.manifest.state)))

    @property
    def state(self) -> State:
        """The state: name -> copy, each float32 of shape (1, ...). Assign one to continue from there.

        Assigning checks names, shapes and that all numbers are finite, and copies.

        Raises:
            StateMismatchError: On assignment of a state that does not fit. The state has not moved.
        """
        return self.snapshot().state

    @state.setter
    def state(self, state: Mapping[str, ArrayLike]) -> None:
        self._seat.replace(self, Snapshot(checked_state(state, self._seat.file)))

    def snapshot(self) -> Snapshot:
        """Return where the stream is, as a copy: all that `go_to` needs to come back."""
        return self._seat.snapshot(self)

    def go_to(self, snapshot: Snapshot) -> None:
        """Go where another stream of this model was, or this one was before.

        Args:
            snapshot: What `snapshot()` returned. It is copied and not checked: what comes from elsewhere is assigned to
                `state`.
        """
        self._seat.replace(self, snapshot.copy())

    def fork(self) -> Stream:
        """Return a second stream that continues from here, independent of this one."""
        here = self.snapshot()
        return type(self)(self._seat, here.state, here.symbols_seen, here.answers)

    # Each of these has a file of its own and takes the stream as its first argument.
    step, step_id = step, step_id
    absorb, run, run_ids = absorb, run, run_ids
    to_bytes, from_bytes, save, restore = to_bytes, from_bytes, save, restore
    generate, beam, score = generate, beam, score

    def ids_of(self, symbols: Iterable[str]) -> Ids:
        """Return the ids of symbols; nothing moves.

        Args:
            symbols: T symbols.

        Returns:
            int32 of shape (T,).

        Raises:
            UnknownSymbolError: One of them is not in the vocabulary; the message says which.
        """
        return self._intake.ids_of(symbols)

    def _work(self, work: Callable[[Backend], T], *, moves: int) -> T:
        """Return what `work` does with the backend: it moves the state by so many symbols, or fails and leaves it."""
        seat = self._seat
        with seat.lock:
            try:
                backend = seat.take(self)
                seat.keep_answers(self)
                before, seen = None, self._symbols_seen
                try:
                    if moves:
                        before = backend.read_state()
                    result = work(backend)
                    self._symbols_seen = seen + moves
                    return result
                except BaseException as error:
                    self._symbols_seen = seen
                    if before is not None:
                        backend.write_state(before)
                    if isinstance(error, Exception):
                        raise seat.failure(error) from error
                    raise
            finally:
                seat.release(self)

    def _forget_answer(self, error: BaseException) -> None:
        """Note that the last answer may have been overwritten; raise `error` as one of ours if it is an exception."""
        self._answers, self._answered_at = None, self._symbols_seen
        if isinstance(error, Exception):
            raise self._seat.failure(error) from error

    def __copy__(self) -> Stream:
        """Return a fork."""
        return self.fork()

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        """Return a fork."""
        return self.fork()

    def __repr__(self) -> str:
        """Return model and position in a line."""
        return f"Stream({self._seat.file.name}, symbols_seen={self._symbols_seen})"
