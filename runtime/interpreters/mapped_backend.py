"""Graphs that stepcell did not make, stepped through the mapping in their manifest.

The state is plain numpy arrays, fed in and read out at every step: about twice the time of a file of stepcell's own,
whose state stays in the interpreter.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..common.arrays import AnyArray, Float32
from ..common.errors import BackendError
from ..format.io_mapping import LARGEST_INTEGER, WIDE_TYPES, TensorSpec
from ..format.manifest import Manifest
from .base import ArrayBackend, initial_state
from .finite import require_finite
from .graph_runners import Runner


class MappedBackend(ArrayBackend):
    """A graph behind a function, with its state beside it.

    Integers of a state are held as float32, which has them all as they are up to 2 to the power of 24.
    """

    def __init__(self, run: Runner, manifest: Manifest, *, shared: object = None) -> None:
        """Feed `run` by the mapping of `manifest`. The resident state is the initial one."""
        assert manifest.io_mapping is not None, "files without a mapping have backends of their own"
        self._mapping = manifest.io_mapping
        outputs = {output.name: np.zeros(output.size, np.float32) for output in manifest.extra_outputs}
        super().__init__(manifest, np.zeros(self._mapping.output.size, np.float32), {}, outputs)
        self.shared = shared
        self._run = run
        self._symbol = self._mapping.symbol
        # What is fed at every step beside the state; `peek` and `write_features` write into these arrays.
        self._fed = {port.name: np.zeros(port.shape, port.dtype) for port in self._mapping.features.values()}
        self._fed |= {each.tensor.name: constant_of(each.tensor, each.value) for each in self._mapping.constants}
        if self._symbol is not None:
            self._fed[self._symbol.name] = np.zeros(self._symbol.shape, self._symbol.dtype)
        self.write_state(initial_state(manifest.state))

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """See `Backend.write_features`; numbers for a quantised input are quantised here."""
        for name, array in features.items():
            port = self._mapping.features[name]
            self._fed[port.name][...] = to_tensor(array, port)

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        if self._symbol is not None:
            fed = self._fed[self._symbol.name]
            if self._symbol.dtype == "float32":
                fed[...] = 0
                fed.reshape(-1)[id] = 1
            else:
                fed[...] = id
        mapping = self._mapping
        states = {
            source.name: self._state[name].reshape(source.shape).astype(source.dtype, copy=False)
            for name, (source, _) in mapping.state.items()
        }
        outputs = self._run({**self._fed, **states})
        following = {
            name: self._next_of(outputs[target.name], name, source, target).reshape(self._state[name].shape)
            for name, (source, target) in mapping.state.items()
        }
        answer = from_tensor(outputs[mapping.output.name], mapping.output).reshape(-1)
        self._answer[...] = softmax(answer) if mapping.logits else answer
        for name, port in mapping.outputs.items():
            self._extra_outputs[name][...] = from_tensor(outputs[port.name], port).reshape(-1)
        self._next = following
        require_finite([self._answer, *self._extra_outputs.values(), *following.values()], self.manifest)

    def _next_of(self, array: AnyArray, name: str, source: TensorSpec, port: TensorSpec) -> Float32:
        """Return the next value of a state as its input has it: with the scale of the input, if that is another one."""
        if (source.scale, source.zero_point) != (port.scale, port.zero_point):
            array = to_tensor(from_tensor(array, port).reshape(source.shape), source)
        if port.dtype in WIDE_TYPES and np.abs(array).max(initial=0) > LARGEST_INTEGER:
            raise BackendError(
                f"The state {name} of {self.manifest.name} has come to an integer beyond {LARGEST_INTEGER:,}, which "
                "is not held exactly. The stream has not moved: reset it."
            )
        return np.asarray(array, np.float32)


def to_tensor(numbers: AnyArray, port: TensorSpec) -> AnyArray:
    """Return numbers as the input `port` takes them.

    For an integer input they are divided by its scale, rounded as the operator QUANTIZE of TFLite rounds (to the
    nearest integer, halves away from zero), moved by its zero point, and limited to its type.
    """
    array: AnyArray = np.asarray(numbers).reshape(port.shape)
    if port.dtype == "float32":
        return array
    if port.dtype == "bool":
        return array.astype(np.bool_)
    scaled = array.astype(np.float32) / np.float32(port.scale or 1.0)
    whole = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)) + port.zero_point
    limits = np.iinfo(port.dtype)
    fitting: AnyArray = whole.astype(np.float64).clip(limits.min, limits.max).astype(port.dtype)
    return fitting


def from_tensor(array: AnyArray, port: TensorSpec) -> Float32:
    """Return an output as numbers: those of a quantised one with its scale."""
    numbers: Float32 = np.asarray(array).astype(np.float32)
    return (numbers - np.float32(port.zero_point)) * np.float32(port.scale) if port.scale else numbers


def constant_of(port: TensorSpec, value: float | tuple[float, ...]) -> AnyArray:
    """Return the array of a constant input: `value` in C order, or everywhere; it is not quantised."""
    array: AnyArray = np.empty(port.shape, port.dtype)
    array[...] = np.array(value).reshape(port.shape if isinstance(value, tuple) else ())
    return array


def softmax(logits: Float32) -> Float32:
    """Return the softmax of one answer, shape (K,)."""
    with np.errstate(invalid="ignore"):  # `require_finite` raises after it
        powers = np.exp(logits - logits.max())
        answer: Float32 = powers / powers.sum()
    return answer
