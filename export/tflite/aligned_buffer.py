"""Buffers of a TFLite file whose contents are aligned, for the generated code of either package that has the schema."""

from __future__ import annotations

from typing import Any

_ALIGNMENT = 16  # bytes; interpreters read weights in place, and `force_align` of schema.fbs asks for this


def aligned_buffer(schema: Any, content: bytes) -> Any:
    """Return a `BufferT` of the generated module `schema`; the generated code forgets `force_align`."""

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802
            vector = None
            if content:
                builder.StartVector(1, len(content), _ALIGNMENT)
                builder.head -= len(content)
                builder.Bytes[builder.head : builder.head + len(content)] = content
                vector = builder.EndVector()
            schema.BufferStart(builder)
            if vector is not None:
                schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return AlignedBuffer()
