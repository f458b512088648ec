"""Steps graphs that stepcell did not make, through the wiring in their manifest.

The state is plain numpy arrays, fed in and read out at every step: about twice the time of a file of stepcell's own,
whose state stays in the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .arrays import AnyArray, Float32
from .backend import State
from .finite import require_finite
from .manifest import Manifest
from .plain_backend import PlainBackend
from .wiring import Wiring

# Name of an input -> array of its shape, to name of an output -> array; the arrays that come out are the caller's.
Runner = Callable[[Mapping[str, AnyArray]], Mapping[str, AnyArray]]


class WiredBackend(PlainBackend):
    """A graph behind a function, with its state beside it."""

    def __init__(self, run: Runner, manifest: Manifest) -> None:
        """Feed `run` by the wiring of `manifest`. The resident state is the initial one."""
        assert manifest.wiring is not None, "files without wiring have backends of their own"
        self._wiring: Wiring = manifest.wiring
        # A graph with such a wiring reads no features, and nothing else of what it answers is wired.
        super().__init__(manifest, np.zeros(self._wiring.output.size, np.float32), {}, {})
        self._run = run
        self._shapes = {tensor.name: (1, *tensor.shape) for tensor in manifest.state}
        self._symbol = np.zeros(self._wiring.symbol.shape, self._wiring.symbol.dtype)
        self._one_hot = self._wiring.symbol.dtype == "float32"
        self._state: dict[str, AnyArray] = {}  # by the names in the manifest, in the shapes of the graph
        self._next: dict[str, AnyArray] = {}
        self.write_state({tensor.name: tensor.initial_value() for tensor in manifest.state})

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._state = self._next
        self.steps += 1

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        if self._one_hot:
            self._symbol[...] = 0
            self._symbol.reshape(-1)[id] = 1
        else:
            self._symbol[...] = id
        wiring = self._wiring
        inputs = {source.name: self._state[name] for name, (source, _) in wiring.state.items()}
        outputs = self._run({wiring.symbol.name: self._symbol, **inputs})
        following = {
            name: np.asarray(outputs[target.name], np.float32).reshape(source.shape)
            for name, (source, target) in wiring.state.items()
        }
        answer: Float32 = np.asarray(outputs[wiring.output.name], np.float32).reshape(wiring.output.size)
        self._answer[...] = softmax(answer) if wiring.logits else answer
        self._next = following
        require_finite([self._answer, *following.values()], self.manifest)

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.reshape(self._shapes[name]).copy() for name, array in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        ports = self._wiring.state
        self._state = {name: np.array(state[name], np.float32).reshape(ports[name][0].shape) for name in ports}


def softmax(logits: Float32) -> Float32:
    """Return the softmax of one answer, shape (K,)."""
    with np.errstate(invalid="ignore"):  # what is not finite is refused by name
        powers = np.exp(logits - logits.max())
        answer: Float32 = powers / powers.sum()
    return answer
