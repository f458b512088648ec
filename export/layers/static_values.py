"""Values that are the same at all time steps: static inputs, and what layers make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras

_LOOKUPS = (keras.layers.Embedding, keras.layers.CategoryEncoding)
_REPEATING = ("Repeat", "Tile", "BroadcastTo")  # operations


def static_inputs(model: Any) -> frozenset[int]:
    """Return the positions of the inputs of `model` that have no time axis, beside others that have one.

    These are inputs of numbers, (batch, K). An input of the shape (batch, time steps) holds ids, which a layer with a
    table reads.
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    ids = inputs_of_ids(model)
    has_time = any(len(shape) > 2 or of_ids for shape, of_ids in zip(shapes, ids, strict=True))
    return frozenset(
        number
        for number, (tensor, of_ids) in enumerate(zip(model.inputs, ids, strict=True))
        if has_time and len(tensor.shape) == 2 and not of_ids and str(tensor.dtype).startswith("float")
    )


def inputs_of_ids(model: Any) -> list[bool]:
    """Tell for each input of `model` whether a layer with a table reads it, whatever its dtype."""
    return [any(_reads_ids(node) for node in _readers(model, tensor)) for tensor in model.inputs]


def _readers(model: Any, tensor: Any) -> Iterator[tuple[Any, int]]:
    """Yield the layers that read `tensor`, those inside nested models in their place, and which input it is."""
    functional = getattr(model, "_functional", None) or model
    for nodes in functional._nodes_by_depth.values():
        for node in nodes:
            for position, read in enumerate(node.arguments.keras_tensors):
                if read is not tensor:
                    continue
                inner = getattr(node.operation, "_functional", None) or node.operation
                if hasattr(inner, "_nodes_by_depth") and position < len(inner.inputs):
                    yield from _readers(inner, inner.inputs[position])
                else:
                    yield node.operation, position


def _reads_ids(reader: tuple[Any, int]) -> bool:
    return isinstance(reader[0], _LOOKUPS)


def spreads(layer: Any, before: Sequence[int | None], after: Sequence[int | None], *, timed: bool) -> bool:
    """Tell whether a call of `layer` makes a sequence of a static value: at each time step it is the same.

    Args:
        layer: The layer or operation.
        before: The shape of its input, with the batch.
        after: The shape of its output.
        timed: The input is such a sequence already, of one step perhaps.
    """
    name = type(layer).__name__
    if timed:
        return name in _REPEATING and tuple(before[2:]) == tuple(after[2:])
    if isinstance(layer, keras.layers.RepeatVector):
        return True
    inserts = name == "ExpandDims" and layer.axis in (1, -len(before))
    return (
        (inserts or isinstance(layer, keras.layers.Reshape)) and after[1] == 1 and tuple(after[2:]) == tuple(before[1:])
    )
