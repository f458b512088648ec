"""Weights of 8 bits: products and tables of a step whose weights are int8, with a scale for each column.

What int8 weights are multiplied with is brought to 16 bits at every step, by a scale of its own: its largest number
becomes the largest integer. The sums are of 32 bits and cannot overflow, whatever the input is: that follows from the
weights, of which the largest integer is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...common.arrays import AnyArray, Float32
from ..numpy_engine.graph import CalculationError
from .statements import Product, Row, Statement, ViewFields
from .views import Memory, View

MOST_LEVELS = 2**15 - 1  # the largest integer of 16 bits
FEWEST_LEVELS = 2**11 - 1
_LARGEST_SUM = 2**31 - 1
_LARGEST = 127  # of an int8 weight
# Weights that were int8 before are multiples of their scale, but for the rounding of float32.
_ON_THE_GRID = 1e-4
_ROWS_TRIED = 16
_SMALLEST = 1e-30  # of the largest weight of a column; below, all are 0


@dataclass(frozen=True)
class Int8Weights:
    """A matrix of int8 weights.

    Attributes:
        numbers: int8 of shape (M, N).
        scales: float32 of shape (N,): a weight is its number times the scale of its column.
    """

    numbers: NDArray[np.int8]
    scales: Float32

    @property
    def real(self) -> Float32:
        """The weights that they stand for, float32 of shape (M, N)."""
        return np.asarray(self.numbers * self.scales, np.float32)

    @property
    def levels(self) -> int:
        """The largest integer that a factor of 16 bits may be, so that no sum of a column is beyond 32 bits."""
        sums = np.abs(self.numbers.astype(np.int64)).sum(axis=0)
        return int(min(MOST_LEVELS, _LARGEST_SUM // max(1, sums.max(initial=0))))


def to_int8(weights: Float32) -> Int8Weights:
    """Return a matrix as int8, with a scale for each column; weights that come from int8 are kept as they are.

    Args:
        weights: float32 of shape (M, N).
    """
    wide = weights.astype(np.float64)
    largest = np.abs(wide).max(axis=0, initial=0.0)
    most = np.full(largest.shape, _LARGEST)
    is_zero = largest < _SMALLEST
    unknown = ~is_zero
    tried = wide[np.argsort(-np.abs(wide), axis=0)[:_ROWS_TRIED], np.arange(wide.shape[1])]
    for count in (*range(_LARGEST, 0, -1), _LARGEST + 1):
        columns = np.flatnonzero(unknown)
        columns = columns[_lie_on_grid(tried[:, columns], largest[columns], count)]
        columns = columns[_lie_on_grid(wide[:, columns], largest[columns], count)]
        most[columns] = count
        unknown[columns] = False
    scales = np.where(is_zero, 1.0, largest / most).astype(np.float32)
    numbers = np.rint(wide / scales).clip(-_LARGEST - 1, _LARGEST).astype(np.int8)
    return Int8Weights(numbers, scales)


def _lie_on_grid(columns: AnyArray, largest: AnyArray, count: int) -> AnyArray:
    """Tell of each column whether its numbers are multiples of its largest one over `count`, within int8."""
    steps = columns * (count / largest)
    whole = np.rint(steps)
    found: AnyArray = (np.abs(steps - whole) < _ON_THE_GRID).all(axis=0) & (whole <= _LARGEST).all(axis=0)
    return found


@dataclass(frozen=True)
class Int8Product(Product):
    """`result = start + x @ weights`, with int8 weights.

    Attributes:
        weights: int8 of shape (M, N).
        scales: float32 of shape (N,), of the columns.
        levels: The largest integer that x is brought to.
        rounded: Memory for x as M integers of 16 bits.
    """

    scales: Float32 = field(compare=False, kw_only=True)
    levels: int = field(kw_only=True)
    rounded: View = field(kw_only=True)
    block: ClassVar[int] = 4


@dataclass(frozen=True)
class Int8Row(ViewFields):
    """`result = table[id]`: N numbers of an int8 table.

    Attributes:
        numbers: int8 of shape (R, N).
        scales: float32 of shape (N,), of the columns.
        id: The number of a row, one element.
        result: N numbers, one after the other.
    """

    numbers: NDArray[np.int8] = field(compare=False)
    scales: Float32 = field(compare=False)
    id: View
    result: View


def with_int8_weights(statements: Sequence[Statement]) -> list[Statement]:
    """Return statements whose products and tables have int8 weights.

    Raises:
        CalculationError: The sums of a product would leave less than 12 bits for what is multiplied.
    """
    return [_with_int8(each) for each in statements]


def _with_int8(statement: Statement) -> Statement:
    if isinstance(statement, Row) and statement.table.memory.dtype == "float32":
        numbers = statement.table.numbers()
        if numbers is None:
            return statement
        table = to_int8(numbers.reshape(len(numbers), -1))
        return Int8Row(table.numbers, table.scales, statement.id, statement.result)
    if not isinstance(statement, Product):
        return statement
    weights = to_int8(statement.weights)
    rows, columns = statement.weights.shape
    if weights.levels < FEWEST_LEVELS:
        raise CalculationError(
            f"a product of {rows:,} x {columns:,} int8 weights adds so many numbers that only {weights.levels:,} steps "
            f"are left for each before 32 bits overflow (at least {FEWEST_LEVELS:,})"
        )
    given = {each.name: getattr(statement, each.name) for each in fields(statement)}
    rounded = View(Memory("int16", rows), 0, (rows,), (1,))
    return Int8Product(
        **{**given, "weights": weights.numbers}, scales=weights.scales, levels=weights.levels, rounded=rounded
    )
