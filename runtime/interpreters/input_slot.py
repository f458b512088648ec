"""The input slot of a graph: the input that stands for the symbol of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..format.manifest import Manifest
from ..format.tensor_specs import ROW, SYMBOL
from .memory import ALL, as_bytes
from .tflite_signature import SignatureView

_MOST_BYTES = 4 * 2**20  # of contents; a vocabulary of words may have tables that fill the memory of a small machine


class InputSlot:
    """Where a graph is told its symbol, and what is written there for each: made once, copied in 45 ns from then on.

    Attributes:
        place: The memory of the input, as bytes.
        contents: By id what goes there, as bytes; None where it has not been made yet, or has had to go.
    """

    __slots__ = ("_kept", "_make", "buffer", "cache")

    def __init__(self, tensor: AnyArray, count: int, make: Callable[[int], AnyArray]) -> None:
        """Begin with nothing made.

        Args:
            tensor: The input.
            count: How many ids there are.
            make: Returns what goes there for an id, an array like `tensor`.
        """
        self.buffer = as_bytes(tensor)
        self.cache: list[Any] = [None] * count
        self._make = make
        self._kept = 0

    @classmethod
    def of_ids(cls, tensors: Mapping[str, AnyArray], manifest: Manifest) -> InputSlot:
        """Return the input slot of a graph that reads, among `tensors`, the id itself; or features alone, and no id."""
        tensor = tensors.get(SYMBOL, np.zeros(0, np.int32))
        return cls(tensor, len(manifest.vocabulary) or 1, lambda number: np.full(tensor.shape, number, np.int32))

    @classmethod
    def of_rows(cls, tensors: Mapping[str, AnyArray], look_up: SignatureView, manifest: Manifest) -> InputSlot:
        """Return the input slot of a graph that reads, among `tensors`, the row of a symbol, which `look_up` finds."""
        by_id = cls.of_ids(look_up.tensors, manifest)

        def row(id: int) -> AnyArray:
            by_id.buffer[ALL] = by_id.content(id)
            look_up.compute()
            return look_up.tensors[ROW].copy()

        return cls(tensors[ROW], len(by_id.cache), row)

    def content(self, id: int) -> Any:
        """Return what goes to `place` for `id`."""
        found = self.cache[id]
        if found is None:
            made = as_bytes(self._make(id))
            self._kept += len(made)
            if self._kept > _MOST_BYTES:
                self.cache[ALL] = [None] * len(self.cache)
                self._kept = len(made)
            found = self.cache[id] = made
        return found
