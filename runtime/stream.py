"""Streams: one sequence being stepped, with the state that belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import AnyArray, Float32
from .backend import Backend, describe_backend, initial_state
from .errors import BackendError, StateMismatchError, StepcellError, UnknownSymbolError
from .model_file import ModelFile
from .ports import Features, checked_features
from .prediction import Prediction
from .vocabulary import Vocabulary

State = dict[str, Float32]


class Seat:
    """The one place where a state can be stepped: a backend, and the stream whose state is in it.

    Streams of one model share the seat. As long as one stream steps, its state stays in the interpreter and nothing
    is copied; when another stream steps, the two states change places.
    """

    def __init__(self, backend: Backend, backend_name: str, file: ModelFile) -> None:
        """Make an empty seat around `backend`, into which `file` is loaded."""
        self.backend = backend
        self.backend_name = backend_name
        self.file = file
        self.lock = Lock()
        self._occupant: Stream | None = None

    def take(self, stream: Stream) -> Backend:
        """Seat `stream` and return the backend that holds its state. Call with the lock held."""
        if self._occupant is not stream:
            if self._occupant is not None:
                self._occupant._parked = self.backend.read_state()
                self._occupant = None  # nobody sits here while the states change places, whatever interrupts that
            self.backend.write_state(stream._parked)
            self._occupant = stream
        return self.backend

    def state_of(self, stream: Stream) -> State:
        """Return a copy of the state of `stream`, wherever that is now."""
        with self.lock:
            if self._occupant is stream:
                return self.backend.read_state()
            return {name: array.copy() for name, array in stream._parked.items()}

    def replace(self, stream: Stream, state: State) -> None:
        """Let `state` be the state of `stream`, whatever it was."""
        with self.lock:
            if self._occupant is stream:
                self._occupant = None
            stream._parked = state
            stream._symbols_seen = 0


class Stream:
    """One sequence of symbols on its way through a model.

    Made by `Model.stream()`. What it answers depends on every symbol since the last `reset()` and on nothing else: no
    other stream of the model, no other thread. Use one stream from one thread at a time. A call that fails leaves the
    state where it was. Ctrl-C in the middle of a call leaves it where it was or where the call would have moved it,
    never between.
    """

    def __init__(self, seat: Seat, state: State, symbols_seen: int = 0) -> None:
        """Start from `state`, which this stream owns from now on. Use `Model.stream()` instead."""
        self._seat = seat
        self._encode = seat.file.manifest.vocabulary.encode
        manifest = seat.file.manifest
        self._output_vocabulary = None if manifest.output == "linear" else manifest.output_vocabulary
        self._wide = bool(manifest.features or manifest.others)
        self._parked = state  # the state while this stream is not seated
        self._symbols_seen = symbols_seen

    @property
    def symbols_seen(self) -> int:
        """How many symbols have moved the state since the last reset (or since `state` was assigned)."""
        return self._symbols_seen

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
        return self._answer_to(symbol, features, stays=False)

    def peek(self, symbol: str | None = None, features: Features | None = None) -> Prediction:
        """Return what `step` would return; the state does not move. Raises as `step` does."""
        return self._answer_to(symbol, features, stays=True)

    def absorb(self, symbols: Iterable[str] | None = None, features: Features | None = None) -> Prediction | None:
        """Feed a whole history at once: the same state and the same answer as stepping it, bit for bit.

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
        manifest = self._seat.file.manifest
        if symbols is None and not len(manifest.vocabulary):
            given = next(iter(features.values()), ()) if isinstance(features, Mapping) else features
            first = np.asarray(() if given is None else given)
            ids = np.zeros(len(first) if first.ndim else 0, np.int32)
        else:
            ids = np.fromiter((self._id_of(symbol) for symbol in symbols or ()), dtype=np.int32)
        checked = {}
        if features is not None or manifest.features:
            checked = checked_features(features, manifest.features, self._seat.file.name, ids.shape)
        if not ids.size:
            return None
        seat = self._seat
        with seat.lock:
            backend = seat.take(self)
            try:
                if checked:
                    _absorb_with_features(backend, ids.tolist(), checked)
                else:
                    backend.absorb(ids)
            except Exception as error:
                raise self._failure(error) from error
            self._symbols_seen += ids.size
            return self._prediction(backend)

    def reset(self) -> None:
        """Forget everything: the state becomes the model's initial state."""
        self._seat.replace(self, initial_state(self._seat.file.manifest.state))

    @property
    def state(self) -> State:
        """The state: name -> copy, each float32 of shape (1, ...). Assign one to continue from there.

        Assigning checks names, shapes and that all numbers are finite, and copies.

        Raises:
            StateMismatchError: On assignment of a state that does not fit. The state has not moved.
        """
        return self._seat.state_of(self)

    @state.setter
    def state(self, state: Mapping[str, ArrayLike]) -> None:
        self._seat.replace(self, checked_state(state, self._seat.file))

    def fork(self) -> Stream:
        """Return a second stream that continues from here, independent of this one."""
        return Stream(self._seat, self.state, self._symbols_seen)

    def _answer_to(self, symbol: str | None, features: Features | None, *, stays: bool) -> Prediction:
        id = self._id_of(symbol)
        checked: dict[str, AnyArray] = {}
        if self._wide or features is not None:
            checked = checked_features(features, self._seat.file.manifest.features, self._seat.file.name)
        seat = self._seat
        with seat.lock:
            backend = seat.take(self)
            try:
                if checked:
                    backend.write_features(checked)
                if stays:
                    backend.peek(id)
                else:
                    backend.step(id)
            except Exception as error:
                raise self._failure(error) from error
            if not stays:
                self._symbols_seen += 1
            return self._prediction(backend)

    def _prediction(self, backend: Backend) -> Prediction:
        """Return the last answer of `backend`."""
        if not self._wide:
            return Prediction(backend.probabilities(), self._output_vocabulary)
        numbers = backend.others()
        others = {
            output.name: Prediction(
                numbers[output.name],
                None if output.activation == "linear" else output.labels or Vocabulary.of_ids(output.size),
            )
            for output in self._seat.file.manifest.others
        }
        return Prediction(backend.probabilities(), self._output_vocabulary, others)

    def _id_of(self, symbol: str | None) -> int:
        vocabulary = self._seat.file.manifest.vocabulary
        if symbol is None and not len(vocabulary):
            return 0
        try:
            return self._encode(symbol)  # type: ignore[arg-type]  # None is no symbol, and is told so
        except UnknownSymbolError as error:
            message = str(error).replace("the vocabulary (", f"the vocabulary of {self._seat.file.name} (", 1)
            raise UnknownSymbolError(f"{message} The stream has not moved.") from None

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


def _absorb_with_features(backend: Backend, ids: list[int], features: Mapping[str, AnyArray]) -> None:
    """Step `ids` with the rows of `features`; if one fails the state is where it was."""
    before = backend.read_state()
    try:
        for step, id in enumerate(ids):
            backend.write_features({name: array[step] for name, array in features.items()})
            backend.step(id)
    except BaseException:
        backend.write_state(before)
        raise


def checked_state(state: Mapping[str, Any], file: ModelFile) -> State:
    """Return a copy of `state` as float32 arrays, or refuse it.

    Raises:
        StateMismatchError: Names or shapes are not those of the model, or a number is not finite.
    """
    expected = {tensor.name: (1, *tensor.shape) for tensor in file.manifest.state}
    origin = "Take it from model.initial_state() or from a stream of the same model."
    try:
        arrays = {name: np.array(value, np.float32) for name, value in state.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise StateMismatchError(
            f"{file.name} wants the state {expected} as a mapping of name to numbers ({error}). {origin}"
        ) from error
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != expected:
        raise StateMismatchError(f"{file.name} wants the state {expected}, but was given {shapes}. {origin}")
    wrong = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if wrong:
        raise StateMismatchError(f"{file.name} was given a state whose {', '.join(wrong)} is not finite. {origin}")
    return {name: arrays[name] for name in expected}
