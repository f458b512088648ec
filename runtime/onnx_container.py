"""Where the manifest lives in a .onnx file: two entries of `metadata_props`.

An ONNX file is one protobuf message, `ModelProto`; appending a field to its bytes adds it to the message. So the
manifest is written, found and left out again on the level of bytes, and the device needs no onnx package for it.
"""

from __future__ import annotations

MANIFEST_NAME = "stepcell"
CHECKSUM_NAME = "stepcell.sha256"
# Field numbers of onnx.proto: ModelProto.ir_version, ModelProto.metadata_props, StringStringEntryProto.key and .value.
_IR_VERSION, _METADATA_PROPS, _KEY, _VALUE = 1, 14, 1, 2
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_Field = tuple[int, int, int, int, int]  # number, wire type, start of the field, start of its content, its end


def is_onnx(content: bytes) -> bool:
    """Tell whether `content` begins as an ONNX file does: with the field `ir_version`."""
    return content[:1] == bytes([_IR_VERSION << 3 | _VARINT])


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
    for number, kind, start, inner, end in _fields(content):
        entry = _read_entry(content[inner:end]) if (number, kind) == (_METADATA_PROPS, _BYTES) else None
        if entry is None or entry[0] not in (MANIFEST_NAME, CHECKSUM_NAME):
            payload.append(content[start:end])
        elif entry[0] in found:
            raise ValueError("its manifest stands in it twice")
        else:
            found[entry[0]] = entry[1]
    if MANIFEST_NAME not in found:
        return None
    return b"".join(payload), found[MANIFEST_NAME], found.get(CHECKSUM_NAME, b"")


def _fields(content: bytes) -> list[_Field]:
    """Return the fields of the outermost message, or raise ValueError where it is cut short."""
    fields = []
    position = 0
    while position < len(content):
        start = position
        key, position = _read_varint(content, position)
        number, kind = key >> 3, key & 7
        inner = position
        if kind == _VARINT:
            _, position = _read_varint(content, position)
        elif kind == _BYTES:
            length, inner = _read_varint(content, position)
            position = inner + length
        elif kind in (_FIXED_32, _FIXED_64):
            position += 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError("it is not a protobuf message")
        if position > len(content) or number == 0:
            raise ValueError("it is cut short or not a protobuf message")
        fields.append((number, kind, start, inner, position))
    return fields


def _read_entry(content: bytes) -> tuple[str, bytes] | None:
    values = {number: content[inner:end] for number, kind, _, inner, end in _fields(content) if kind == _BYTES}
    if _KEY not in values or _VALUE not in values:
        return None
    return values[_KEY].decode(errors="replace"), values[_VALUE]


def _entry(name: str, value: bytes) -> bytes:
    inner = _bytes_field(_KEY, name.encode()) + _bytes_field(_VALUE, value)
    return _bytes_field(_METADATA_PROPS, inner)


def _bytes_field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return `value` in base 128, low digits first, all but the last with the high bit set."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _read_varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(content) and shift < 64:
        digit = content[position]
        value |= (digit & 127) << shift
        position += 1
        if digit < 128:
            return value, position
        shift += 7
    raise ValueError("it is cut short or not a protobuf message")
