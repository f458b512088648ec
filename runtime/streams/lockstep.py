"""Many streams in lockstep: a symbol for each of them at every step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..common.arrays import AnyArray, Float32, Ids
from ..common.errors import OptionError, StateMismatchError
from ..format.model_file import ModelFile
from ..format.tensor_specs import EVERY_STEP, Features, checked_features
from ..interpreters.batch import Batch
from ..interpreters.forks import LostInterpreter, Unpicklable, leave, tell_of_forks
from .input_encoder import InputEncoder, require_ids
from .snapshot import checked_count


class Streams(Unpicklable):
    """N sequences that are stepped together, by one call of the interpreter.

    Made by `Model.streams(n)`. Each of them answers as a `Stream` of its own would, to within 1e-6: an interpreter may
    add up in another order where it computes many at once. Nothing of one gets into another. A call that fails leaves
    all states where they were. Belongs to one thread.
    """

    pickle_remedy = "Send its state, load the model in each process, and assign the state there."

    def __init__(self, batch: Batch, file: ModelFile, start: Mapping[str, Float32] | None = None) -> None:
        """Wrap `batch`, for N streams that start from `start`, (N, ...) each. Use `Model.streams` instead."""
        self._batch = batch
        for name, array in (start or {}).items():
            batch.state()[name][...] = array
        self._encoder = InputEncoder(file, "The batch")
        self._has_symbols = len(file.manifest.vocabulary) > 0
        self._answers = None if file.manifest.answers == EVERY_STEP else file.manifest.answers
        self.file = file
        self.symbols_seen = np.zeros(batch.size, np.int64)
        tell_of_forks(self)

    def after_fork(self) -> None:
        """See `Holder.after_fork`."""
        leave(self._batch)
        remedy = "Make one with model.streams(n) in this process, and assign it the state that was read before."
        self._batch = LostInterpreter(f"A batch of {self.file.name}", remedy)  # type: ignore[assignment]

    def __len__(self) -> int:
        """Return N."""
        return self._batch.size

    def step(self, symbols: Sequence[str] | None = None, features: Features | None = None) -> Float32:
        """Feed each sequence its symbol.

        Args:
            symbols: N symbols of the vocabulary; that of sequence i is the i-th. None for a model that reads features
                alone.
            features: What the model reads beside the symbol, by name: arrays with N as their first dimension, then the
                shape of one step. Of a single feature the array alone will do.

        Returns:
            The main output of each, float32 of shape (N, K), yours to keep; NaN in the rows of sequences to which the
            model has no answer at this step. `outputs` has the others.

        Raises:
            UnknownSymbolError: One is not in the vocabulary; no state has moved.
            FeatureMismatchError: `features` are not those that the model reads; no state has moved.
            OptionError: There are not N symbols; no state has moved.
            BackendError: The interpreter failed; no state has moved.
        """
        if symbols is None and not self._has_symbols:
            return self.step_ids(np.zeros(len(self), np.int32), features).copy()
        return self.step_ids(self._encoder.ids_of(() if symbols is None else symbols), features).copy()

    def step_ids(self, ids: Ids, features: Features | None = None) -> Float32:
        """Step by ids, without a copy of the answers.

        Args:
            ids: Ids of the vocabulary, int32 of shape (N,).
            features: As for `step`.

        Returns:
            The main output of each, float32 of shape (N, K), in memory that the next call changes.

        Raises:
            UnknownSymbolError, FeatureMismatchError, OptionError, BackendError: As `step` does.
        """
        ids = np.asarray(ids)
        size, symbols = self._batch.size, len(self.file.manifest.vocabulary) or 1
        if len(ids) != size:
            raise OptionError(f"{len(ids)} symbols for {size} streams; give one for each. No state has moved.")
        require_ids(ids, symbols, "No state has moved.")
        if features is None and not self.file.manifest.features:
            self._batch.compute(ids)
        else:
            checked = checked_features(features, self.file.manifest.features, self.file.name, (size,))
            self._batch.compute(ids, checked)
        self._batch.feed_back()
        self.symbols_seen += 1
        if self._answers is not None:
            silent = ~self._answers.which_answer(self.symbols_seen)
            for memory in (self._batch.answers, *self._batch.extra_outputs.values()):
                memory[silent] = np.nan
        return self._batch.answers

    @property
    def outputs(self) -> dict[str, Float32]:
        """What the outputs beside the main one answered last: name -> copy, float32 of shape (N, size)."""
        return {name: array.copy() for name, array in self._batch.extra_outputs.items()}

    def reset(self, which: Iterable[int] | None = None) -> None:
        """Let sequences begin anew, in the initial state of the model. Static inputs stay.

        Args:
            which: Their numbers, from 0; None: all of them.

        Raises:
            OptionError: There is no stream of such a number. No state has moved.
        """
        rows = list(range(len(self)) if which is None else which)
        if unknown := [row for row in rows if row not in range(len(self))]:
            raise OptionError(f"There are the streams 0 to {len(self) - 1}, and not {unknown}. No state has moved.")
        state = self._batch.state()
        for tensor in self.file.manifest.state:
            if not tensor.given:
                state[tensor.name][rows] = tensor.initial_value()
        self.symbols_seen[rows] = 0

    @property
    def state(self) -> dict[str, Float32]:
        """The states: name -> copy, float32 of shape (N, ...). Assign one to go on from there.

        Raises:
            StateMismatchError: On assignment, as `set_state` does. No state has moved.
        """
        return {name: array.copy() for name, array in self._batch.state().items()}

    @state.setter
    def state(self, state: Mapping[str, ArrayLike]) -> None:
        self.set_state(state)

    def set_state(self, state: Mapping[str, ArrayLike], *, symbols_seen: ArrayLike | None = None) -> None:
        """Go on from states.

        Args:
            state: Name -> numbers of shape (N, ...).
            symbols_seen: How many symbols led each there from a reset, (N,), or one number for all. Models that do not
                answer at each step must be told; see `Stream.set_state`.

        Raises:
            StateMismatchError: Names, shapes or counts are not those of the model, or a number is not finite. No state
                has moved.
        """
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
        counts = self._counts(symbols_seen)
        for name, array in arrays.items():
            memory[name][...] = array
        self.symbols_seen[...] = counts

    def _counts(self, symbols_seen: ArrayLike | None) -> AnyArray:
        if symbols_seen is None:
            return np.array(checked_count(None, self.file))
        try:
            counts = np.broadcast_to(np.asarray(symbols_seen), (len(self),))
        except ValueError:
            raise StateMismatchError(
                f"symbols_seen has the shape {np.shape(symbols_seen)}, and counts the symbols of {len(self)} streams."
            ) from None
        for count in counts.tolist():
            checked_count(count, self.file)
        return counts
