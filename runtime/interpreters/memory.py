"""Memory as bytes, and how it is copied without anything in between.

Computations: what computes the outputs of a graph from what stands in its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ..common.arrays import AnyArray

# A function and its arguments: `function(*arguments)` costs 25 to 50 ns less than any object that holds both.
BoundCall: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]


ALL = slice(None)  # `a[ALL] = b` takes 15 ns less than `a[:] = b`, which makes a slice first


def as_bytes(array: AnyArray) -> memoryview:
    """Return the memory of `array`, flat: assigning one such to another costs 45 ns, between arrays 200."""
    return array.reshape(-1).view(np.uint8).data


def as_records(array: AnyArray) -> AnyArray:
    """Return the memory of `array`, (N, ...) and without gaps, as N pieces: numpy moves one in a third of the time.

    Returns:
        A view of shape (N,), of a void dtype: what is written to one is in the other.
    """
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    pieces: AnyArray = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).reshape(-1)
    return pieces


def copy_and_count(pairs: list[tuple[Any, Any]], holder: object, attribute: str) -> None:
    """Copy as `copy_all` does and count one more in `attribute` of `holder`: both or neither, even on Ctrl-C."""
    count = getattr(holder, attribute) + 1
    try:
        copy_all(pairs)
        setattr(holder, attribute, count)
    except BaseException:
        copy_all(pairs)
        setattr(holder, attribute, count)
        raise


def copy_all(pairs: list[tuple[Any, Any]]) -> None:
    """Copy each source of (target, source) pairs to its target, all of them even if Ctrl-C arrives on the way."""
    try:
        for target, source in pairs:
            target[ALL] = source
    except BaseException:  # a state of which half has moved would be wrong for ever
        for target, source in pairs:
            target[ALL] = source
        raise
