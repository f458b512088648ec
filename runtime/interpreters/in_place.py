"""Backends whose state is in the memory that a step reads: the next state is copied over it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..common.arrays import AnyArray, Float32
from ..format.manifest import Manifest
from ..format.tensor_specs import SYMBOL
from .base import BackendBase, State, initial_state
from .finite import not_finite, outputs_to_check, with_finite_check
from .memory import ALL, BoundCall


class InPlaceBackend(BackendBase):
    """Computes in memory that stays where it is.

    Attributes:
        call: Computes the outputs from the inputs, and refuses what is not finite, but for the first number of
            the answer, which tells of all numbers of a softmax: a step looks at that.
        feedback: Pairs (target, source) that let the next state become the state.
    """

    def __init__(
        self,
        call: BoundCall,
        tensors: Mapping[str, AnyArray],
        feedback: list[tuple[memoryview, memoryview]],
        manifest: Manifest,
    ) -> None:
        """Take the memory. The resident state is the initial one.

        Args:
            call: Computes the outputs from the inputs.
            tensors: Name -> the memory of all inputs and outputs.
            feedback: See the attribute.
            manifest: The manifest of the file.
        """
        super().__init__(
            manifest,
            tensors[manifest.answer].reshape(-1),
            {feature.name: tensors[feature.name] for feature in manifest.features},
            {output.name: tensors[output.name] for output in manifest.extra_outputs},
        )
        checked = [tensors[name] for name in outputs_to_check(manifest)]
        self.call = with_finite_check(call, checked, manifest)
        self.feedback = feedback
        self._is_moving = False
        self._symbol = tensors.get(SYMBOL, np.zeros(1, np.int32)).reshape(-1).data  # unread without symbols
        self._first = self._answer[:1].data
        self._state = {tensor.name: tensors[tensor.name] for tensor in manifest.state}
        self.write_state(initial_state(manifest.state))

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._is_moving = True
        try:
            for target, source in self.feedback:
                target[ALL] = source
            self.steps += 1  # no call from here to the next line, in which a signal handler could raise
            self._is_moving = False
        except BaseException:  # Ctrl-C between two pieces
            self._complete()
            raise

    def _complete(self) -> None:
        """Complete a step that was interrupted while it moved the state, or was in another thread during a fork."""
        if self._is_moving:
            for target, source in self.feedback:
                target[ALL] = source
            self.steps += 1
            self._is_moving = False

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self._symbol[0] = id
        function, arguments = self.call
        function(*arguments)
        first = self._first[0]
        if first != first:  # not a number
            raise not_finite(self.manifest)

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        self._complete()
        return {name: array.copy() for name, array in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        for name, array in self._state.items():
            array[...] = state[name]
