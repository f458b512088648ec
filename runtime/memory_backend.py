"""Backends whose state is in the memory that a step reads: the next state is copied over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .arrays import AnyArray, Float32
from .backend import State
from .feedback import copy_all
from .finite import looking_at, not_finite, suspects
from .manifest import Manifest
from .plain_backend import PlainBackend
from .ports import SYMBOL


class MemoryBackend(PlainBackend):
    """Computes in memory that stays where it is.

    Attributes:
        symbol: Where the id goes.
        compute: Computes the outputs from the inputs, and refuses what is not finite, but for the first number of the
            answer: whoever calls it looks at that.
        feedback: Pairs (target, source) that let the next state become the state; `copy_all` copies them.
    """

    def __init__(
        self,
        compute: Callable[[], object],
        tensors: Mapping[str, AnyArray],
        state: Mapping[str, tuple[AnyArray, ...]],
        feedback: list[tuple[memoryview, memoryview]],
        manifest: Manifest,
    ) -> None:
        """Take the memory. The resident state is the initial one.

        Args:
            compute: Computes the outputs from the inputs.
            tensors: Name -> the memory of the symbol, the features and all outputs.
            state: Name -> wherever this tensor of the state is read from.
            feedback: See the attribute.
            manifest: The manifest of the file.
        """
        super().__init__(
            manifest,
            tensors[manifest.answer].reshape(-1),
            {feature.name: tensors[feature.name] for feature in manifest.features},
            {output.name: tensors[output.name] for output in manifest.others},
        )
        self.compute = looking_at(compute, [tensors[name] for name in suspects(manifest)], manifest)
        # A model that reads features alone has no symbol.
        self.symbol: Any = tensors[SYMBOL].reshape(-1).data if SYMBOL in tensors else [0]
        self.feedback = feedback
        self._state = state
        self._first = self._answer.data
        self.write_state({tensor.name: tensor.initial_value() for tensor in manifest.state})

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        copy_all(self.feedback)

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self.symbol[0] = id
        self.compute()
        if self._first[0] != self._first[0]:  # not a number
            raise not_finite(self.manifest)

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: places[0].copy() for name, places in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        for name, places in self._state.items():
            for place in places:
                place[...] = state[name]
