"""What an operation must know before anything runs: axes, shapes and other whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import AnyArray
from .graph import CalculationError
from .tape import is_constant


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
