"""Streams: one sequence being stepped, with the state that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .arrays import AnyArray, Float32, Ids
from .backend import Backend, describe_backend, initial_state
from .beam import beam
from .errors import BackendError, FeatureMismatchError, StepcellError, UnknownSymbolError
from .generation import generate
from .model_file import ModelFile
from .ports import Features, checked_features
from .prediction import Prediction, prediction_of
from .saving import from_bytes, restore, save, to_bytes
from .scoring import score
from .seat import Seat
from .snapshot import Snapshot, State, checked_state

T = TypeVar("T")


class Stream:
    """One sequence of symbols on its way through a model.

    Made by `Model.stream()`. What it answers depends on every symbol since the last `reset()` and on nothing else: no
    other stream of the model, no other thread. Use one stream from one thread at a time. A call that fails leaves the
    state where it was. Ctrl-C in the middle of a call leaves it where it was or where the call would have moved it,
    never between.
    """

    def __init__(
        self, seat: Seat, state: State, symbols_seen: int = 0, answers: dict[str, Float32] | None = None
    ) -> None:
        """Start from there; the arrays are this stream's from now on. Use `Model.stream()` instead."""
        manifest = seat.file.manifest
        self._seat = seat
        self._encode, self._encode_all = manifest.vocabulary.encode, manifest.vocabulary.encode_all
        self._id_by_symbol: Mapping[Any, int] = manifest.vocabulary.id_by_symbol
        self._ids = len(manifest.vocabulary) or 1
        self._output_vocabulary = None if manifest.output == "linear" else manifest.output_vocabulary
        self._wide = bool(manifest.features or manifest.others)
        self._parked = state  # the state while this stream is not seated
        self._symbols_seen = symbols_seen
        self._stepping = False  # on the bare path, at this moment
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
        return None if answers is None else self._prediction(answers)

    def step(self, symbol: str | None = None, features: Features | None = None) -> Prediction:
        """Feed one symbol and return how likely each symbol of the output is.

        The state moves forward by one.

        Args:
            symbol: One symbol of the model's vocabulary; None for a model that reads features alone.
            features: What the model reads beside the symbol (`Manifest.features`), by name: arrays of the shapes of
                one step. Of a single feature the array alone will do.

        Returns:
            Prediction over the output vocabulary; its numbers are float32 of shape (K,) and stay yours: later steps do
            not change them.

        Raises:
            UnknownSymbolError: `symbol` is not in the vocabulary. The state has not moved.
            FeatureMismatchError: `features` are not those that the model reads. The state has not moved.
            BackendError: The interpreter failed. The state has not moved.
        """
        if features is None and not self._wide:
            id = self._id_by_symbol.get(symbol)
            if id is not None:
                return Prediction(self._step_and_copy(id), self._output_vocabulary)
        id = self._id_of(symbol)
        checked = self._checked(features) if self._wide or features is not None else None
        seat = self._seat
        with seat.lock:
            backend = seat.take(self)
            try:
                if checked:
                    backend.write_features(checked)
                backend.step(id)
            except BaseException as error:
                self._forget_answer(error)
                raise
            self._symbols_seen += 1
            return self._prediction(seat.answers())

    @cached_property
    def step_id(self) -> Callable[[int], Float32]:
        """A function that feeds the symbol with an id by the shortest way there is: `stream.step_id(3)`.

        For models that read symbols alone. It returns the main output, float32 of shape (K,), where the interpreter
        has it: the next call of any stream of this model may change it, so copy what you keep. It raises
        UnknownSymbolError and BackendError as `step` does, and the state has not moved then.
        """
        return self._bare_path(copies=False)

    @cached_property
    def _step_and_copy(self) -> Callable[[int], Float32]:
        return self._bare_path(copies=True)

    def _bare_path(self, *, copies: bool) -> Callable[[int], Float32]:
        from .bare_path import make_bare_path  # it knows the backends, which need interpreters of their own

        manifest = self._seat.file.manifest
        if manifest.features:
            names = ", ".join(feature.describe() for feature in manifest.features)
            raise FeatureMismatchError(
                f"{self._seat.file.name} reads {names} at each step: call step(symbol, features)."
            )
        return make_bare_path(self, copies=copies)

    def settle(self) -> None:
        """Do now what a step of a low-latency stream has left for later; see `Model.stream`. The state stays.

        Raises:
            BackendError: The interpreter failed. The state has not moved.
        """
        with self._seat.lock:
            if self._seat.occupant is self:
                try:
                    self._seat.backend.settle()
                except Exception as error:
                    raise self._failure(error) from error

    def peek(self, symbol: str | None = None, features: Features | None = None) -> Prediction:
        """Return what `step` would return; the state does not move. Raises as `step` does."""
        id = self._id_of(symbol)
        checked = self._checked(features) if self._wide or features is not None else None
        seat = self._seat
        with seat.lock:
            backend = seat.take(self)
            seat.keep_answers(self)
            try:
                if checked:
                    backend.write_features(checked)
                backend.peek(id)
            except Exception as error:
                raise self._failure(error) from error
            return self._prediction(seat.answers())

    def absorb(self, symbols: Iterable[str] | None = None, features: Features | None = None) -> Prediction | None:
        """Feed a whole history at once: the same state and the same answer as stepping it, bit for bit.

        (In a file of whole sequences, model.bulk.onnx, up to float32 rounding: there a long product of matrices takes
        the place of many short ones.)

        Args:
            symbols: Symbols of the vocabulary, in order. They are all checked before the first is fed.
            features: As for `step`, with the T steps as first dimension of each array.

        Returns:
            The prediction after the last symbol; None if there are no symbols.

        Raises:
            UnknownSymbolError: One of them is not in the vocabulary. The state has not moved.
            FeatureMismatchError: `features` are not those that the model reads. The state has not moved.
            BackendError: The interpreter failed. The state has not moved.
        """
        ids, checked = self._read_all(symbols, features)
        if not ids.size:
            return None

        def work(backend: Backend) -> Prediction:
            if checked:
                for _ in _steps_with_features(backend, ids, checked):
                    pass
            else:
                backend.absorb(ids)
            return self._prediction(self._seat.answers())

        with self._seat.lock:
            return self._bulk(ids, work)

    def run(self, symbols: Iterable[str] | None = None, features: Features | None = None) -> Float32:
        """Feed many symbols and return the answers to all of them: what stepping them answers, bit for bit.

        Args:
            symbols: T symbols of the vocabulary, in order. They are all checked before the first is fed.
            features: As for `absorb`.

        Returns:
            The main output, float32 of shape (T, K), yours to keep. Feed millions of symbols in parts, or see `score`.

        Raises:
            UnknownSymbolError, FeatureMismatchError, BackendError: As `absorb` does. The state has not moved.
        """
        ids, checked = self._read_all(symbols, features)
        if not checked:
            return self.run_ids(ids)

        def work(backend: Backend) -> Float32:
            return np.stack([backend.answer().copy() for _ in _steps_with_features(backend, ids, checked)])

        with self._seat.lock:
            return self._bulk(ids, work)

    def run_ids(self, ids: Ids) -> Float32:
        """Do what `run` does with the ids of symbols, int32 of shape (T,).

        Raises:
            UnknownSymbolError: One of them is no id. The state has not moved.
            BackendError: The interpreter failed. The state has not moved.
        """
        if not ids.size:
            return np.empty((0, len(self._seat.file.manifest.output_vocabulary)), np.float32)
        if not 0 <= int(ids.min()) <= int(ids.max()) < self._ids:
            wrong = int(ids[(ids < 0) | (ids >= self._ids)][0])
            raise UnknownSymbolError(f"Id {wrong} is not one of 0 to {self._ids - 1}. The stream has not moved.")
        with self._seat.lock:
            return self._bulk(ids, lambda backend: backend.run(ids))

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
        """Go where `snapshot` says, taken from a stream of the same model. It is copied and not checked."""
        self._seat.replace(self, snapshot.copy())

    def fork(self) -> Stream:
        """Return a second stream that continues from here, independent of this one."""
        here = self.snapshot()
        return Stream(self._seat, here.state, here.symbols_seen, here.answers)

    # Each of these has a file of its own and takes the stream as its first argument.
    to_bytes, from_bytes, save, restore = to_bytes, from_bytes, save, restore
    generate, beam, score = generate, beam, score

    def _id_of(self, symbol: str | None) -> int:
        try:
            return self._encode(symbol)  # type: ignore[arg-type]  # None is no symbol, and is told so below
        except UnknownSymbolError as error:
            if symbol is None and not len(self._seat.file.manifest.vocabulary):
                return 0
            raise self._unknown(error) from None

    def ids_of(self, symbols: Iterable[str]) -> Ids:
        """Return the ids of symbols, int32 of shape (T,), or raise UnknownSymbolError; nothing moves."""
        try:
            return self._encode_all(symbols)
        except UnknownSymbolError as error:
            raise self._unknown(error) from None

    def _checked(self, features: Features | None, steps: tuple[int, ...] = ()) -> dict[str, AnyArray]:
        return checked_features(features, self._seat.file.manifest.features, self._seat.file.name, steps)

    def _read_all(
        self, symbols: Iterable[str] | None, features: Features | None
    ) -> tuple[Ids, dict[str, AnyArray] | None]:
        """Return what T steps read; nothing moves."""
        if symbols is None and not len(self._seat.file.manifest.vocabulary):
            given = next(iter(features.values()), ()) if isinstance(features, Mapping) else features
            first = np.asarray(() if given is None else given)
            ids = np.zeros(len(first) if first.ndim else 0, np.int32)
        else:
            ids = self.ids_of(symbols or ())
        wanted = features is not None or self._seat.file.manifest.features
        return ids, self._checked(features, ids.shape) if wanted else None

    def _bulk(self, ids: Ids, work: Callable[[Backend], T]) -> T:
        """Let the backend do something with all of `ids`. Call with the lock held."""
        backend = self._seat.take(self)
        self._seat.keep_answers(self)
        try:
            result = work(backend)
        except Exception as error:
            raise self._failure(error) from error
        self._symbols_seen += ids.size
        return result

    def _prediction(self, answers: Mapping[str, Float32]) -> Prediction:
        return prediction_of(answers, self.file.manifest)

    def _unknown(self, error: UnknownSymbolError) -> UnknownSymbolError:
        message = str(error).replace("the vocabulary (", f"the vocabulary of {self._seat.file.name} (", 1)
        return UnknownSymbolError(f"{message} The stream has not moved.")

    def _forget_answer(self, error: BaseException) -> None:
        """Note that the last answer may have been overwritten; raise `error` as one of ours if it is an exception."""
        self._answers, self._answered_at = None, self._symbols_seen
        if isinstance(error, Exception):
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> StepcellError:
        if isinstance(error, StepcellError):
            return error
        backend = describe_backend(self._seat.backend_name)
        return BackendError(f"{backend} failed on {self._seat.file.name}: {error}. The stream has not moved.")

    def __copy__(self) -> Stream:
        """Return a fork."""
        return self.fork()

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        """Return a fork."""
        return self.fork()

    def __repr__(self) -> str:
        """Return model and position in a line."""
        return f"Stream({self._seat.file.name}, symbols_seen={self._symbols_seen})"


def _steps_with_features(backend: Backend, ids: Ids, features: Mapping[str, AnyArray]) -> Iterable[None]:
    """Step `ids` with the rows of `features`, and pause after each; if one fails the state is where it was."""
    before = backend.read_state()
    try:
        for step, id in enumerate(ids.tolist()):
            backend.write_features({name: array[step] for name, array in features.items()})
            backend.step(id)
            yield
    except BaseException:
        backend.write_state(before)
        raise
