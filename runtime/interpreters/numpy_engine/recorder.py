"""A tape of records: operations on arrays that stay where they are, so that they can be done again and again.

The numpy calls of a step are made of the records (`calls.py`).
An array that can be written to holds something that changes from run to run; one that cannot is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ...common.arrays import AnyArray
from .graph import CalculationError

# Elements of all arrays together, 256 MB of float32: far above the step of any real model, and below what a damaged
# file could ask for.
_MOST_ELEMENTS = 2**26
TRUTHS = (
    "and", "equal", "greater", "greater_equal", "less", "less_equal", "not", "not_equal", "or",
)  # fmt: skip
# An operation with this number on its right changes nothing.
_NEUTRAL = {"add": 0, "subtract": 0, "multiply": 1, "divide": 1}
_Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """One operation on arrays.

    Attributes:
        kind: Which one: an elementwise function of `calls.ELEMENTWISE` ("add", "exp", "select", ...), "copy", "matmul",
            "take", "concatenate", a reduction ("sum", "max", "min"), or the name of a formula ("logistic", "softmax").
        operands: The arrays that it reads, broadcast where their shapes differ.
        result: The array that it writes.
        options: `axis` of "take", "concatenate" and "softmax"; `axes` of a reduction, whose result keeps them.
        parts: Records that do the same with simpler operations, for a formula.
    """

    kind: str
    operands: tuple[AnyArray, ...]
    result: AnyArray
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Record, ...] = ()


class Tape:
    """Records in the order in which they are done.

    Attributes:
        floats: What floats are computed in: float32, or float64 for a referee.
        records: The records.
    """

    def __init__(self, floats: Any = np.float32) -> None:
        """Start with no records."""
        self.floats = np.dtype(floats)
        self.records: list[Record] = []
        self._elements = 0

    def new(self, shape: _Shape, dtype: Any) -> AnyArray:
        """Return memory to write to, filled with zeros.

        Raises:
            CalculationError: All of it together would be more than any real model needs.
        """
        self._elements += prod(shape)
        if self._elements > _MOST_ELEMENTS:
            raise CalculationError(f"a step of it works on more than {_MOST_ELEMENTS:,} numbers")
        return np.zeros(shape, dtype)

    def record(self, kind: str, operands: Sequence[AnyArray], result: AnyArray, **options: Any) -> AnyArray:
        """Record an operation; return `result`, the array that it writes."""
        self.records.append(Record(kind, tuple(operands), result, options))
        return result

    def __call__(self, kind: str, *operands: AnyArray | float) -> AnyArray:
        """Record an elementwise function, and return the array that its result will be in.

        Args:
            kind: A key of `calls.ELEMENTWISE`.
            operands: Arrays, or numbers, which have the dtype of the first array.
        """
        dtype = next(operand.dtype for operand in operands if isinstance(operand, np.ndarray))
        arrays = [each if isinstance(each, np.ndarray) else constant(each, dtype) for each in operands]
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        if len(arrays) == 2 and _changes_nothing(kind, arrays[1]) and arrays[0].shape == shape:
            return arrays[0]
        result = bool if kind in TRUTHS else np.result_type(*(array.dtype for array in arrays))
        return self.record(kind, arrays, self.new(shape, result))

    def formula(
        self, kind: str, make: Callable[..., AnyArray], x: AnyArray, options: Mapping[str, Any] | None = None
    ) -> AnyArray:
        """Record what `make(tape, x)` does as one record with a name; return its result."""
        before = len(self.records)
        result = make(self, x)
        parts = tuple(self.records[before:])
        del self.records[before:]
        self.records.append(Record(kind, (x,), result, options or {}, parts))
        return result

    def copy(self, source: AnyArray, shape: _Shape, dtype: Any) -> AnyArray:
        """Record that `source` is copied, cast and broadcast, and return the array that it will be in."""
        return self.record("copy", [source], self.new(shape, dtype))

    def reduce(self, kind: str, x: AnyArray, axes: _Shape, keep: bool = True) -> AnyArray:
        """Record that `x` is reduced over non-negative `axes`, and return the array that the result will be in."""
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        result = self.record(kind, [x], self.new(kept, x.dtype), axes=axes)
        return result if keep else result.reshape([size for axis, size in enumerate(x.shape) if axis not in axes])


def constant(content: Any, dtype: Any = None) -> AnyArray:
    """Return a copy of `content` as an array in one piece that cannot be written to."""
    array = np.array(content, dtype, order="C")
    array.flags.writeable = False
    return array


def is_constant(array: AnyArray) -> bool:
    """Tell whether `array` is the same in every run."""
    return not array.flags.writeable


def _changes_nothing(kind: str, right: AnyArray) -> bool:
    number = _NEUTRAL.get(kind)
    return number is not None and is_constant(right) and bool((right == number).all())


def known(array: AnyArray, what: str) -> list[int]:
    """Return the whole numbers in `array`; `what` they are is said where they depend on the input."""
    if not is_constant(array):
        raise CalculationError(f"{what} depends on its input")
    return [int(each) for each in array.reshape(-1)]


def axis_of(axis: int, dimensions: int) -> int:
    """Return `axis` as a non-negative number."""
    if not -dimensions <= axis < dimensions:
        raise CalculationError(f"an operator works along dimension {axis} of {dimensions}")
    return axis % dimensions


def axes_of(axes: AnyArray | Sequence[int] | None, dimensions: int) -> tuple[int, ...]:
    """Return axes as non-negative numbers in ascending order; None: all of them."""
    if axes is None:
        return tuple(range(dimensions))
    given = known(axes, "along which dimensions it works") if isinstance(axes, np.ndarray) else axes
    return tuple(sorted({axis_of(each, dimensions) for each in given}))


def shape_only(array: AnyArray) -> AnyArray:
    """Return an array of the shape of `array` that takes no memory, to try out what happens to shapes."""
    return np.broadcast_to(np.zeros((), bool), array.shape)
