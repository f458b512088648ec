"""Weights of products as the engine reads them: in blocks of columns, in as few bytes as hold them exactly."""

from __future__ import annotations

import numpy as np

from ...common.arrays import AnyArray, Float32

WHOLE, HALF, BYTES = range(3)  # as in program.h
_WIDE, _MIDDLE, _NARROW = 64, 32, 16  # columns of a block, as in runners.c
_LARGEST = 127  # of int8 weights


def packed(weights: Float32, *, halves: bool, bytes: bool) -> tuple[int, AnyArray]:
    """Return how weights (M, N) are stored, and the content: blocks (M, columns), one behind the other.

    Args:
        weights: The weights.
        halves: They may be stored as float16, if that holds them exactly.
        bytes: They may be stored as int8 with a scale for each column, likewise; the scales come behind the blocks.
    """
    if bytes:
        found = _as_bytes(weights)
        if found is not None:
            whole, scales = found
            blocks = in_blocks(whole)
            padded = np.zeros(-(-len(scales) // _NARROW) * _NARROW, np.float32)
            padded[: len(scales)] = scales
            return BYTES, np.concatenate([blocks.view(np.uint8), padded.view(np.uint8)])
    if halves:
        with np.errstate(over="ignore"):
            half = weights.astype(np.float16)
        if (half.astype(np.float32) == weights).all():
            return HALF, in_blocks(half)
    return WHOLE, in_blocks(weights)


def _as_bytes(weights: Float32) -> tuple[AnyArray, Float32] | None:
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
                return np.rint(weights / scales).astype(np.int8), scales
    return None


def in_blocks(weights: AnyArray) -> AnyArray:
    """Return weights (M, N), N filled up with zeros to a multiple of the narrow blocks, block after block."""
    rows, columns = weights.shape
    filled = np.zeros((rows, -(-columns // _NARROW) * _NARROW), weights.dtype)
    filled[:, :columns] = weights
    blocks, begin = [], 0
    while begin < columns:
        left = columns - begin
        width = _WIDE if left > _WIDE - _NARROW else _MIDDLE if left > _NARROW else _NARROW
        blocks.append(filled[:, begin : begin + width].reshape(-1))
        begin += width
    return np.concatenate(blocks) if blocks else filled.reshape(-1)
