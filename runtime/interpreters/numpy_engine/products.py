"""Products of matrices, and lookups in them."""

from __future__ import annotations

import numpy as np

from ...common.arrays import AnyArray
from .graph import CalculationError
from .recorder import Tape, axis_of, constant, is_constant, known, shape_only
from .shapes import as_shape


def matmul(t: Tape, x: AnyArray, y: AnyArray) -> AnyArray:
    """Return x @ y."""
    out = t.new(np.matmul(shape_only(x), shape_only(y)).shape, np.result_type(x.dtype, y.dtype))
    return t.record("matmul", [x, y], out)


def flipped(x: AnyArray) -> AnyArray:
    """Return `x` with its last two dimensions in the other order."""
    y = x.swapaxes(-1, -2)
    # A product with a matrix whose rows lie in one piece takes three quarters of the time.
    return constant(y) if is_constant(x) else y


def dense(t: Tape, x: AnyArray, kernel: AnyArray, bias: AnyArray | None = None, *, keep: bool = False) -> AnyArray:
    """Multiply the last dimension of x with a kernel (outputs, inputs); `keep` the dimensions before it."""
    outputs, inputs = kernel.shape
    y = matmul(t, as_shape(t, x, (x.size // max(inputs, 1), inputs)), flipped(kernel))
    y = y if bias is None else t("add", y, bias)
    return as_shape(t, y, (*x.shape[:-1], outputs)) if keep else y


def product(
    t: Tape,
    x: AnyArray,
    y: AnyArray,
    z: AnyArray | None = None,
    *,
    flip_x: bool = False,
    flip_y: bool = False,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> AnyArray:
    """Return alpha x @ y + beta z, x or y flipped first."""
    xy = t("multiply", matmul(t, flipped(x) if flip_x else x, flipped(y) if flip_y else y), alpha)
    return xy if z is None else t("add", xy, t("multiply", z, beta))


def take(t: Tape, table: AnyArray, ids: AnyArray, *, axis: int = 0) -> AnyArray:
    """Return the slices of `table` that `ids` name; one that is not there fails at the run."""
    axis = axis_of(axis, table.ndim)
    out = t.new((*table.shape[:axis], *ids.shape, *table.shape[axis + 1 :]), table.dtype)
    return t.record("take", [table, ids], out, axis=axis)


def one_hot(t: Tape, ids: AnyArray, depth: AnyArray, on: AnyArray, off: AnyArray, *, axis: int = -1) -> AnyArray:
    """Return vectors of `depth` elements, `on` where the id is and `off` elsewhere."""
    (size,) = known(depth, "the size of a one-hot vector")
    if axis not in (-1, ids.ndim):
        raise CalculationError("it makes one-hot vectors along another dimension than the last")
    places = constant(np.arange(size), ids.dtype)
    return t.record("select", [t("equal", ids[..., np.newaxis], places), on, off], t.new((*ids.shape, size), off.dtype))
