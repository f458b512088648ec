"""The bytes of a TFLite file: repack the converter's file without the parts that only a debugger reads.

A file of 256 units in int8 has 390 KB of weights, and the converter puts 20 KB around them: names of inner tensors,
empty buffers and tables, its own versions, and the shape of each tensor although most are alike. None of that is needed
to run it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ...runtime.common.arrays import AnyArray
from ...runtime.format.tensor_specs import STEP
from .aligned_buffer import aligned_buffer

_FILE_IDENTIFIER = b"TFL3"
_NEXT = b"next_"  # before the name of a state is that of the next one
_NO_TENSOR = -1  # an input that is left out
_EMPTY = 0  # the buffer without content (schema.fbs)


class _SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that writes equal vectors of numbers once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: AnyArray) -> int:  # noqa: N802
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]


def repack(payload: bytes, signature_names: Mapping[str, str], rewrite: Callable[[Any], None]) -> bytes:
    """Return the TFLite file `payload` after `rewrite`, which is given its `schema.ModelT`.

    It comes without names of tensors, and with the signatures called by their new names.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(payload, 0))
    rewrite(model)
    for subgraph in model.subgraphs:
        _begin_with_symbols(model, subgraph)
    for signature in model.signatureDefs:
        old = signature.signatureKey.decode()
        name = signature.signatureKey = signature_names.get(old, old)
        if name == STEP:
            _align_state_order(model.subgraphs[signature.subgraphIndex], signature)
    contents = [b"" if buffer.data is None else bytes(bytearray(buffer.data)) for buffer in model.buffers]
    # Equal contents once, and none that nothing needs any more: the converter gives each tensor that is computed an
    # empty buffer of its own.
    places: dict[bytes, int] = {b"": _EMPTY}
    for tensor in (tensor for subgraph in model.subgraphs for tensor in subgraph.tensors):
        tensor.name = None
        tensor.buffer = places.setdefault(contents[tensor.buffer], len(places))
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
        tensor.shape, tensor.shapeSignature = _vector(tensor.shape), _vector(tensor.shapeSignature)
    for subgraph in model.subgraphs:
        subgraph.name = None
        for operator in subgraph.operators:
            operator.inputs, operator.outputs = _vector(operator.inputs), _vector(operator.outputs)
    model.metadata = model.description = None  # which converter, and the oldest TensorFlow that it thinks will do
    model.buffers = [aligned_buffer(schema, content) for content in places]
    builder = _SharingBuilder(len(payload))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def _begin_with_symbols(model: Any, subgraph: Any) -> None:
    """Let the operators come first that need symbols and counters alone, and no state.

    XNNPACK computes no lookups and no integers. Where these come before all else, the rest is one piece for it, and not
    two: a step of 50 units and one of 64 streams take 2 to 4 % less.
    """
    integers = {i for i in subgraph.inputs if subgraph.tensors[i].type == schema.TensorType.INT32}
    known = {
        _NO_TENSOR,
        *integers,
        *(i for i, t in enumerate(subgraph.tensors) if model.buffers[t.buffer].data is not None),
    }
    first, rest = [], []
    for operator in subgraph.operators:
        if known.issuperset(map(int, operator.inputs)):
            first.append(operator)
            known.update(map(int, operator.outputs))
        else:
            rest.append(operator)
    subgraph.operators = [*first, *rest]


def _align_state_order(subgraph: Any, signature: Any) -> None:
    """Number the states before all other inputs, large ones first, and the next states likewise, downwards.

    Interpreters put inputs into memory by their numbers, and outputs by their sizes and numbers, the last first (both
    do). Where states and next states lie alike, all of them are copied as one piece.
    """
    inputs = {port.name: port.tensorIndex for port in signature.inputs}
    following = {port.name: port.tensorIndex for port in signature.outputs if port.name.startswith(_NEXT)}
    states = [(inputs[name.removeprefix(_NEXT)], index) for name, index in following.items()]
    states.sort(key=lambda pair: (-int(np.prod(np.abs(subgraph.tensors[pair[0]].shape))), pair))
    others = sorted(set(inputs.values()) - {index for index, _ in states})
    order = [[*(index for index, _ in states), *others], [index for _, index in states]]
    places = [sorted(order[0]), sorted(order[1], reverse=True)]
    moved = {old: new for pair in zip(order, places, strict=True) for old, new in zip(*pair, strict=True)}
    if len(moved) < len(inputs) + len(states):
        return  # one tensor is two of them
    old_of = {new: old for old, new in moved.items()}
    subgraph.tensors = [subgraph.tensors[old_of.get(number, number)] for number in range(len(subgraph.tensors))]
    for holder in (subgraph, *subgraph.operators):
        holder.inputs, holder.outputs = (
            [moved.get(number, number) for number in numbers] for numbers in (holder.inputs, holder.outputs)
        )
    for port in (*signature.inputs, *signature.outputs):
        port.tensorIndex = moved.get(port.tensorIndex, port.tensorIndex)


def _vector(numbers: Sequence[int] | None) -> AnyArray | None:
    return None if numbers is None else np.asarray(numbers, np.int32)
