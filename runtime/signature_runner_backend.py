"""The public API of the TFLite interpreters alone: for versions whose inner entries are others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import AnyArray, Float32, Ids
from .backend import State, absorb_by_steps, run_by_steps
from .finite import require_finite
from .manifest import Manifest
from .ports import ABSORB, STEP, SYMBOL


class SignatureRunnerBackend:
    """Steps through the public signature runners; the resident state is plain numpy arrays."""

    def __init__(self, interpreter: Any, manifest: Manifest, *, absorbs: bool) -> None:
        """Make the two runners; arguments as for `HeldMemoryBackend`. The resident state is the initial one."""
        self._manifest = manifest
        self._step = interpreter.get_signature_runner(STEP)
        self._absorb = interpreter.get_signature_runner(ABSORB) if absorbs else None
        self._size = len(manifest.output_vocabulary)
        self._symbol = SYMBOL if len(manifest.vocabulary) else None
        self._features: dict[str, AnyArray] = {}
        self._answer, self._others = manifest.answer, [output.name for output in manifest.others]
        self._names = [(tensor.name, tensor.next) for tensor in manifest.state]
        self._state = {tensor.name: tensor.initial_value() for tensor in manifest.state}
        self._outputs: dict[str, Float32] = {}

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._feed_back()

    bare_step = step

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        symbol = {} if self._symbol is None else {self._symbol: np.array([id], np.int32)}
        self._outputs = self._step(**symbol, **self._features, **self._state)
        require_finite(self._outputs.values(), self._manifest)

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """See `Backend.write_features`."""
        self._features = {name: array[np.newaxis].copy() for name, array in features.items()}

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        if self._absorb is None:
            absorb_by_steps(self, ids)
            return
        self._outputs = self._absorb(symbols=ids, **self._state)
        require_finite(self._outputs.values(), self._manifest)
        self._feed_back()

    def run(self, ids: Ids) -> Float32:
        """See `Backend.run`."""
        return run_by_steps(self, ids, self._size)

    def settle(self) -> None:
        """See `Backend.settle`; nothing is ever left."""

    def answer(self) -> Float32:
        """See `Backend.answer`."""
        return self._outputs[self._answer].reshape(-1)

    def others(self) -> dict[str, Float32]:
        """See `Backend.others`."""
        return {name: self._outputs[name].reshape(-1).copy() for name in self._others}

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.copy() for name, array in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        self._state = {name: np.array(state[name], np.float32) for name, _ in self._names}

    def _feed_back(self) -> None:
        self._state = {name: self._outputs[next] for name, next in self._names}
