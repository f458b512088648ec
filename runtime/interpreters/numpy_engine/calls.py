"""The numpy calls that records stand for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import erf, prod
from typing import Any, TypeAlias

import numpy as np

from ...common.arrays import AnyArray
from .recorder import Record, constant, is_constant

Call: TypeAlias = Callable[[], Any]
_MOST_SPREAD = 2**16  # elements; larger constants are left to be broadcast at every run
_erf = np.frompyfunc(erf, 1, 1)  # numpy has none

# Elementwise functions with one result: kind -> ufunc.
ELEMENTWISE: dict[str, Any] = {
    "abs": np.abs, "add": np.add, "and": np.logical_and, "divide": np.divide, "equal": np.equal, "exp": np.exp,
    "greater": np.greater, "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
    "log": np.log, "maximum": np.maximum, "minimum": np.minimum, "multiply": np.multiply, "negative": np.negative,
    "not": np.logical_not, "not_equal": np.not_equal, "or": np.logical_or, "power": np.power,
    "reciprocal": np.reciprocal, "sqrt": np.sqrt, "square": np.square, "subtract": np.subtract, "tanh": np.tanh,
}  # fmt: skip
_REDUCTIONS: dict[str, np.ufunc] = {"sum": np.add, "max": np.maximum, "min": np.minimum}


def calls_of(record: Record) -> list[Call]:
    """Return the calls, each of which takes nothing, that do what `record` says."""
    if record.parts:
        return [call for part in record.parts for call in calls_of(part)]
    out, operands = record.result, record.operands
    if record.kind in ELEMENTWISE:
        # An operand of another shape costs as much again as the operation itself.
        arrays = [_spread(array, out.shape) if is_constant(array) else array for array in operands]
        function = ELEMENTWISE[record.kind]
        # numpy 2.4 does not like `out` of these two without its name; of the others the call costs a third less so.
        named = function in (np.maximum, np.minimum)
        return [partial(function, *arrays, out=out) if named else partial(function, *arrays, out)]
    if record.kind in _REDUCTIONS:
        return _reduction(_REDUCTIONS[record.kind], operands[0], record.options["axes"], out)
    return _OTHERS[record.kind](record)


def _spread(array: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    if array.shape == shape or prod(shape) > _MOST_SPREAD:
        return array
    return constant(np.broadcast_to(array, shape), array.dtype)


def _reduction(function: np.ufunc, x: AnyArray, axes: tuple[int, ...], out: AnyArray) -> list[Call]:
    # `reduce` spends more time on its arguments than these on a whole step's numbers.
    if axes == (x.ndim - 1,) and x.size and x.flags.c_contiguous and x.dtype.kind == "f":
        rows = x.reshape(-1, x.shape[-1])
        if function is np.add:
            return [partial(np.dot, rows, constant(np.ones((x.shape[-1], 1)), x.dtype), out.reshape(-1, 1))]
        if function is np.maximum and len(rows) == 1:
            place = np.zeros((), np.intp)
            return [partial(rows[0].argmax, 0, place), partial(rows[0].take, place, 0, out.reshape(()))]
    return [partial(function.reduce, x, axes, None, out, True)]


def _copy(record: Record) -> list[Call]:
    return [partial(np.copyto, record.result, record.operands[0], "unsafe")]


def _select(record: Record) -> list[Call]:
    condition, x, y = record.operands
    return [
        partial(np.copyto, record.result, y, "unsafe"),
        partial(np.copyto, record.result, x, "same_kind", condition),
    ]


def _matmul(record: Record) -> list[Call]:
    x, y = record.operands
    # For one row and a small matrix `dot` takes half the time of `matmul`.
    return [partial(np.dot if x.ndim == y.ndim == 2 else np.matmul, x, y, record.result)]


def _take(record: Record) -> list[Call]:
    table, ids = record.operands
    return [partial(table.take, ids, record.options["axis"], record.result)]


def _concatenate(record: Record) -> list[Call]:
    return [partial(np.concatenate, record.operands, record.options["axis"], record.result)]


def _error_function(record: Record) -> list[Call]:
    (x,), out = record.operands, record.result

    def fill() -> None:
        out[...] = _erf(x)

    return [fill]


_OTHERS: dict[str, Callable[[Record], list[Call]]] = {
    "concatenate": _concatenate,
    "copy": _copy,
    "erf": _error_function,
    "matmul": _matmul,
    "select": _select,
    "take": _take,
}
