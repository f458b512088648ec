"""Operations that look at a tensor in another way: views, which cost nothing at a run, wherever that is possible.

Whole numbers that say how come as constants from the file; None: it leaves them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...common.arrays import AnyArray
from .graph import CalculationError
from .recorder import Tape, axes_of, axis_of, constant, is_constant, known, shape_only


def as_shape(t: Tape, x: AnyArray, shape: Sequence[int]) -> AnyArray:
    """Return `x` in another shape, one of whose sizes may be -1."""
    try:
        target = shape_only(x).reshape(shape).shape
    except ValueError as error:
        raise CalculationError(f"it brings a tensor of shape {x.shape} to {tuple(shape)}") from error
    if np.shares_memory(x.reshape(target), x):
        return x.reshape(target)
    return t.copy(x, x.shape, x.dtype).reshape(target)  # its elements do not lie one after the other


def reshape(t: Tape, x: AnyArray, shape: AnyArray, *, zero_keeps: bool = False) -> AnyArray:
    """Return `x` in another shape; with `zero_keeps` a size of 0 stands for the size that `x` has there."""
    sizes = known(shape, "the shape of a tensor")
    if zero_keeps:
        sizes = [x.shape[i] if size == 0 and i < x.ndim else size for i, size in enumerate(sizes)]
    return as_shape(t, x, sizes)


def squeeze(t: Tape, x: AnyArray, axes: AnyArray | None = None, *, at: Sequence[int] | None = None) -> AnyArray:
    """Leave out the given dimensions, which have size 1; without any, all that have."""
    given = at if axes is None else axes
    gone = [i for i, size in enumerate(x.shape) if size == 1] if given is None else axes_of(given, x.ndim)
    return as_shape(t, x, [size for i, size in enumerate(x.shape) if i not in gone])


def expand(t: Tape, x: AnyArray, axes: AnyArray | None = None, *, at: Sequence[int] = ()) -> AnyArray:
    """Add dimensions of size 1 at the given places of the result."""
    given = at if axes is None else known(axes, "where a dimension is added")
    new = axes_of(given, x.ndim + len(given))
    sizes = iter(x.shape)
    return as_shape(t, x, [1 if i in new else next(sizes) for i in range(x.ndim + len(new))])


def flatten(t: Tape, x: AnyArray, *, axis: int) -> AnyArray:
    """Return two dimensions: those before `axis`, and the others."""
    rows = prod(x.shape[:axis])
    return as_shape(t, x, (rows, x.size // max(rows, 1)))


def transpose(t: Tape, x: AnyArray, axes: AnyArray | None = None, *, at: Sequence[int] | None = None) -> AnyArray:
    """Return `x` with its dimensions in another order; without any, the other way round."""
    return x.transpose(at if axes is None else known(axes, "an order of dimensions"))


def concatenate(t: Tape, *arrays: AnyArray, axis: int) -> AnyArray:
    """Join `arrays` along `axis`."""
    axis = axis_of(axis, arrays[0].ndim)
    size = sum(array.shape[axis] for array in arrays)
    out = t.new((*arrays[0].shape[:axis], size, *arrays[0].shape[axis + 1 :]), arrays[0].dtype)
    return t.record("concatenate", arrays, out, axis=axis)


def pad(t: Tape, x: AnyArray, sizes: AnyArray, value: AnyArray | None = None) -> AnyArray:
    """Return `x` with `value`, or zeros, around it: `sizes`, (axes, 2), are the numbers before and behind it."""
    return _padded(t, x, known(sizes, "how far a tensor is padded"), value)


def pad_around(t: Tape, x: AnyArray, sizes: AnyArray, value: AnyArray | None = None) -> AnyArray:
    """Do what `pad` does for `sizes` of (2, axes)."""
    given = known(sizes, "how far a tensor is padded")
    return _padded(t, x, np.reshape(given, (2, -1)).T.reshape(-1).tolist(), value)


def _padded(t: Tape, x: AnyArray, sizes: Sequence[int], value: AnyArray | None) -> AnyArray:
    if min(sizes) < 0 or (value is not None and not is_constant(value)):
        raise CalculationError("it pads a tensor with what depends on its input, or cuts it")
    filling = 0 if value is None or not value.size else value.reshape(-1)[0]
    for axis in range(x.ndim):
        before, behind = (
            constant(np.full((*x.shape[:axis], size, *x.shape[axis + 1 :]), filling), x.dtype)
            for size in sizes[2 * axis : 2 * axis + 2]
        )
        parts = [part for part in (before, x, behind) if part.shape[axis] or part is x]
        x = concatenate(t, *parts, axis=axis) if len(parts) > 1 else x
    return x


def stack(t: Tape, *arrays: AnyArray, axis: int) -> AnyArray:
    """Join `arrays` along a new dimension."""
    axis = axis_of(axis, arrays[0].ndim + 1)
    return concatenate(t, *(np.expand_dims(array, axis) for array in arrays), axis=axis)


def unstack(t: Tape, x: AnyArray, *, axis: int, parts: int) -> list[AnyArray]:
    """Return the `parts` slices along `axis`, without that dimension."""
    axis = axis_of(axis, x.ndim)
    if x.shape[axis] != parts:
        raise CalculationError(f"it takes {x.shape[axis]} slices for {parts}")
    slices = np.moveaxis(x, axis, 0)
    return [slices[i, ...] for i in range(parts)]  # with the dots numpy makes a view of a single number too


def split(
    t: Tape, x: AnyArray, sizes: AnyArray | Sequence[int] | None = None, *, axis: int, parts: int
) -> list[AnyArray]:
    """Return the `parts` parts of `x` along `axis`: as large as `sizes` says, -1 for what is left; None: alike."""
    place = axis_of(axis, x.ndim)
    length = x.shape[place]
    if sizes is None:
        sizes = [length // parts] * parts
    elif isinstance(sizes, np.ndarray):
        sizes = known(sizes, "into what a tensor is split")
    sizes = [length - sum(sizes) - 1 if size == -1 else size for size in sizes]
    if len(sizes) != parts or sum(sizes) != length or min(sizes) < 0:
        raise CalculationError(f"it splits {length} elements into {sizes}")
    slices, ends = np.moveaxis(x, place, 0), np.cumsum(sizes).tolist()
    return [np.moveaxis(slices[end - size : end], 0, place) for size, end in zip(sizes, ends, strict=True)]


def between(t: Tape, x: AnyArray, starts: AnyArray, ends: AnyArray, axes: Any = None, steps: Any = None) -> AnyArray:
    """Return the part of `x` from `starts` to `ends` along `axes`, as Python's slices count."""
    first, last = known(starts, "where a slice begins"), known(ends, "where a slice ends")
    places = list(range(len(first))) if axes is None else known(axes, "where a tensor is cut")
    strides = [1] * len(first) if steps is None else known(steps, "the step of a slice")
    taken = [slice(None)] * x.ndim
    for axis, start, end, step in zip(places, first, last, strides, strict=True):
        if step < 1:
            raise CalculationError("it turns a tensor round")
        taken[axis_of(axis, x.ndim)] = slice(start, end, step)
    return x[tuple(taken)]


def part(t: Tape, x: AnyArray, begin: AnyArray, size: AnyArray) -> AnyArray:
    """Return the part of `x` that begins at `begin` and is as large as `size` says, -1 for what is left."""
    starts, sizes = known(begin, "where a slice begins"), known(size, "the size of a slice")
    return x[tuple(slice(s, None if n == -1 else s + n) for s, n in zip(starts, sizes, strict=True))]


def strided(t: Tape, x: AnyArray, begin: AnyArray, end: AnyArray, steps: AnyArray, *, masks: Sequence[int]) -> AnyArray:
    """Return what TFLite's STRIDED_SLICE does; bit i of each mask belongs to entry i of the others."""
    no_begin, no_end, ellipsis, new, single = masks
    taken: list[Any] = []
    entries = zip(*(known(each, "where a slice lies") for each in (begin, end, steps)), strict=True)
    for i, (first, last, step) in enumerate(entries):
        here = 1 << i
        if ellipsis & here:
            taken.append(...)
        elif new & here:
            taken.append(np.newaxis)
        elif single & here:
            taken.append(first)
        else:
            taken.append(slice(None if no_begin & here else first, None if no_end & here else last, step))
    return x[tuple(taken) if ellipsis else (*taken, ...)]


def broadcast(t: Tape, x: AnyArray, shape: AnyArray) -> AnyArray:
    """Return `x` repeated to a shape."""
    return t.copy(x, np.broadcast_shapes(x.shape, tuple(known(shape, "a shape"))), x.dtype)


def shape_of(t: Tape, x: AnyArray, *, dtype: str) -> AnyArray:
    """Return the shape of `x`, which is the same in every run."""
    return constant(x.shape, dtype)
