"""The interpreters of a model: each of its streams has one of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from ..format.model_file import ModelFile
from ..format.tensor_specs import EVERY_STEP
from ..interpreters.base import Backend
from ..interpreters.batch import Batch, open_batch
from ..interpreters.forks import leave, tell_of_forks
from ..interpreters.golden import replay_golden, replay_golden_in_batch
from ..interpreters.registry import open_backend, open_two_phase_backend
from .input_encoder import InputEncoder

T = TypeVar("T")


class Spare(Generic[T]):
    """Keeps one object for the next borrower; opens another one while that is lent."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Keep nothing yet; `make` returns a new object."""
        self._make = make
        self._idle: list[T] = []

    @contextmanager
    def lend(self) -> Iterator[T]:
        """Lend an object to one borrower, in one thread."""
        try:
            one = self._idle.pop()
        except IndexError:
            one = self._make()
        try:
            yield one
        finally:
            if not self._idle:
                self._idle.append(one)


class InterpreterPool:
    """Opens the interpreters of one loaded file. All streams of a model share it; threads may share it.

    Attributes:
        file: The file.
        backend_name: Which interpreter.
        encoder: Reads what the streams of the model are fed.
        answers: The steps that answer; None: all of them.
    """

    def __init__(
        self,
        file: ModelFile,
        backend_name: str,
        first: Backend,
        *,
        golden: bool = True,
        open: Callable[[Any], Backend] | None = None,
    ) -> None:
        """Start with one interpreter.

        Args:
            file: The file.
            backend_name: Which interpreter.
            first: An interpreter with the file in it, for the stream that is stepped first.
            golden: Replay the golden sequence on what is opened in another way: batches, steps in two phases.
            open: Opens one more for another stream, given `Backend.shared`; None: `open_backend`.
        """
        self.file, self.backend_name = file, backend_name
        self.encoder = InputEncoder(file)
        answers = file.manifest.answers
        self.answers = None if answers == EVERY_STEP else answers
        self._golden, self._unused, self._shared = golden, [first], first.shared
        self._open = open or partial(open_backend, backend_name, file)
        self._batches: dict[int, Spare[Batch]] = {}
        tell_of_forks(self)

    def open(self) -> Backend:
        """Return an interpreter for one stream.

        Raises:
            StepcellError: As `open_backend` does.
        """
        try:
            return self._unused.pop()
        except IndexError:
            opened = self._open(self._shared)
        if self._shared is None:  # after a fork
            self._shared = opened.shared
        return opened

    def after_fork(self) -> None:
        """See `Holder.after_fork`."""
        leave(self._unused, self._shared, self._batches)
        self._unused, self._shared, self._batches = [], None, {}

    def open_batch(self, size: int) -> Batch:
        """Return a new batch of the model for `size` streams, in the initial state.

        Raises:
            BackendError: The interpreter cannot load it, or fails.
            GoldenMismatchError: Its answers are not the recorded ones.
        """
        batch = open_batch(self.backend_name, self.file, size)
        if self._golden:
            replay_golden_in_batch(batch, self.file, self.backend_name)
        return batch

    def lend_batch(self, size: int) -> AbstractContextManager[Batch]:
        """Lend a batch for `size` streams, to one borrower at a time; one is kept for the next. Raises as above."""
        return self._batches.setdefault(size, Spare(lambda: self.open_batch(size))).lend()

    def in_two_phases(self) -> InterpreterPool:
        """Return the pool of the low-latency streams of the same model.

        Raises:
            WrongBackendError: This file or interpreter has no steps in two phases.
            GoldenMismatchError: The answers in two phases are not the recorded ones.
        """
        open = partial(open_two_phase_backend, self.backend_name, self.file)
        first = open()
        if self._golden:
            replay_golden(first, self.file, self.backend_name)
        return InterpreterPool(self.file, self.backend_name, first, golden=self._golden, open=open)
