"""Models: a loaded file, immutable and shared by all of its streams."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from ..common.arrays import Float32, MaybeNone
from ..common.errors import OptionError
from ..common.lazy import computed_once
from ..format.manifest import Manifest
from ..format.model_file import ModelFile, read_model_file
from ..format.tensor_specs import Features
from ..format.vocabulary import Vocabulary
from ..interpreters.base import initial_state
from ..interpreters.forks import Unpicklable
from ..interpreters.golden import replay_golden
from ..interpreters.registry import NATIVE, describe_backend, open_any_backend, open_backend
from .pool import InterpreterPool, Spare
from .prediction import Prediction
from .snapshot import Snapshot, State
from .static import Static, start_of
from .stream import Stream

if TYPE_CHECKING:  # else when they are asked for
    from .fleet import Fleet
    from .lockstep import Streams
    from .state_table import Store

_BACKEND = "STEPCELL_BACKEND"  # the environment variable


def load(path: str | Path, *, backend: str | None = None, golden: bool = True, static: Static | None = None) -> Model:
    """Load a model file made by `stepcell export`.

    The file is verified (sha256) before any byte of it reaches an interpreter; then the golden sequence inside it is
    replayed, a few dozen steps.

    Args:
        path: A .tflite or .onnx file.
        backend: "litert", "tflite", "onnxruntime", "numpy" or "native" (the compiled engine); None takes what the
            environment variable STEPCELL_BACKEND says, or else the first interpreter that is installed and loads the
            file, and numpy where there is none.
        golden: Replay the golden sequence.
        static: Static inputs of all streams; see `Model.with_static`.

    Raises:
        ModelFileNotFoundError: There is no such file.
        ForeignFileError, DamagedFileError, NewerFormatError: It is not a file that can be used; see `ModelFileError`.
        NoInterpreterError: `backend` is not installed; or no interpreter is, and numpy alone does not do.
        BackendError: The interpreter cannot load it.
        GoldenMismatchError: The interpreter's answers are not the recorded ones.
        WrongBackendError: There is no backend of this name for this kind of file, or the compiled engine lacks an
            operation of it.
        StateMismatchError: `static` are not the static inputs of the model.
    """
    file = read_model_file(path)
    if static is not None:
        start_of(file, static)
    backend = backend or os.environ.get(_BACKEND) or None
    if backend is None:
        backend, opened = open_any_backend(file)
    else:
        opened = open_backend(backend, file)
    if golden:
        replay_golden(opened, file, backend)
    return Model(InterpreterPool(file, backend, opened, golden=golden), static)


class Model(Unpicklable):
    """A model that can be stepped. Made by `load`.

    It never changes and may be shared, by threads too.

    Attributes:
        pool: Opens the interpreters of its streams.
        static: The static inputs of all streams for which no others are given; None: there are none. See
            `with_static`.
    """

    pickle_remedy = "Load its file in each process."

    def __init__(self, pool: InterpreterPool, static: Static | None = None) -> None:
        """Wrap the interpreters of a file. Use `load` instead."""
        self.pool, self.static = pool, static
        self._pure = Spare(lambda: self.stream_from(initial_state(self.manifest.state)))

    @property
    def file(self) -> ModelFile:
        """The verified file this model was loaded from."""
        return self.pool.file

    @property
    def manifest(self) -> Manifest:
        """What the file says about itself."""
        return self.file.manifest

    @property
    def vocabulary(self) -> Vocabulary:
        """The symbols it reads."""
        return self.manifest.vocabulary

    @property
    def output_vocabulary(self) -> Vocabulary:
        """The symbols it answers with."""
        return self.manifest.output_vocabulary

    @property
    def backend(self) -> str:
        """The interpreter it runs on, with its version."""
        return describe_backend(self.pool.backend_name)

    def with_static(self, static: Static) -> Model:
        """Return this model with static inputs for all of its streams. It shares the interpreters.

        Args:
            static: Name -> numbers, as for `stream`.

        Raises:
            StateMismatchError: They are not those that the model reads.
        """
        start_of(self.file, static)
        return Model(self.pool, static)

    def initial_state(self, *, static: Static | None = None) -> State:
        """Return the state after a reset: name -> float32 array of shape (1, ...).

        Args:
            static: As for `stream`.

        Raises:
            StateMismatchError: As `stream` does.
        """
        return start_of(self.file, self.static if static is None else static)

    def step(
        self, symbol: str | None, state: Mapping[str, ArrayLike], features: Features | None = None, *,
        symbols_seen: int | None = None,
    ) -> tuple[Float32 | MaybeNone, State]:  # fmt: skip
        """Step once as a pure function: nothing is kept, the same arguments give the same result.

        For reading and testing; a `Stream` does the same without copying the state in and out.

        Args:
            symbol: One symbol of the vocabulary; None for a model that reads features alone.
            state: The state before; see `initial_state`. It is not changed.
            features: What it reads beside the symbol; see `Stream.step`.
            symbols_seen: The symbols that led to `state`; see `Stream.set_state`.

        Returns:
            The main output (the probabilities), float32 of shape (K,), and the next state. None in place of the output
            where this step has no answer.

        Raises:
            UnknownSymbolError: `symbol` is not in the vocabulary.
            StateMismatchError: `state` is not a state of this model.
            FeatureMismatchError: `features` are not those of this model.
            BackendError: The interpreter failed.
        """
        with self._pure.lend() as stream:
            stream.set_state(state, symbols_seen=symbols_seen)
            prediction: Prediction | None = stream.step(symbol, features)
            return None if prediction is None else prediction.values, stream.state

    def stream(self, *, low_latency: bool = False, static: Static | None = None) -> Stream:
        """Return a new stream that starts from the initial state; it opens an interpreter at its first step.

        Args:
            static: Static inputs of the model (`Manifest.static`), which are given once for each stream: name ->
                numbers. They are a part of its state from then on, and a reset keeps them. None: those of the model.
            low_latency: Answer first and work later. A recurrent layer multiplies its state by a matrix whatever the
                next symbol is; a step of such a stream returns before that, and `Stream.settle()` or the next call does
                it. The answers are those of any other stream, up to float32 rounding. Needs the compiled engine:
                `load(path, backend="native")`.

        Raises:
            StateMismatchError: `static` are not the static inputs that the model reads. There is no stream.
            WrongBackendError: `low_latency` is not possible with this file or interpreter.
            GoldenMismatchError: The answers in two phases are not the recorded ones.
        """
        return self.stream_from(self.initial_state(static=static), low_latency=low_latency)

    def restore(
        self, saved: str | Path | bytes, *, low_latency: bool = False, ignore_fingerprint: bool = False
    ) -> Stream:
        """Return a stream that goes on where one was saved; its static inputs, if any, are in the saved state.

        Args:
            saved: A file of `Stream.save`, or what `Stream.to_bytes` returned.
            low_latency: As for `stream`.
            ignore_fingerprint: As for `Stream.from_bytes`.

        Raises:
            StateNotFoundError, SavedStateError, StateMismatchError: As `Stream.restore` does. There is no stream.
            WrongBackendError, GoldenMismatchError: As `stream` does.
        """
        stream = self.stream_from(initial_state(self.manifest.state), low_latency=low_latency)
        if isinstance(saved, bytes):
            stream.from_bytes(saved, ignore_fingerprint=ignore_fingerprint)
        else:
            stream.restore(saved, ignore_fingerprint=ignore_fingerprint)
        return stream

    def stream_from(self, start: State, *, low_latency: bool = False) -> Stream:
        """Return a new stream that starts from a state, which belongs to it from now on and is not checked."""
        pool = self._two_phase_pool if low_latency else self.pool
        if pool.backend_name != NATIVE:
            return Stream(pool, Snapshot(start))
        from .native_stream import LowLatencyStream, NativeStream

        return (LowLatencyStream if low_latency else NativeStream)(pool, Snapshot(start))

    def streams(self, count: int, *, static: Static | None = None) -> Streams:
        """Return new streams that are stepped together, a symbol for each at every step.

        Args:
            count: How many, N.
            static: As for `stream`, for all of them; or for each: arrays with N as their first dimension.

        Raises:
            OptionError: `count` is not at least 1.
            StateMismatchError: As `stream` does.
            GoldenMismatchError: What they answer together is not what was recorded.
        """
        from .lockstep import Streams

        if count < 1:
            raise OptionError(f"{count} streams cannot be stepped; give 1 or more.")
        start = start_of(self.file, self.static if static is None else static, (count,))
        return Streams(self.pool.open_batch(count), self.file, start)

    def fleet(self, *, max_members: int | None = None, store: Store | None = None) -> Fleet:
        """Return an empty fleet: streams by key, any of which move at a time.

        New members of a model with static inputs begin with those of `with_static`, or by `Fleet.add` with their own.

        Args:
            max_members: How many to keep in memory; the least recently used others go to `store`. None: all.
            store: Where they go and come back from: a `SqliteStore`, or anything with its methods.

        Raises:
            OptionError: `max_members` without a store.
        """
        from .fleet import Fleet

        return Fleet(self.pool.open_batch, self.file, static=self.static, max_members=max_members, store=store)

    @computed_once
    def _two_phase_pool(self) -> InterpreterPool:
        return self.pool.in_two_phases()

    def __repr__(self) -> str:
        """Return file and interpreter in a line."""
        return f"Model({self.file.name}, {len(self.vocabulary)} symbols, {self.backend})"
