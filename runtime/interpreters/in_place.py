"""Backends whose state is in the memory that a step reads: the next state is copied over it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..format.manifest import Manifest
from ..format.tensor_specs import SYMBOL
from .base import BackendBase, State
from .finite import not_finite, outputs_to_check, with_finite_check
from .memory import ALL, BoundCall, as_bytes

_HIGHEST_BYTE = 3 if sys.byteorder == "little" else 0  # of a float32: it has the sign and most of the exponent
SIGN_LIMIT = 0x40  # the least of such bytes whose numbers are not in [0, 2), as probabilities are
_MAX_BYTES = 4 * 2**20  # of a cache; the rows of a vocabulary of words may fill the memory of a small machine


class InputCache:
    """The bytes to write for each id: made once, then copied in 45 ns. Backends of one file share it, threads too.

    Attributes:
        contents: By id the bytes to write; None where they have not been made yet, or were dropped.
    """

    __slots__ = ("_bytes", "contents")

    def __init__(self, manifest: Manifest) -> None:
        """Start with nothing for each of the model's ids; a model that reads no symbol has one."""
        self.contents: list[Any] = [None] * (len(manifest.vocabulary) or 1)
        self._bytes = 0

    def add(self, id: int, made: Any) -> None:
        """Keep the bytes for `id`. If they are too many, drop all others."""
        self._bytes += len(made)
        if self._bytes > _MAX_BYTES:
            self.contents[ALL] = [None] * len(self.contents)
            self._bytes = len(made)
        self.contents[id] = made


class InputSlot:
    """The buffer of that input, and a cache of the bytes to write for each id.

    Attributes:
        buffer: The memory of the input, as bytes.
        shared: The cache.
        cache: See `InputCache.contents`.
    """

    __slots__ = ("_make", "buffer", "cache", "shared")

    def __init__(self, tensor: AnyArray, shared: InputCache, make: Callable[[int], AnyArray]) -> None:
        """Read from and write to a cache.

        Args:
            tensor: The input.
            shared: The cache.
            make: Returns the content for an id, an array like `tensor`.
        """
        self.buffer = as_bytes(tensor)
        self.shared, self.cache = shared, shared.contents
        self._make = make

    @classmethod
    def of_ids(cls, tensors: Mapping[str, AnyArray], shared: InputCache) -> InputSlot:
        """Return the slot of a graph that reads, among `tensors`, the id itself; or features alone, and no id."""
        tensor = tensors.get(SYMBOL, np.zeros(0, np.int32))
        return cls(tensor, shared, lambda number: np.full(tensor.shape, number, np.int32))

    def content(self, id: int) -> Any:
        """Return the bytes for `id`."""
        found = self.cache[id]
        if found is None:
            found = as_bytes(self._make(id))
            self.shared.add(id, found)
        return found


class InPlaceBackend(BackendBase):
    """Computes in memory that stays where it is.

    Attributes:
        slot: Where the symbol goes.
        call: Computes the outputs from the inputs, and refuses what is not finite, but for the first number of
            the answer, which tells of all numbers of a softmax: the caller checks that with `require_first`.
        sign: The highest byte of that number, shape (1,). Below `SIGN_LIMIT` the number is finite; to look at a byte
            takes half the time of a number.
        feedback: Pairs (target, source) that let the next state become the state; `copy_all` copies them.
    """

    def __init__(
        self,
        call: BoundCall,
        slot: InputSlot,
        tensors: Mapping[str, AnyArray],
        state: Mapping[str, tuple[AnyArray, ...]],
        feedback: list[tuple[memoryview, memoryview]],
        manifest: Manifest,
    ) -> None:
        """Take the memory. The resident state is the initial one.

        Args:
            call: Computes the outputs from the inputs.
            slot: Where the symbol goes.
            tensors: Name -> the memory of the features and of all outputs.
            state: Name -> wherever this tensor of the state is read from.
            feedback: See the attribute.
            manifest: The manifest of the file.
        """
        super().__init__(
            manifest,
            tensors[manifest.answer].reshape(-1),
            {feature.name: tensors[feature.name] for feature in manifest.features},
            {output.name: tensors[output.name] for output in manifest.extra_outputs},
        )
        checked = [tensors[name] for name in outputs_to_check(manifest)]
        self.call = with_finite_check(call, checked, manifest)
        self.slot = slot
        self.shared = slot.shared
        self.sign = as_bytes(self._answer)[_HIGHEST_BYTE : _HIGHEST_BYTE + 1]
        self.feedback = feedback
        self._state = state
        self.write_state({tensor.name: tensor.initial_value() for tensor in manifest.state})

    @property
    def bound(self) -> tuple[Any, ...] | None:
        """What a step is made of, where `feedback` is one pair and nothing but symbols is read; see `Stream.step`.

        (This, buffer, cache, function, arguments, sign, target, source, answer).
        """
        if len(self.feedback) > 1 or self.manifest.features:
            return None
        return self, self.slot.buffer, self.slot.cache, *self.call, self.sign, *self.feedback[0], self._answer

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        count = self.steps + 1
        try:
            self._feed_back(count)
        except BaseException:  # Ctrl-C between two pieces: never leave a half-updated state
            self._feed_back(count)
            raise

    def _feed_back(self, count: int) -> None:
        for target, source in self.feedback:
            target[ALL] = source
        self.steps = count

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self.slot.buffer[ALL] = self.slot.content(id)
        function, arguments = self.call
        function(*arguments)
        if self.sign[0] >= SIGN_LIMIT:
            self.require_first()

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        self._step_all(ids, None)

    def run(self, ids: Ids) -> Float32:
        """See `Backend.run`."""
        answers = np.empty((len(ids), self._answer.size), np.float32)
        self._step_all(ids, as_bytes(answers))
        return answers

    def _step_all(self, ids: Ids, rows: memoryview | None) -> None:
        """Step all of `ids` and write the answers to `rows`, one behind the other."""
        place, content, feedback, sign = self.slot.buffer, self.slot.content, self.feedback, self.sign
        answer, start = as_bytes(self._answer), 0
        function, arguments = self.call
        for id in ids.tolist():
            place[ALL] = content(id)
            function(*arguments)
            if sign[0] >= SIGN_LIMIT:
                self.require_first()
            if rows is not None:
                rows[start : start + len(answer)] = answer  # no array is made per symbol: a quarter faster
                start += len(answer)
            for target, source in feedback:
                target[ALL] = source

    def require_first(self) -> None:
        """Raise NotFiniteError if the first number of the answer is none; see `finite.outputs_to_check`."""
        if np.isnan(self._answer[0]):
            raise not_finite(self.manifest)

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: places[0].copy() for name, places in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        for name, places in self._state.items():
            for place in places:
                place[...] = state[name]
