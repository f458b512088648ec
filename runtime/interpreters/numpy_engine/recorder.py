"""A tape of numpy calls. Each one reads and writes arrays that stay where they are, so that they can be run again.

An array that can be written to holds something that changes from run to run; one that cannot is a constant.

What an operation must know before anything runs: axes, shapes and other whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ...common.arrays import AnyArray
from .graph import CalculationError

Call: TypeAlias = Callable[[], Any]
# Elements of all arrays together, 256 MB of float32: far above the step of any real model, and below what a damaged
# file could ask for.
_MOST_ELEMENTS = 2**26
_MOST_SPREAD = 2**16  # elements; larger constants are left to be broadcast at every run
_TRUTHS = (
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.logical_and, np.logical_or,
    np.logical_not,
)  # fmt: skip
# An operation with this number on its right changes nothing.
_NEUTRAL = {np.add: 0, np.subtract: 0, np.multiply: 1, np.divide: 1}
_Shape: TypeAlias = tuple[int, ...]


class Tape:
    """Calls in the order in which they were recorded.

    Attributes:
        floats: What floats are computed in: float32, or float64 for a referee.
        calls: The calls; each takes nothing.
    """

    def __init__(self, floats: Any = np.float32) -> None:
        """Start with no calls."""
        self.floats = np.dtype(floats)
        self.calls: list[Call] = []
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

    def record(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        """Let `function(*arguments, **named)` be called at every run."""
        self.calls.append(partial(function, *arguments, **named))

    def __call__(self, function: np.ufunc, *operands: AnyArray | float) -> AnyArray:
        """Record an elementwise function, and return the array that its result will be in.

        Args:
            function: A ufunc with one output.
            operands: Arrays, or numbers, which have the dtype of the first array.
        """
        dtype = next(operand.dtype for operand in operands if isinstance(operand, np.ndarray))
        arrays = [each if isinstance(each, np.ndarray) else constant(each, dtype) for each in operands]
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        if len(arrays) == 2 and _changes_nothing(function, arrays[1]) and arrays[0].shape == shape:
            return arrays[0]
        out = self.new(shape, bool if function in _TRUTHS else np.result_type(*(array.dtype for array in arrays)))
        # An operand of another shape costs as much again as the operation itself.
        arrays = [self._spread(array, shape) if is_constant(array) else array for array in arrays]
        if function in (np.maximum, np.minimum):  # numpy 2.4 does not like theirs without its name
            self.record(function, *arrays, out=out)
        else:  # without it the call costs a third less
            self.record(function, *arrays, out)
        return out

    def copy(self, source: AnyArray, shape: _Shape, dtype: Any) -> AnyArray:
        """Record that `source` is copied, cast and broadcast, and return the array that it will be in."""
        out = self.new(shape, dtype)
        self.record(np.copyto, out, source, "unsafe")
        return out

    def reduce(self, function: np.ufunc, x: AnyArray, axes: _Shape, keep: bool = True) -> AnyArray:
        """Record that `x` is reduced over non-negative `axes`, and return the array that the result will be in."""
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        out = self.new(kept, x.dtype)
        result = out if keep else out.reshape([size for axis, size in enumerate(x.shape) if axis not in axes])
        last = axes == (x.ndim - 1,) and x.size and x.flags.c_contiguous and x.dtype == self.floats
        rows = x.reshape(-1, x.shape[-1]) if last else x
        # `reduce` spends more time on its arguments than these on a whole step's numbers.
        if last and function is np.add:
            self.record(np.dot, rows, constant(np.ones((x.shape[-1], 1)), x.dtype), out.reshape(-1, 1))
        elif last and function is np.maximum and len(rows) == 1:
            place = np.zeros((), np.intp)
            self.record(rows[0].argmax, 0, place)
            self.record(rows[0].take, place, 0, out.reshape(()))
        else:
            self.record(function.reduce, x, axes, None, out, True)
        return result

    def _spread(self, array: AnyArray, shape: _Shape) -> AnyArray:
        if array.shape == shape or prod(shape) > _MOST_SPREAD:
            return array
        self._elements += prod(shape)
        return constant(np.broadcast_to(array, shape), array.dtype)


def constant(content: Any, dtype: Any = None) -> AnyArray:
    """Return a copy of `content` as an array in one piece that cannot be written to."""
    array = np.array(content, dtype, order="C")
    array.flags.writeable = False
    return array


def is_constant(array: AnyArray) -> bool:
    """Tell whether `array` is the same in every run."""
    return not array.flags.writeable


def _changes_nothing(function: np.ufunc, right: AnyArray) -> bool:
    number = _NEUTRAL.get(function)
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
