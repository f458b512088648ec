"""Many streams in lockstep: a symbol for each of them at every step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Float32, Ids
from .backend import describe_backend, initial_state
from .batch import Batch
from .errors import BackendError, OptionError, StateMismatchError, UnknownSymbolError
from .finite import not_finite, suspects
from .model_file import ModelFile


class Streams:
    """N sequences that are stepped together, by one call of the interpreter.

    Made by `Model.streams(n)`. Each of them answers as a `Stream` of its own would, to within 1e-6: an interpreter may
    add up in another order where it computes many at once. Nothing of one gets into another. A call that fails leaves
    all states where they were. Belongs to one thread.
    """

    def __init__(self, batch: Batch, backend_name: str, file: ModelFile) -> None:
        """Wrap `batch`. Use `Model.streams` instead."""
        self._batch = batch
        self._backend_name = backend_name
        self.file = file
        self.symbols_seen = np.zeros(batch.size, np.int64)

    def __len__(self) -> int:
        """Return N."""
        return self._batch.size

    def step(self, symbols: Sequence[str]) -> Float32:
        """Feed each sequence its symbol.

        Args:
            symbols: N symbols of the vocabulary; that of sequence i is the i-th.

        Returns:
            The main output of each, float32 of shape (N, K), yours to keep.

        Raises:
            UnknownSymbolError: One is not in the vocabulary; no state has moved.
            OptionError: There are not N of them; no state has moved.
            BackendError: The interpreter failed; no state has moved.
        """
        return self.step_ids(self.file.manifest.vocabulary.encode_all(symbols)).copy()

    def step_ids(self, ids: Ids) -> Float32:
        """Do what `step` does with ids, int32 of shape (N,); the answers are the memory of the interpreter.

        Raises:
            UnknownSymbolError, OptionError, BackendError: As `step` does.
        """
        size, symbols = self._batch.size, len(self.file.manifest.vocabulary)
        if len(ids) != size:
            raise OptionError(f"{len(ids)} symbols for {size} streams; give one for each. No state has moved.")
        if not 0 <= int(ids.min()) <= int(ids.max()) < symbols:
            wrong = int(ids[(ids < 0) | (ids >= symbols)][0])
            raise UnknownSymbolError(f"Id {wrong} is not one of 0 to {symbols - 1}. No state has moved.")
        compute(self._batch, ids, self._backend_name, self.file)
        self._batch.feed_back()
        self.symbols_seen += 1
        return self._batch.answers

    def reset(self, which: Iterable[int] | None = None) -> None:
        """Let the sequences `which`, by their numbers, begin anew; None: all of them."""
        rows = slice(None) if which is None else list(which)
        for name, value in initial_state(self.file.manifest.state).items():
            self._batch.state()[name][rows] = value
        self.symbols_seen[rows] = 0

    @property
    def state(self) -> dict[str, Float32]:
        """The states: name -> copy, float32 of shape (N, ...). Assign one to go on from there.

        Raises:
            StateMismatchError: On assignment of one that does not fit. No state has moved.
        """
        return {name: array.copy() for name, array in self._batch.state().items()}

    @state.setter
    def state(self, state: Mapping[str, ArrayLike]) -> None:
        memory = self._batch.state()
        problems = [f"{name} is missing" for name in memory if name not in state]
        problems += [f"there is no {name}" for name in state if name not in memory]
        arrays = {}
        for name in memory.keys() & state.keys():
            arrays[name] = np.asarray(state[name], np.float32)
            if arrays[name].shape != memory[name].shape:
                problems.append(f"{name} has the shape {arrays[name].shape}, wanted is {memory[name].shape}")
            elif not np.isfinite(arrays[name]).all():
                problems.append(f"{name} is not finite")
        if problems:
            raise StateMismatchError(f"{self.file.name} cannot go on from there: {'; '.join(problems)}.")
        for name, array in arrays.items():
            memory[name][...] = array
        self.symbols_seen[...] = 0


def compute(batch: Batch, ids: Ids, backend_name: str, file: ModelFile) -> None:
    """Let `batch` compute; what goes wrong is one of our errors, and no state has moved.

    Raises:
        BackendError: The interpreter failed.
        NotFiniteError: An answer or a state is not finite.
    """
    try:
        batch.compute(ids)
    except Exception as error:
        raise BackendError(
            f"{describe_backend(backend_name)} failed on {file.name}: {error}. No state has moved."
        ) from error
    suspected = suspects(file.manifest)
    following = batch.next_state()
    looked_at = [following[t.name] for t in file.manifest.state if t.next in suspected]
    if file.manifest.answer in suspected:
        looked_at.append(batch.answers)
    # The first number of a softmax tells of all of them.
    if not np.isfinite(batch.answers[:, 0]).all() or not all(np.isfinite(array).all() for array in looked_at):
        raise not_finite(file.manifest)
