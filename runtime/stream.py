"""Streams: one sequence being stepped, with the state that belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Float32
from .backend import Backend, describe_backend, initial_state
from .errors import BackendError, StateMismatchError, StepcellError, UnknownSymbolError
from .model_file import ModelFile
from .prediction import Prediction

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
        self._output_vocabulary = seat.file.manifest.output_vocabulary
        self._parked = state  # the state while this stream is not seated
        self._symbols_seen = symbols_seen

    @property
    def symbols_seen(self) -> int:
        """How many symbols have moved the state since the last reset (or since `state` was assigned)."""
        return self._symbols_seen

    def step(self, symbol: str) -> Prediction:
        """Feed one symbol and return how likely each symbol of the output is.

        The state moves forward by one.

        Args:
            symbol: One symbol of the model's vocabulary.

        Returns:
            Prediction over the output vocabulary; its `probabilities` are float32 of shape (K,) and stay yours: later
            steps do not change them.

        Raises:
            UnknownSymbolError: `symbol` is not in the vocabulary. The state has not moved.
            BackendError: The interpreter failed. The state has not moved.
        """
        id = self._id_of(symbol)
        seat = self._seat
        with seat.lock:
            backend = seat.take(self)
            try:
                backend.step(id)
            except Exception as error:
                raise self._failure(error) from error
            self._symbols_seen += 1
            return Prediction(backend.probabilities(), self._output_vocabulary)

    def peek(self, symbol: str) -> Prediction:
        """Return what `step(symbol)` would return; the state does not move. Raises as `step` does."""
        id = self._id_of(symbol)
        seat = self._seat
        with seat.lock:
            backend = seat.take(self)
            try:
                backend.peek(id)
            except Exception as error:
                raise self._failure(error) from error
            return Prediction(backend.probabilities(), self._output_vocabulary)

    def absorb(self, symbols: Iterable[str]) -> Prediction | None:
        """Feed a whole history at once: the same state and the same answer as stepping it, bit for bit.

        Args:
            symbols: Symbols of the vocabulary, in order. They are all checked before the first is fed.

        Returns:
            The prediction after the last symbol; None if there are no symbols.

        Raises:
            UnknownSymbolError: One of them is not in the vocabulary. The state has not moved.
            BackendError: The interpreter failed. The state has not moved.
        """
        ids = np.fromiter((self._id_of(symbol) for symbol in symbols), dtype=np.int32)
        if not ids.size:
            return None
        seat = self._seat
        with seat.lock:
            backend = seat.take(self)
            try:
                backend.absorb(ids)
            except Exception as error:
                raise self._failure(error) from error
            self._symbols_seen += ids.size
            return Prediction(backend.probabilities(), self._output_vocabulary)

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

    def _id_of(self, symbol: str) -> int:
        try:
            return self._encode(symbol)
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
