"""Weights of products as the engine reads them: in blocks of columns, in as few bytes as hold them exactly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...common.arrays import AnyArray, Float32
from ..step_plan.int8 import FEWEST_LEVELS, Int8Weights

WHOLE, HALF, BYTES = range(3)  # as in program.h
_WIDE, _MIDDLE, _NARROW = 64, 32, 16  # columns of a block, as in runners.c
_LARGEST = 127  # of int8 weights
_MOST_ROWS = 4096  # of them, as in program.h


class Packed(NamedTuple):
    """Weights (M, N) as the engine reads them.

    Attributes:
        kind: How they are stored.
        content: Blocks (M, columns), one behind the other. Of `BYTES` rows i and i + M / 2 lie side by side, and a
            scale for each column behind the blocks.
        levels: Of `BYTES` the largest integer that what they are multiplied with may become, so that no sum is beyond
            32 bits.
    """

    kind: int
    content: AnyArray
    levels: int = 0


def packed(weights: Float32, *, halves: bool, bytes: bool) -> Packed:
    """Return weights (M, N) in as few bytes as hold them exactly.

    Args:
        weights: The weights.
        halves: They may be stored as float16.
        bytes: They may be stored as int8 with a scale for each column. What they are multiplied with is rounded to 16
            bits then.
    """
    found = _as_bytes(weights) if bytes and len(weights) <= _MOST_ROWS else None
    if found is not None and found.levels >= FEWEST_LEVELS:
        half = -(-len(weights) // 2)
        pairs = np.zeros((2, half, weights.shape[1]), np.int8)
        pairs.reshape(2 * half, -1)[: len(weights)] = found.numbers
        scales = np.zeros(-(-len(found.scales) // _NARROW) * _NARROW, np.float32)
        scales[: len(found.scales)] = found.scales
        blocks = in_blocks(np.moveaxis(pairs, 0, -1))
        return Packed(BYTES, np.concatenate([blocks.view(np.uint8), scales.view(np.uint8)]), found.levels)
    if halves:
        with np.errstate(over="ignore"):
            half_precise = weights.astype(np.float16)
        if (half_precise.astype(np.float32) == weights).all():
            return Packed(HALF, in_blocks(half_precise))
    return Packed(WHOLE, in_blocks(weights))


def _as_bytes(weights: Float32) -> Int8Weights | None:
    """Return int8 numbers and a scale for each column that are exactly `weights` if multiplied, if there are any."""
    columns = np.abs(weights).max(axis=0, initial=0)
    scales, found = np.ones_like(columns), np.zeros(columns.shape, bool)
    for largest in (np.full_like(columns, columns.max(initial=0)), columns):  # one scale for all, or one for each
        middle = largest / np.float32(_LARGEST)
        for candidate in (middle, np.nextafter(middle, np.float32(np.inf)), np.nextafter(middle, np.float32(0))):
            tried = np.where(candidate > 0, candidate, np.float32(1)).astype(np.float32)
            whole = np.rint(weights / tried)
            right = ((np.abs(whole) <= _LARGEST) & (whole.astype(np.float32) * tried == weights)).all(axis=0)
            scales = np.where(right & ~found, tried, scales)
            found |= right
            if found.all():
                return Int8Weights(np.rint(weights / scales).astype(np.int8), scales)
    return None


def in_blocks(weights: AnyArray) -> AnyArray:
    """Return weights (M, N, ...), N filled up with zeros to a multiple of the narrow blocks, block after block."""
    rows, columns, *more = weights.shape
    filled = np.zeros((rows, -(-columns // _NARROW) * _NARROW, *more), weights.dtype)
    filled[:, :columns] = weights
    blocks, begin = [], 0
    while begin < columns:
        left = columns - begin
        width = _WIDE if left > _WIDE - _NARROW else _MIDDLE if left > _NARROW else _NARROW
        blocks.append(filled[:, begin : begin + width].reshape(-1))
        begin += width
    return np.concatenate(blocks) if blocks else filled.reshape(-1)
