"""Where the manifest lives in a .onnx file: two entries of `metadata_props`.

An ONNX file is one protobuf message, `ModelProto`; appending a field to its bytes adds it to the message. So the
manifest is written, found and left out again on the level of bytes, and the device needs no onnx package for it.
"""

from __future__ import annotations

from .protobuf import BYTES, VARINT, bytes_field, fields

MANIFEST_NAME = "stepcell"
CHECKSUM_NAME = "stepcell.sha256"
# Field numbers of onnx.proto: ModelProto.ir_version, ModelProto.metadata_props, StringStringEntryProto.key and .value.
_IR_VERSION, _METADATA_PROPS, _KEY, _VALUE = 1, 14, 1, 2


def is_onnx(content: bytes) -> bool:
    """Tell whether `content` begins as an ONNX file does: with the field `ir_version`."""
    return content[:1] == bytes([_IR_VERSION << 3 | VARINT])


def append_manifest(payload: bytes, manifest: bytes, checksum: bytes) -> bytes:
    """Return `payload` with the two entries behind it."""
    return payload + _entry(MANIFEST_NAME, manifest) + _entry(CHECKSUM_NAME, checksum)


def split_manifest(content: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Return (payload, manifest, checksum), or None where the message has no such entries.

    Raises:
        ValueError: `content` is not one whole protobuf message, or an entry stands in it twice.
    """
    payload: list[bytes] = []
    found: dict[str, bytes] = {}
    for number, kind, start, inner, end in fields(content):
        entry = _read_entry(content[inner:end]) if (number, kind) == (_METADATA_PROPS, BYTES) else None
        if entry is None or entry[0] not in (MANIFEST_NAME, CHECKSUM_NAME):
            payload.append(content[start:end])
        elif entry[0] in found:
            raise ValueError("its manifest stands in it twice")
        else:
            found[entry[0]] = entry[1]
    if MANIFEST_NAME not in found:
        return None
    return b"".join(payload), found[MANIFEST_NAME], found.get(CHECKSUM_NAME, b"")


def _read_entry(content: bytes) -> tuple[str, bytes] | None:
    values = {number: content[inner:end] for number, kind, _, inner, end in fields(content) if kind == BYTES}
    if _KEY not in values or _VALUE not in values:
        return None
    return values[_KEY].decode(errors="replace"), values[_VALUE]


def _entry(name: str, value: bytes) -> bytes:
    inner = bytes_field(_KEY, name.encode()) + bytes_field(_VALUE, value)
    return bytes_field(_METADATA_PROPS, inner)
