"""Patches: the numbers that each output of a convolution or pooling over an image looks at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ...runtime.common.arrays import AnyArray, Ids
from ..ops import Ops, Value, Weights
from .keras_graph import KerasLayer, LayerCall
from .past import past_inputs
from .rule import CannotStepError, LayerStep, shapes_of, stateless

Pair = tuple[int, int]


@dataclass(frozen=True)
class Patches:
    """Where the patches of an image of shape (rows, columns, C) are.

    Attributes:
        indices: int32 of shape (P, K): the K places that output P looks at, in an image whose places are in a row.
        inside: float32 of shape (P, K, 1): 0 where padding is, whose index is any other; None: there is no padding.
        shape: The outputs as rows and columns, of which there are P in all.
    """

    indices: Ids
    inside: Weights | None
    shape: tuple[int, ...]

    @property
    def places(self) -> int:
        """How many places an output looks at, K."""
        return self.indices.shape[1]

    def cut(self, a: Ops, image: Value) -> Value:
        """Return the patches of `image`, (B, rows, columns, C) or any reshape of it, as (B, P, K, C)."""
        channels = image.shape[-1]
        flat = a.reshape(image, [prod(image.shape[1:-1]), channels])
        return a.reshape(a.take(flat, self.indices.reshape(-1)), [*self.indices.shape, channels])

    def padded(self, a: Ops, patches: Value) -> Value:
        """Return `patches` with zeros where padding is."""
        return patches if self.inside is None else patches * a.constant(self.inside)


def patches_of(size: Pair, kernel: Pair, strides: Pair, dilation: Pair, padding: str | tuple[Pair, Pair]) -> Patches:
    """Return the patches of an image.

    Args:
        size: Rows and columns of the image.
        kernel: Rows and columns of a patch.
        strides: From one patch to the next, along rows and columns.
        dilation: From one place of a patch to the next, likewise.
        padding: "valid", "same", or zeros before and behind the image, likewise.
    """
    axes = zip(size, kernel, strides, dilation, _zeros(size, kernel, strides, dilation, padding), strict=True)
    places, inside = zip(*(_along_axis(*axis) for axis in axes), strict=True)  # (outputs, places) each
    indices = places[0][:, None, :, None] * size[1] + places[1][None, :, None, :]
    valid = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    outputs = indices.shape[:2]
    flat = indices.reshape(prod(outputs), -1).astype(np.int32)
    mask = valid.reshape(flat.shape)[..., None].astype(np.float32)
    return Patches(flat, None if mask.all() else mask, outputs)


def _zeros(size: Pair, kernel: Pair, strides: Pair, dilation: Pair, padding: str | tuple[Pair, Pair]) -> list[Pair]:
    """Return the zeros before and behind each axis; those of "same" are as in TensorFlow."""
    if padding == "valid":
        return [(0, 0), (0, 0)]
    if padding != "same":
        return [pair for pair in padding if not isinstance(pair, str)]
    found = []
    for n, k, s, d in zip(size, kernel, strides, dilation, strict=True):
        missing = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        found.append((missing // 2, missing - missing // 2))
    return found


def _along_axis(size: int, kernel: int, strides: int, dilation: int, zeros: Pair) -> tuple[Ids, AnyArray]:
    """Return the places that each output looks at along one axis, (outputs, kernel), and whether they are inside it."""
    before, behind = zeros
    outputs = (before + size + behind - (kernel - 1) * dilation - 1) // strides + 1
    if outputs < 1:
        raise CannotStepError(f"its window of {(kernel - 1) * dilation + 1} is larger than its input of {size}")
    places = np.arange(outputs)[:, None] * strides + np.arange(kernel)[None] * dilation - before
    return np.clip(places, 0, size - 1), (places >= 0) & (places < size)


def step_of_patches(
    layer: KerasLayer,
    call: LayerCall,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
    function: Callable[[Ops, Patches, Value], Value],
) -> LayerStep:
    """Return the step of a convolution or pooling over an image.

    The image is (time, frequency, channels), of which a step sees the last frames, or it is made within one step, where
    a layer of one dimension sees it as one row.

    Args:
        layer: The layer.
        call: Its call.
        kernel: Rows and columns of a patch.
        strides: From one patch to the next.
        dilation: From one place of a patch to the next.
        function: (arithmetic, patches, (B, P, K, C)) -> (B, P, N).

    Raises:
        CannotStepError: It looks at the future, or the shape of its input is not known.
    """
    if layer.data_format != "channels_last":
        raise CannotStepError(f"its data_format is {layer.data_format!r}; channels_last can be stepped")
    (rows, columns), (down, right), (apart, beside) = (_pair(sizes) for sizes in (kernel, strides, dilation))
    if call.timed:
        window = past_inputs(layer, call, rows, apart, down)
        size = rows, window.shape[0]
        zeros = (0, 0), _zeros(size, (rows, columns), (1, right), (1, beside), layer.padding)[1]
        patches = patches_of(size, (rows, columns), (1, right), (1, beside), zeros)  # the zeros before are in the past
        return window.step(lambda a, seen: _shaped(a, function(a, patches, patches.cut(a, seen)), patches.shape[1:]))
    *shape, _ = shapes_of(call)[0]
    padding = ((0, 0), ((columns - 1) * beside, 0)) if layer.padding == "causal" else layer.padding
    patches = patches_of(_pair(shape), (rows, columns), (down, right), (apart, beside), padding)
    made = patches.shape[-len(shape) :]
    return stateless(lambda a, x: _shaped(a, function(a, patches, patches.cut(a, x)), made))


def _pair(sizes: Sequence[int]) -> Pair:
    """Return sizes along rows and columns; those of one dimension are along the columns of one row."""
    return (1, int(sizes[0])) if len(sizes) == 1 else (int(sizes[0]), int(sizes[1]))


def _shaped(a: Ops, y: Value, shape: tuple[int, ...]) -> Value:
    return a.reshape(y, [*shape, y.shape[-1]])
