"""Views: which elements of which memory an operation reads or writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from ...common.arrays import AnyArray
from ..numpy_engine.recorder import is_constant


@dataclass(eq=False)
class Memory:
    """A piece of memory, of one dimension.

    Attributes:
        dtype: Of its elements.
        size: How many there are.
        content: Its elements, if they are the same in every step.
        port: The name of the input or output that it is; "" for what a step uses in between.
    """

    dtype: str
    size: int
    content: AnyArray | None = field(default=None, repr=False)
    port: str = ""

    @property
    def is_scratch(self) -> bool:
        """Whether it holds numbers of one step only."""
        return self.content is None and not self.port


@dataclass(frozen=True)
class View:
    """Elements of a memory.

    Attributes:
        memory: The memory.
        offset: The first element.
        shape: How many elements in each dimension.
        strides: Elements from one to the next, in each dimension; 0 where one element is read again and again.
    """

    memory: Memory
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of elements, repetitions included."""
        return prod(self.shape)

    @property
    def is_plain(self) -> bool:
        """Whether its elements lie one after the other, in order."""
        expected = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its memory, in order."""
        return self.is_plain and self.offset == 0 and self.size == self.memory.size

    @property
    def last(self) -> int:
        """The last element."""
        return self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))

    def overlaps(self, other: View) -> bool:
        """Tell whether both may have an element in common."""
        return self.memory is other.memory and self.offset <= other.last and other.offset <= self.last

    def same_elements(self, other: View) -> bool:
        """Tell whether both have the same element at each place."""
        mine, theirs = (
            (view.memory, view.offset, [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n > 1])
            for view in (self, other)
        )
        return mine == theirs

    def broadcast(self, shape: tuple[int, ...]) -> View:
        """Return the view with `shape`, elements repeated as numpy does."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing + [0 if n == 1 else s for n, s in zip(self.shape, self.strides, strict=True)]
        return replace(
            self, shape=shape, strides=tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))
        )

    def moved_to(self, memory: Memory, offset: int) -> View:
        """Return the same elements of another memory, `offset` elements further on."""
        return replace(self, memory=memory, offset=self.offset + offset)

    def numbers(self) -> AnyArray | None:
        """Return the elements, if they are the same in every step."""
        content = self.memory.content
        if content is None:
            return None
        strides = [stride * content.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(content[self.offset :], self.shape, strides, writeable=False)


class Memories:
    """The memory behind arrays: views of one array share it."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[int, tuple[Memory, AnyArray]] = {}

    def view(self, array: AnyArray) -> View:
        """Return the view that `array` is."""
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        if id(base) not in self._found:
            # The array is kept: the number of one that is gone could be given to another.
            content = base.reshape(-1) if is_constant(array) and is_constant(base) else None
            self._found[id(base)] = Memory(base.dtype.name, base.size, content), base
        memory, _ = self._found[id(base)]
        start = array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        strides = tuple(stride // array.itemsize for stride in array.strides)
        return View(memory, start // array.itemsize, array.shape, strides)


def joined_dimensions(views: Sequence[View]) -> list[View]:
    """Return views of one shape with as few dimensions as possible: those of size 1 left out, neighbours joined."""
    shape = views[0].shape
    kept = [axis for axis, size in enumerate(shape) if size != 1]
    sizes = [shape[axis] for axis in kept]
    strides = [[view.strides[axis] for axis in kept] for view in views]
    for axis in range(len(sizes) - 2, -1, -1):
        if all(each[axis] == each[axis + 1] * sizes[axis + 1] for each in strides):
            sizes[axis : axis + 2] = [sizes[axis] * sizes[axis + 1]]
            for each in strides:
                each[axis : axis + 2] = [each[axis + 1]]
    return [replace(view, shape=tuple(sizes), strides=tuple(each)) for view, each in zip(views, strides, strict=True)]
