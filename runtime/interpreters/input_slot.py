"""The input of a graph for the symbol of a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..format.manifest import Manifest
from ..format.tensor_specs import ROW, SYMBOL
from .memory import ALL, as_bytes
from .tflite_signature import SignatureView

_MAX_BYTES = 4 * 2**20  # of a cache; the rows of a vocabulary of words may fill the memory of a small machine


class InputSlot:
    """The buffer of that input, and a cache of the bytes to write for each id: made once, then copied in 45 ns.

    Attributes:
        buffer: The memory of the input, as bytes.
        cache: By id the bytes to write; None where they have not been made yet, or were dropped.
    """

    __slots__ = ("_bytes", "_make", "buffer", "cache")

    def __init__(self, tensor: AnyArray, count: int, make: Callable[[int], AnyArray]) -> None:
        """Start with an empty cache.

        Args:
            tensor: The input.
            count: How many ids there are.
            make: Returns the content for an id, an array like `tensor`.
        """
        self.buffer = as_bytes(tensor)
        self.cache: list[Any] = [None] * count
        self._make = make
        self._bytes = 0

    @classmethod
    def of_ids(cls, tensors: Mapping[str, AnyArray], manifest: Manifest) -> InputSlot:
        """Return the slot of a graph that reads, among `tensors`, the id itself; or features alone, and no id."""
        tensor = tensors.get(SYMBOL, np.zeros(0, np.int32))
        return cls(tensor, len(manifest.vocabulary) or 1, lambda number: np.full(tensor.shape, number, np.int32))

    @classmethod
    def of_rows(cls, tensors: Mapping[str, AnyArray], look_up: SignatureView, manifest: Manifest) -> InputSlot:
        """Return the slot of a graph that reads, among `tensors`, the row of a symbol, which `look_up` computes."""
        by_id = cls.of_ids(look_up.tensors, manifest)

        def row(id: int) -> AnyArray:
            by_id.buffer[ALL] = by_id.content(id)
            look_up.compute()
            return look_up.tensors[ROW].copy()

        return cls(tensors[ROW], len(by_id.cache), row)

    def content(self, id: int) -> Any:
        """Return the bytes for `id`."""
        found = self.cache[id]
        if found is None:
            made = as_bytes(self._make(id))
            self._bytes += len(made)
            if self._bytes > _MAX_BYTES:
                self.cache[ALL] = [None] * len(self.cache)
                self._bytes = len(made)
            found = self.cache[id] = made
        return found
