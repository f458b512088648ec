"""The memory of a program: one piece for each stream, and constants that all of them share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...common.arrays import AnyArray
from ..numpy_engine import CalculationError
from ..step_plan.plan import StepPlan
from ..step_plan.views import Memory, View

_ALIGNED = 64  # bytes: a vector of AVX-512, and a line of the caches
TYPES = {"float32": 0, "int32": 1, "int64": 2, "bool": 3, "int8": 4, "uint8": 5}  # as in program.h


@dataclass(frozen=True)
class Address:
    """Where something is: a number of bytes, from the beginning of the memory of a stream unless it is `fixed`."""

    number: int
    fixed: bool


NOWHERE = Address(0, True)


def aligned(content: AnyArray) -> AnyArray:
    """Return the bytes of `content` in new memory: from a multiple of `_ALIGNED` on, with room for a vector behind."""
    raw = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
    room = np.empty(raw.size + 2 * _ALIGNED, np.uint8)
    room[-2 * _ALIGNED :] = 0
    start = -room.ctypes.data % _ALIGNED
    room[start : start + raw.size] = raw
    return room[start : start + raw.size]


class Layout:
    """Finds addresses.

    Attributes:
        size: Bytes of the memory of a stream.
        constants: Arrays at fixed addresses, which must be kept.
    """

    def __init__(self, plan: StepPlan) -> None:
        """Lay out the memory of `plan`."""
        self.size = 0
        self.constants: list[AnyArray] = []
        self._plan = plan
        self._scratch = {dtype: self._take(count, dtype) for dtype, count in plan.scratch.items()}
        self._found: dict[int, tuple[Memory, Address]] = {}  # memory is kept, so that no other one has its id

    def address(self, view: View) -> Address:
        """Return the address of the first element of `view`."""
        base = self._base(view.memory)
        return Address(base.number + view.offset * itemsize(view.memory), base.fixed)

    def new(self, size: int) -> View:
        """Return a view of new scratch memory for float32."""
        return View(Memory("float32", size), 0, (size,), (1,))

    def keep(self, content: AnyArray) -> Address:
        """Return the address of a copy of `content`, which is the same for all streams."""
        self.constants.append(aligned(content))
        return Address(self.constants[-1].ctypes.data, True)

    def _base(self, memory: Memory) -> Address:
        if id(memory) in self._plan.offsets:
            begin = self._scratch[memory.dtype].number + self._plan.offset_of(memory) * itemsize(memory)
            return Address(begin, False)
        if id(memory) not in self._found:
            content = memory.content
            place = self._take(memory.size, memory.dtype) if content is None else self.keep(content)
            self._found[id(memory)] = memory, place
        return self._found[id(memory)][1]

    def _take(self, count: int, dtype: str) -> Address:
        begin = self.size
        self.size += -(-max(count, 1) * np.dtype(dtype).itemsize // _ALIGNED) * _ALIGNED
        return Address(begin, False)


def itemsize(memory: Memory) -> int:
    """Return the bytes of an element.

    Raises:
        CalculationError: The engine has no elements of this type.
    """
    if memory.dtype not in TYPES:
        raise CalculationError(f"the compiled engine has no numbers of type {memory.dtype}")
    return np.dtype(memory.dtype).itemsize
