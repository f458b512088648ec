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

_FILE_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # bytes; interpreters read weights in place, and `force_align` of schema.fbs asks for this
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


def _vector(numbers: Sequence[int] | None) -> AnyArray | None:
    return None if numbers is None else np.asarray(numbers, np.int32)
