"""Read flatbuffers, the encoding of .tflite files, without the flatbuffers package: a device has none.

A table begins with the distance back to its vtable, which holds the offset of each field in the table, or 0 for a field
with its default. Vectors, strings and other tables are at a distance forward from the field
(https://flatbuffers.dev/internals/). Every position is checked before it is read, so a damaged buffer ends in
`FlatbufferError` and in nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

_HEADER = 4  # bytes of a distance, and of the length before a vector
_MAX_TABLES = 1_000_000  # in one vector; a vector of tables may name one table a million times and fill the memory


class FlatbufferError(ValueError):
    """A buffer that is damaged or is none. The text completes a sentence: "it is damaged: ..."."""


@dataclass(frozen=True)
class Table:
    """One table of a flatbuffer.

    Attributes:
        content: The whole buffer.
        position: The first byte of the table.
    """

    content: bytes
    position: int

    def number(self, field: int, code: str, default: int = 0) -> int:
        """Return the integer `field` with the `struct` code `code`; `default` if it is missing."""
        position = self._position(field)
        return default if position is None else _read(self.content, position, code)

    def text(self, field: int) -> str:
        """Return the string `field`, "" if it is missing."""
        return bytes(self.octets(field)).decode(errors="replace")

    def octets(self, field: int) -> memoryview:
        """Return the bytes of the vector or string `field`, none if it is missing; they are not copied."""
        start, length = self._vector(field, 1)
        return memoryview(self.content)[start : start + length]

    def numbers(self, field: int, code: str) -> tuple[int, ...]:
        """Return the vector `field` of numbers with the `struct` code `code`, () if it is missing."""
        start, length = self._vector(field, struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{length}{code}", self.content, start)

    def table(self, field: int) -> Table | None:
        """Return the table `field`, None if it is missing."""
        position = self._position(field)
        return None if position is None else _table_at(self.content, _follow(self.content, position))

    def tables(self, field: int) -> tuple[Table, ...]:
        """Return the vector `field` of tables, () if it is missing."""
        start, length = self._vector(field, _HEADER)
        if length > _MAX_TABLES:
            raise FlatbufferError(f"it holds a list of {length} entries")
        positions = range(start, start + _HEADER * length, _HEADER)
        return tuple(_table_at(self.content, _follow(self.content, position)) for position in positions)

    def _position(self, field: int) -> int | None:
        """Return the position of `field`, None if it has its default."""
        vtable = self.position - _read(self.content, self.position, "i")
        size = _read(self.content, vtable, "H")
        entry = 4 + 2 * field  # after the sizes of vtable and table
        offset = _read(self.content, vtable + entry, "H") if entry + 2 <= size else 0
        return self.position + offset if offset else None

    def _vector(self, field: int, width: int) -> tuple[int, int]:
        """Return the position and the number of the elements of a vector; each has `width` bytes."""
        position = self._position(field)
        if position is None:
            return 0, 0
        start = _follow(self.content, position)
        length = _read(self.content, start, "I")
        if start + _HEADER + length * width > len(self.content):
            raise FlatbufferError(f"a list of {length} entries does not fit in it")
        return start + _HEADER, length


def root_table(content: bytes, identifier: bytes) -> Table:
    """Return the outermost table of a buffer that carries `identifier` in its bytes 4 to 7.

    Raises:
        FlatbufferError: It carries another one, or is cut short.
    """
    if content[4:8] != identifier:
        raise FlatbufferError(f"its bytes 4 to 7 are {content[4:8]!r} and not {identifier!r}")
    return _table_at(content, _follow(content, 0))


def _table_at(content: bytes, position: int) -> Table:
    _read(content, position, "i")
    return Table(content, position)


def _follow(content: bytes, position: int) -> int:
    """Return the position at the distance that is stored at `position`."""
    return position + _read(content, position, "I")


@lru_cache
def _struct_of(code: str) -> struct.Struct:
    return struct.Struct(f"<{code}")


def _read(content: bytes, position: int, code: str) -> int:
    layout = _struct_of(code)
    if not 0 <= position <= len(content) - layout.size:
        raise FlatbufferError(f"it refers to byte {position} and has {len(content)}")
    value: int = layout.unpack_from(content, position)[0]
    return value
