"""Reads flatbuffers, the encoding of .tflite files, without the flatbuffers package: a device has none.

A buffer is a web of tables. A table begins with the distance back to its vtable, which holds for each field where in
the table it stands, or 0 where it has its default. Vectors, strings and other tables stand elsewhere, at a distance
forward from the field (https://flatbuffers.dev/internals/). Every position is checked before anything is read from it,
so a damaged buffer ends in `FlatbufferError` and in nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

_HEADER = 4  # bytes of a distance, and of the length before a vector
_MOST_TABLES = 1_000_000  # in one vector; a vector of tables may name one table a million times and fill the memory


class FlatbufferError(ValueError):
    """The buffer is damaged, or is not one. The text completes a sentence: "it is damaged: ..."."""


@dataclass(frozen=True)
class Table:
    """One table of a flatbuffer.

    Attributes:
        content: The whole buffer.
        position: Where the table begins in it.
    """

    content: bytes
    position: int

    def number(self, field: int, code: str, default: int = 0) -> int:
        """Return the integer `field`, whose `struct` code is `code`, or `default` where it is not there."""
        place = self._place(field)
        return default if place is None else _read(self.content, place, code)

    def text(self, field: int) -> str:
        """Return the string `field`, "" where it is not there."""
        return bytes(self.octets(field)).decode(errors="replace")

    def octets(self, field: int) -> memoryview:
        """Return the bytes of the vector or string `field`, none where it is not there; they are not copied."""
        start, length = self._vector(field, 1)
        return memoryview(self.content)[start : start + length]

    def numbers(self, field: int, code: str) -> tuple[int, ...]:
        """Return the vector `field` of integers or floats, whose `struct` code is `code`, () where it is not there."""
        start, length = self._vector(field, struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{length}{code}", self.content, start)

    def table(self, field: int) -> Table | None:
        """Return the table `field`, None where it is not there."""
        place = self._place(field)
        return None if place is None else _table_at(self.content, _follow(self.content, place))

    def tables(self, field: int) -> tuple[Table, ...]:
        """Return the vector `field` of tables, () where it is not there."""
        start, length = self._vector(field, _HEADER)
        if length > _MOST_TABLES:
            raise FlatbufferError(f"a list of {length} entries stands in it")
        places = range(start, start + _HEADER * length, _HEADER)
        return tuple(_table_at(self.content, _follow(self.content, place)) for place in places)

    def _place(self, field: int) -> int | None:
        """Return where `field` stands, None where it has its default."""
        vtable = self.position - _read(self.content, self.position, "i")
        size = _read(self.content, vtable, "H")
        entry = 4 + 2 * field  # after the sizes of vtable and table
        offset = _read(self.content, vtable + entry, "H") if entry + 2 <= size else 0
        return self.position + offset if offset else None

    def _vector(self, field: int, width: int) -> tuple[int, int]:
        """Return where the elements of a vector begin and how many there are; each has `width` bytes."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = _follow(self.content, place)
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


def _follow(content: bytes, place: int) -> int:
    """Return where the distance that stands at `place` leads."""
    return place + _read(content, place, "I")


@lru_cache
def _struct_of(code: str) -> struct.Struct:
    return struct.Struct(f"<{code}")


def _read(content: bytes, place: int, code: str) -> int:
    layout = _struct_of(code)
    if not 0 <= place <= len(content) - layout.size:
        raise FlatbufferError(f"it refers to byte {place} and has {len(content)}")
    value: int = layout.unpack_from(content, place)[0]
    return value
