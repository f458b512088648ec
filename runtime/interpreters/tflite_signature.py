"""Views of the tensors of a TFLite signature, in the memory of the interpreter.

This goes around the public API, through the C++ wrapper inside the interpreter object: a step then costs a quarter of a
microsecond more than Invoke alone, against 3 for set_tensor/invoke/get_tensor.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from .memory import BoundCall, as_bytes

_NEEDED = ("Invoke", "tensor", "AllocateTensors", "GetSubgraphIndexFromSignature")
_ALIGNMENT = 64  # bytes; the arena of TFLite puts every tensor on a multiple of it (kDefaultTensorAlignment)


def supports_views(interpreter: Any) -> bool:
    """Tell whether this version of the interpreter has the methods that views need."""
    wrapper = getattr(interpreter, "_interpreter", None)
    return hasattr(interpreter, "_get_full_signature_list") and all(hasattr(wrapper, entry) for entry in _NEEDED)


def open_view(interpreter: Any, signature: str) -> SignatureView | None:
    """Return a view of `signature`; None: only the public API steps it.

    That is so in a version without the methods that views need, and where an operator (TOPK_V2) decides the size of an
    output in use, so that there is no memory before the first step.
    """
    if not supports_views(interpreter):
        return None
    try:
        return SignatureView(interpreter, signature)
    except ValueError:
        return None


class SignatureView:
    """One signature of an allocated interpreter.

    Attributes:
        invoke: The Invoke of the wrapper; call it with `subgraph`.
        subgraph: Where the signature is.
        call: Both together: computes the outputs from the inputs.
        tensors: Name -> array over the memory of the interpreter, for all inputs and outputs.
        views: The same as bytes.
    """

    def __init__(self, interpreter: Any, signature: str) -> None:
        """View `signature`. The contents of its tensors are not defined: write every input."""
        wrapper = interpreter._interpreter
        self._interpreter = interpreter
        self.invoke = wrapper.Invoke
        self.subgraph: int = wrapper.GetSubgraphIndexFromSignature(signature)
        # The function itself with a tuple that is there already: 45 ns less than the method of the object.
        of_class = type(wrapper).Invoke
        self.call: BoundCall = getattr(of_class, "__func__", of_class), (wrapper, self.subgraph)
        wrapper.AllocateTensors(self.subgraph)
        full = interpreter._get_full_signature_list()[signature]
        self._indices = {**full["inputs"], **full["outputs"]}
        self.tensors: dict[str, AnyArray] = {name: self._tensor(index) for name, index in self._indices.items()}
        self.views = {name: as_bytes(array) for name, array in self.tensors.items()}
        self._addresses = self._current_addresses()

    def feedback(self, names: Sequence[tuple[str, str]]) -> list[tuple[memoryview, memoryview]]:
        """Return pairs (target, source) of bytes that copy outputs to inputs; `names` are pairs (input, output).

        Where all inputs lie one behind the other in memory, and the outputs in the same way, it is one pair: only
        padding lies between them.
        """
        merged = merge_adjacent([(self.tensors[target], self.tensors[source]) for target, source in names])
        return [merged] if merged else [(self.views[target], self.views[source]) for target, source in names]

    def compute(self) -> None:
        """Compute the outputs from the inputs."""
        function, arguments = self.call
        function(*arguments)

    def relocated(self) -> bool:
        """Tell whether the interpreter has moved a tensor, so that the views are no longer valid."""
        return self._current_addresses() != self._addresses

    def _tensor(self, index: int) -> AnyArray:
        array: AnyArray = self._interpreter._interpreter.tensor(self._interpreter, index, self.subgraph)
        return array

    def _current_addresses(self) -> list[int]:
        return [_address(self._tensor(index)) for index in self._indices.values()]


def merge_adjacent(pairs: list[tuple[AnyArray, AnyArray]]) -> tuple[memoryview, memoryview] | None:
    """Return (target, source) that cover all `pairs`, if they lie alike and without anything between; else None."""
    ordered = sorted((_address(target), _address(source), target.nbytes) for target, source in pairs)
    for (target, source, size), (next_target, next_source, _) in pairwise(ordered):
        step = -(-(target + size) // _ALIGNMENT) * _ALIGNMENT - target
        if (next_target, next_source) != (target + step, source + step):
            return None
    target, source, _ = ordered[0]
    length = ordered[-1][0] + ordered[-1][2] - target
    if len(pairs) < 2 or abs(target - source) < length:
        return None
    return _memory(target, length), _memory(source, length)


def _address(array: AnyArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _memory(address: int, length: int) -> memoryview:
    memory: AnyArray = np.ctypeslib.as_array((ctypes.c_uint8 * length).from_address(address))
    return memory.data
