"""Read and write protobuf messages, the encoding of .onnx files, without the protobuf package: a device has none.

A message is a sequence of fields; each has a number, a wire type and a content
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TypeAlias

VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
# Number, wire type, start of the field, start of its content, its end.
Field: TypeAlias = tuple[int, int, int, int, int]
Content: TypeAlias = bytes | memoryview


def fields(content: Content) -> list[Field]:
    """Return the fields of a message; raise ValueError if it is cut short."""
    fields = []
    position = 0
    while position < len(content):
        start = position
        key, position = read_varint(content, position)
        number, kind = key >> 3, key & 7
        inner = position
        if kind == VARINT:
            _, position = read_varint(content, position)
        elif kind == BYTES:
            length, inner = read_varint(content, position)
            position = inner + length
        elif kind in (FIXED_32, FIXED_64):
            position += 4 if kind == FIXED_32 else 8
        else:
            raise ValueError("it is not a protobuf message")
        if position > len(content) or number == 0:
            raise ValueError("it is cut short or not a protobuf message")
        fields.append((number, kind, start, inner, position))
    return fields


class Message:
    """A message and its fields by number; fields of another wire type than asked for are ignored."""

    def __init__(self, content: Content) -> None:
        """Read the fields of `content`; raise ValueError if it is cut short or no message."""
        self._content = memoryview(content)
        self._fields: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for number, kind, _, start, end in fields(self._content):
            self._fields[number, kind].append((start, end))

    def numbers(self, number: int) -> list[int]:
        """Return the integers of the field `number`, packed or one by one, as signed 64-bit numbers."""
        values = [read_varint(self._content, start)[0] for start, _ in self._fields[number, VARINT]]
        for start, end in self._fields[number, BYTES]:
            while start < end:
                value, start = read_varint(self._content, start)
                values.append(value)
        return [value - 2**64 if value >= 2**63 else value for value in values]

    def number(self, number: int, default: int = 0) -> int:
        """Return the integer field `number`, the last if there are several."""
        return next(reversed(self.numbers(number)), default)

    def floats(self, number: int) -> list[float]:
        """Return the float32 numbers of the field `number`, packed or one by one."""
        spans = [*self._fields[number, FIXED_32], *self._fields[number, BYTES]]
        if any((end - start) % 4 for start, end in spans):
            raise ValueError("it is cut short or not a protobuf message")
        return [each for start, end in spans for (each,) in struct.iter_unpack("<f", self._content[start:end])]

    def octets(self, number: int) -> list[memoryview]:
        """Return the contents of the fields `number`, strings and messages among them; they are not copied."""
        return [self._content[start:end] for start, end in self._fields[number, BYTES]]

    def texts(self, number: int) -> list[str]:
        """Return the strings of the fields `number`."""
        return [bytes(content).decode(errors="replace") for content in self.octets(number)]

    def text(self, number: int) -> str:
        """Return the string field `number`, "" if it is missing."""
        return next(reversed(self.texts(number)), "")

    def messages(self, number: int) -> list[Message]:
        """Return the messages of the fields `number`."""
        return [Message(content) for content in self.octets(number)]


def bytes_field(number: int, content: bytes) -> bytes:
    """Return the field `number` that holds `content`."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Return `value` in base 128, low digits first, all but the last with the high bit set."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def read_varint(content: Content, position: int) -> tuple[int, int]:
    """Return the varint at `position` and the position behind it; raise ValueError if it does not end."""
    value = shift = 0
    while position < len(content) and shift < 64:
        digit = content[position]
        value |= (digit & 127) << shift
        position += 1
        if digit < 128:
            return value, position
        shift += 7
    raise ValueError("it is cut short or not a protobuf message")
