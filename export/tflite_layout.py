"""The bytes of a TFLite file: packs what the converter made once more, without what only a debugger reads.

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

from ..runtime.arrays import AnyArray
from ..runtime.ports import STEP_ROW

_FILE_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # bytes; interpreters read weights in place, and `force_align` of schema.fbs asks for this
_NEXT = b"next_"  # before the name of a state is that of the next one
_EMPTY = 0  # the buffer that stands for "no content" (schema.fbs)


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


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose content is aligned; the generated code forgets `force_align`."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.content = content

    def Pack(self, builder: Any) -> Any:  # noqa: N802
        vector = None
        if self.content:
            builder.StartVector(1, len(self.content), _ALIGNMENT)
            builder.head -= len(self.content)
            builder.Bytes[builder.head : builder.head + len(self.content)] = self.content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def pack_again(payload: bytes, signature_names: Mapping[str, str], rewrite: Callable[[Any], None]) -> bytes:
    """Return the TFLite file `payload` after `rewrite`, which is given its `schema.ModelT`.

    It comes without names of tensors, and with the signatures called by their new names.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(payload, 0))
    rewrite(model)
    for signature in model.signatureDefs:
        if signature.signatureKey.decode() == STEP_ROW:
            _number_alike(model.subgraphs[signature.subgraphIndex], signature)
    for signature in model.signatureDefs:
        old = signature.signatureKey.decode()
        signature.signatureKey = signature_names.get(old, old)
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
    model.buffers = [_AlignedBuffer(content) for content in places]
    builder = _SharingBuilder(len(payload))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def _number_alike(subgraph: Any, signature: Any) -> None:
    """Number the next states as the states are numbered: ai-edge-litert puts what XNNPACK computes there in that order.

    Where both lie alike, all of the next state is copied over the state as one piece of memory. (Where an operator is
    left outside of XNNPACK, as in `step`, the order is another one; the converter's own happens to be right there.)
    """
    inputs = {port.name: port.tensorIndex for port in signature.inputs}
    states = {inputs[name.removeprefix(_NEXT)]: index for name, index in _next_states(signature, inputs)}
    places = sorted(states.values())
    moved = dict(zip((states[state] for state in sorted(states)), places, strict=True))  # old number -> new one
    if len(moved) < len(states) or set(places) & set(inputs.values()):
        return  # one tensor is two states, or is handed through
    old_of = {new: old for old, new in moved.items()}
    subgraph.tensors = [subgraph.tensors[old_of.get(number, number)] for number in range(len(subgraph.tensors))]
    for holder in (subgraph, *subgraph.operators):
        holder.inputs, holder.outputs = (
            [moved.get(number, number) for number in numbers] for numbers in (holder.inputs, holder.outputs)
        )
    for port in signature.outputs:
        port.tensorIndex = moved.get(port.tensorIndex, port.tensorIndex)


def _next_states(signature: Any, inputs: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
    found = [(port.name, port.tensorIndex) for port in signature.outputs]
    return [(name, index) for name, index in found if name.startswith(_NEXT) and name.removeprefix(_NEXT) in inputs]


def _vector(numbers: Sequence[int] | None) -> AnyArray | None:
    return None if numbers is None else np.asarray(numbers, np.int32)
