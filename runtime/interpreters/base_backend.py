"""What backends do alike, however they compute: all they need for it is where the numbers are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..format.manifest import Manifest
from .registry import State


class PlainBackend(ABC):
    """A backend that steps one symbol after the other and leaves nothing for later.

    Attributes:
        manifest: That of the file.
        steps: See `Backend`.
    """

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

    @abstractmethod
    def step(self, id: int) -> None:
        """See `Backend.step`."""

    @abstractmethod
    def peek(self, id: int) -> None:
        """See `Backend.peek`."""

    @abstractmethod
    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""

    @abstractmethod
    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""

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

    def settle(self) -> None:  # noqa: B027 - most have nothing to settle
        """See `Backend.settle`; nothing is ever left."""

    def answer(self) -> Float32:
        """See `Backend.answer`."""
        return self._answer

    def extra_outputs(self) -> dict[str, Float32]:
        """See `Backend.extra_outputs`."""
        return {name: array.reshape(-1).copy() for name, array in self._extra_outputs.items()}
