"""Steps in two phases: the answer first; the work that does not depend on the next symbol when there is time.

The signature `finish` gives the answer and the next state; `prepare` multiplies that state by its matrices for the step
after. Both compute what `step` computes. From 50 units on most of the work is in `prepare`, so the answer comes two to
seven times sooner, and the work is done between two symbols. So is the answer to the expected symbol: if it comes,
nothing is left to compute.
"""

from __future__ import annotations

from typing import Any

from ..common.arrays import Float32
from ..format.manifest import Manifest
from ..format.tensor_specs import PREPARED
from .base import BackendBase, State
from .in_place import InPlaceBackend, InputSlot
from .memory import ALL, copy_all
from .tflite_signature import SignatureView

IDLE, PENDING = -1, -2  # are no ids


class TwoPhaseBackend(InPlaceBackend):
    """Steps through the signatures `finish` and `prepare`.

    Attributes:
        pending: `PENDING`: the outputs are those of a step whose next state has not been taken over yet. An id: they
            are its answer, although it has not been stepped. `IDLE`: neither.
    """

    def __init__(self, finish: SignatureView, slot: InputSlot, prepare: SignatureView, manifest: Manifest) -> None:
        """Take the tensors of both signatures. The resident state is the initial one; `finish` reads at `slot`."""
        self._prepare = prepare
        self._products = [(finish.views[n], prepare.views[n]) for n in finish.views if n.startswith(PREPARED)]
        self.pending = IDLE
        # Each state is an input of one of the two, or of both.
        held = {t.name: [s for s in (finish, prepare) if t.name in s.tensors] for t in manifest.state}
        state = {name: tuple(signature.tensors[name] for signature in found) for name, found in held.items()}
        moving = [tensor for tensor in manifest.state if not tensor.given]
        feedback = [(s.views[t.name], finish.views[t.next]) for t in moving for s in held[t.name]]
        super().__init__(finish.call, slot, finish.tensors, state, feedback, manifest)

    @property
    def bound(self) -> tuple[Any, ...] | None:
        """What a step is made of; see `LowLatencyStream.step`.

        (This, buffer, cache, function, arguments, sign, answer).
        """
        if self.manifest.features:
            return None
        return self, self.slot.buffer, self.slot.cache, *self.call, self.sign, self._answer

    def step(self, id: int) -> None:
        """See `Backend.step`. `settle`, or the next call, completes it."""
        self.peek(id)
        self.pending = PENDING
        self.steps += 1

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self.settle()
        self.pending = IDLE  # `finish` overwrites the outputs
        super().peek(id)

    absorb, run = BackendBase.absorb, BackendBase.run

    def settle(self) -> None:
        """See `Backend.settle`. After an interruption the next call does it again."""
        if self.pending == PENDING:
            for target, source in self.feedback:
                target[ALL] = source
            self._make_products()
            self.pending = IDLE

    def expect(self, id: int) -> None:
        """Compute the answer to `id` ahead of its step; it overwrites the last answer."""
        self.peek(id)
        self.pending = id

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        self.settle()
        return super().read_state()

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        self.pending = IDLE
        super().write_state(state)
        self._make_products()

    def _make_products(self) -> None:
        self._prepare.compute()
        copy_all(self._products)
