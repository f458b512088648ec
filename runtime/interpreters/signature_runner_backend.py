"""Steps through the public API of the TFLite interpreters: for versions whose private methods differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..format.manifest import Manifest
from ..format.tensor_specs import ABSORB, STEP, SYMBOL
from .base import BackendBase, State, initial_state
from .finite import require_finite


class SignatureRunnerBackend(BackendBase):
    """Steps through the public signature runners; the resident state is plain numpy arrays."""

    def __init__(self, interpreter: Any, manifest: Manifest, *, absorbs: bool) -> None:
        """Make the two runners; `absorbs`: `absorb` is worth using. The resident state is the initial one."""
        super().__init__(
            manifest,
            np.zeros(len(manifest.output_vocabulary), np.float32),
            {feature.name: np.zeros((1, *feature.shape), feature.dtype) for feature in manifest.features},
            {output.name: np.zeros(output.size, np.float32) for output in manifest.extra_outputs},
        )
        self._step = interpreter.get_signature_runner(STEP)
        self._absorb = interpreter.get_signature_runner(ABSORB) if absorbs else None
        self._has_symbol = len(manifest.vocabulary) > 0
        self._names = [(tensor.name, tensor.next) for tensor in manifest.state]
        self._kept = [(manifest.answer, self._answer), *self._extra_outputs.items()]
        self._state = initial_state(manifest.state)
        self._next = self._state

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._state = self._next
        self.steps += 1

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        symbol = {SYMBOL: np.array([id], np.int32)} if self._has_symbol else {}
        self._keep(self._step(**symbol, **self._features, **self._state))

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        if self._absorb is None:
            super().absorb(ids)
            return
        self._keep(self._absorb(symbols=ids, **self._state))
        self._state = self._next

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.copy() for name, array in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        self._state = {name: np.array(state[name], np.float32) for name in self._state}

    def _keep(self, outputs: Mapping[str, AnyArray]) -> None:
        """Keep the answers of a runner, and the next state."""
        require_finite(outputs.values(), self.manifest)
        for name, array in self._kept:
            array[...] = outputs[name][0]
        self._next = {name: outputs[next] for name, next in self._names}
