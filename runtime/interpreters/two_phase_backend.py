"""Steps in two phases: the answer first, and what does not depend on the next symbol when there is time.

The signature `finish` gives the answer and the next state; `prepare` multiplies that state by its matrices for the step
after. Both compute what `step` computes. From 50 units on most of the work is in `prepare`, so the answer comes two to
seven times sooner, and the work is done when nobody waits for it. So is the answer to the symbol that is expected: if
that is the one that comes, nothing is left to compute.
"""

from __future__ import annotations

from ..common.arrays import Float32
from ..format.manifest import Manifest
from ..format.tensor_specs import PREPARED
from .base_backend import PlainBackend
from .in_place import MemoryBackend
from .input_slot import Entry
from .memory import EVERYTHING, copy_all
from .registry import State
from .tflite_signature import HeldSignature

NOTHING, UNSETTLED = -1, -2  # are no ids


class TwoPhaseBackend(MemoryBackend):
    """Steps through the signatures `finish` and `prepare`.

    Attributes:
        standing: What the outputs stand for. `UNSETTLED`: a step that has been answered, whose state has not been taken
            over yet. An id: its answer, although it has not been stepped. `NOTHING`: neither.
    """

    def __init__(self, finish: HeldSignature, entry: Entry, prepare: HeldSignature, manifest: Manifest) -> None:
        """Take the tensors of both signatures. The resident state is the initial one; `finish` reads at `entry`."""
        self._prepare = prepare
        self._products = [(finish.views[n], prepare.views[n]) for n in finish.views if n.startswith(PREPARED)]
        self.standing = NOTHING
        # Each state is an input of one of the two, or of both.
        held = {t.name: [s for s in (finish, prepare) if t.name in s.tensors] for t in manifest.state}
        state = {name: tuple(signature.tensors[name] for signature in found) for name, found in held.items()}
        feedback = [(s.views[t.name], finish.views[t.next]) for t in manifest.state for s in held[t.name]]
        super().__init__(finish.computation, entry, finish.tensors, state, feedback, manifest)

    def step(self, id: int) -> None:
        """See `Backend.step`. The rest of it is done by `settle`, or by whatever is called next."""
        self.peek(id)
        self.standing = UNSETTLED
        self.steps += 1

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self.settle()
        self.standing = NOTHING  # `finish` writes over whatever it is
        super().peek(id)

    absorb, run = PlainBackend.absorb, PlainBackend.run

    def settle(self) -> None:
        """See `Backend.settle`. If this is interrupted, it is done once more by what is called next."""
        if self.standing == UNSETTLED:
            for target, source in self.feedback:
                target[EVERYTHING] = source
            self._make_products()
            self.standing = NOTHING

    def expect(self, id: int) -> None:
        """Compute the answer to `id`, so that a step of it finds it there. The answer before it is gone then."""
        self.peek(id)
        self.standing = id

    def forget_expected(self) -> None:
        """Let no answer be there ahead of its symbol any more."""
        if self.standing != UNSETTLED:
            self.standing = NOTHING

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        self.settle()
        return super().read_state()

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        self.standing = NOTHING
        super().write_state(state)
        self._make_products()

    def _make_products(self) -> None:
        self._prepare.compute()
        copy_all(self._products)
