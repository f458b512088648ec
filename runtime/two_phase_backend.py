"""Steps in two phases: the answer first, and what does not depend on the next symbol when there is time.

The signature `finish` gives the answer and the next state; `prepare` multiplies that state by its matrices for the step
after. Both compute what `step` computes. From 50 units on most of the work is in `prepare`, so the answer comes two to
seven times sooner, and the work is done when nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import AnyArray, Float32, Ids
from .backend import State, absorb_by_steps, run_by_steps
from .feedback import copy_all
from .finite import looking_at, not_finite, suspects
from .held_signature import HeldSignature
from .manifest import Manifest
from .ports import PREPARED, SYMBOL


class TwoPhaseBackend:
    """Steps through the signatures `finish` and `prepare`.

    Attributes:
        held: The signature `finish`.
        symbol: Where the id goes.
        unsettled: A step has been answered and its state has not been taken over yet.
    """

    def __init__(self, finish: HeldSignature, prepare: HeldSignature, manifest: Manifest) -> None:
        """Take the tensors of both signatures. The resident state is the initial one."""
        self.held, self._prepare, self.manifest = finish, prepare, manifest
        self.invoke = looking_at(finish.invoke, [finish.tensors[name] for name in suspects(manifest)], manifest)
        self._answer = finish.tensors[manifest.answer].reshape(-1)
        self._others = [output.name for output in manifest.others]
        self._names = [tensor.name for tensor in manifest.state]
        self._shapes = {tensor.name: (1, *tensor.shape) for tensor in manifest.state}
        self.symbol: Any = finish.views.get(SYMBOL, [0])
        # Each state is an input of one of the two, or of both.
        self._feedback = [
            (held.views[tensor.name], finish.views[tensor.next])
            for tensor in manifest.state
            for held in (finish, prepare)
            if tensor.name in held.tensors
        ]
        self._products = [(finish.views[n], prepare.views[n]) for n in finish.views if n.startswith(PREPARED)]
        self.unsettled = False
        self.write_state({tensor.name: tensor.initial_value() for tensor in manifest.state})

    def step(self, id: int) -> None:
        """See `Backend.step`. The rest of it is done by `settle`, or by whatever is called next."""
        self.peek(id)
        self.unsettled = True

    bare_step = step

    def settle(self) -> None:
        """See `Backend.settle`. If this is interrupted, it is done once more by what is called next."""
        if self.unsettled:
            for target, source in self._feedback:
                target[:] = source
            self._make_products()
            self.unsettled = False

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self.settle()
        self.symbol[0] = id
        self.invoke(self.held.subgraph)
        if self._answer[0] != self._answer[0]:  # not a number
            raise not_finite(self.manifest)

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """See `Backend.write_features`."""
        for name, array in features.items():
            self.held.tensors[name][...] = array

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        absorb_by_steps(self, ids)

    def run(self, ids: Ids) -> Float32:
        """See `Backend.run`."""
        return run_by_steps(self, ids, self._answer.size)

    def answer(self) -> Float32:
        """See `Backend.answer`."""
        return self._answer

    def others(self) -> dict[str, Float32]:
        """See `Backend.others`."""
        return {name: self.held.tensors[name].reshape(-1).copy() for name in self._others}

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        self.settle()
        return {name: self._memory(name)[0].copy() for name in self._names}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        self.unsettled = False
        for name in self._names:
            for memory in self._memory(name):
                memory[...] = np.reshape(state[name], self._shapes[name])
        self._make_products()

    def _make_products(self) -> None:
        self._prepare.invoke(self._prepare.subgraph)
        copy_all(self._products)

    def _memory(self, name: str) -> list[AnyArray]:
        return [held.tensors[name] for held in (self.held, self._prepare) if name in held.tensors]
