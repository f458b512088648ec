"""The protocol of a backend: one loaded interpreter with one state; and the parts that backends have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..format.manifest import Manifest, StateTensor

State = Mapping[str, Float32]


def initial_state(state: tuple[StateTensor, ...]) -> dict[str, Float32]:
    """Return the state after a reset, each tensor float32 of shape (1, ...)."""
    return {tensor.name: tensor.initial_value() for tensor in state}


class Backend(Protocol):
    """One loaded interpreter with one state resident in its memory.

    A step moves the state and counts, or neither, even on Ctrl-C. `absorb` and `run` may leave the state anywhere when
    they fail: the caller puts it back. Ids and features are not checked here: callers pass valid ones. A model that
    reads no symbol gets the id 0.

    Attributes:
        steps: How many symbols have moved the resident state. `step` counts; the caller assigns it otherwise.
        shared: What `open_backend` takes to open more backends for the same file; None: they share nothing.
    """

    steps: int
    shared: Any

    @abstractmethod
    def step(self, id: int) -> None:
        """Compute the answer to `id` and let the next state become the resident state."""

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """Write `features`, all of them by name, for the steps from now on."""

    @abstractmethod
    def peek(self, id: int) -> None:
        """Compute the answer to `id`; the resident state stays."""

    def absorb(self, ids: Ids) -> None:
        """Step all of `ids`, shape (T,) with T >= 1; the answer is the one to the last."""

    def run(self, ids: Ids) -> Float32:
        """Step all of `ids`, shape (T,), and return the answers to all of them, float32 of shape (T, K)."""

    def answer(self) -> Float32:
        """Return the last answer, float32 of shape (K,), where the interpreter has it: the next call changes it."""

    def extra_outputs(self) -> dict[str, Float32]:
        """Return copies of the last answers of the other outputs, float32 of shape (K,) each."""

    @abstractmethod
    def read_state(self) -> dict[str, Float32]:
        """Return a copy of the resident state, each tensor float32 of shape (1, ...)."""

    @abstractmethod
    def write_state(self, state: State) -> None:
        """Replace the resident state by a copy of `state`, whose names and shapes are those of the model."""


class BackendBase(Backend):
    """A backend that steps one symbol after the other.

    Attributes:
        manifest: That of the file.
        steps, shared: See `Backend`.
    """

    shared: Any = None

    def __init__(
        self,
        manifest: Manifest,
        answer: Float32,
        features: Mapping[str, AnyArray],
        extra_outputs: Mapping[str, AnyArray],
    ) -> None:
        """Name the memory, which stays where it is as long as this backend lives.

        Args:
            manifest: That of the file.
            answer: Where the answer is after a step, float32 of shape (K,).
            features: Name -> where to write what is read beside the symbol.
            extra_outputs: Name -> where the other outputs are after a step.
        """
        self.manifest = manifest
        self.steps = 0
        self._answer, self._features, self._extra_outputs = answer, features, extra_outputs

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """See `Backend.write_features`."""
        for name, array in features.items():
            self._features[name][...] = array

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        for id in ids.tolist():
            self.step(id)

    def run(self, ids: Ids) -> Float32:
        """See `Backend.run`."""
        size = self._answer.size
        answers = np.empty((len(ids), size), np.float32)
        rows, answer, step = answers.reshape(-1).data, self._answer.data, self.step
        for end, id in zip(range(size, answers.size + size, size), ids.tolist(), strict=True):
            step(id)
            rows[end - size : end] = answer  # no array is made per symbol: a quarter faster
        return answers

    def answer(self) -> Float32:
        """See `Backend.answer`."""
        return self._answer

    def extra_outputs(self) -> dict[str, Float32]:
        """See `Backend.extra_outputs`."""
        return {name: array.reshape(-1).copy() for name, array in self._extra_outputs.items()}


class ArrayBackend(BackendBase):
    """A backend whose state is plain arrays: a step passes them to a function and keeps the next ones it returns.

    `peek` assigns the next state to `_next`.
    """

    _state: State
    _next: State

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._state = self._next
        self.steps += 1

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.copy() for name, array in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        self._state = {tensor.name: np.array(state[tensor.name], np.float32) for tensor in self.manifest.state}
