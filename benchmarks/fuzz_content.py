"""Ways to damage any file, by its suffix: bytes, text, archives (.keras, .npz), gzip, Parquet and SQLite.

Bytes are damaged as they are. Where a checksum of the container would refuse all of that (archives, gzip, Parquet),
half of the damages are made to the content, which is packed again.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import random
import re
import sqlite3
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_damage import PLAIN

from stepcell.runtime.streams.saved_state import read_saved_streams

Damaged = tuple[bytes, str]  # the content, and the kind of damage
SEALED = "packed again"  # in the kind of a damage that the checksums of the container do not show
_DEEP = 100_000
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_NUMBERS = (
    b"-1", b"0", b"-0.0", b"1e999", b"-1e308", b"NaN", b"Infinity", b"nan", b"inf", b"1" + b"0" * 400, b"9" * 5000,
    b"1" + b"0" * 30, b"18446744073709551616", b"9223372036854775808", b"-9223372036854775809", b"4294967296", b"1.5",
    b"2147483648", b"1_000", b"0x10", b"null", b"true", b'"1"', b"[]", b"{}", b"",
)  # fmt: skip
_PIECES = (
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0", b"\r", b"\n", b"\r\n", b"\x0c", b"\x85", b'"', b"'",
    b",", b";", b"\t", b"|", b"\\", b"\\ud800", b"\\u0000", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1b[2J", b"{", b"[", b"]",
    b"}", b":", b"=", b"null", b'""', b"\xe2\x80\xa8", b"\xe2\x80\xae", b" ", b"[" * _DEEP, b'{"a":' * _DEEP,
    b"[" * _DEEP + b"]" * _DEEP, b"x" * 200_000, b"9" * 5000,
)  # fmt: skip


def swapped(content: bytes, dice: random.Random) -> bytes:
    """Exchange two blocks of one size."""
    size = dice.choice((1, 4, 16, 64, 512))
    first, second = sorted(dice.randrange(len(content)) for _ in range(2))
    size = max(1, min(size, second - first, len(content) - second))
    one, other = content[first : first + size], content[second : second + size]
    return content[:first] + other + content[first + size : second] + one + content[second + size :]


def repeated(content: bytes, dice: random.Random) -> bytes:
    """Repeat a block, once or many times."""
    start, size = dice.randrange(len(content)), dice.randrange(1, 200)
    return content[:start] + content[start : start + size] * dice.choice((2, 2, 3, 1000)) + content[start + size :]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (*PLAIN, swapped, repeated)


def numbers(content: bytes, dice: random.Random) -> bytes:
    """Put other numbers, and values that are none, in the place of some."""
    for _ in range(dice.choice((1, 1, 2, 5))):
        places = list(_NUMBER.finditer(content))
        if places:
            place = dice.choice(places)
            content = content[: place.start()] + dice.choice(_NUMBERS) + content[place.end() :]
    return content


def pieces(content: bytes, dice: random.Random) -> bytes:
    """Insert bytes that a reader may stumble over, or overwrite with them."""
    for _ in range(dice.choice((1, 1, 2, 5))):
        place, piece = dice.randrange(len(content) + 1), dice.choice(_PIECES)
        content = content[:place] + piece + content[place + (len(piece) if dice.random() < 0.3 else 0) :]
    return content


def lines(content: bytes, dice: random.Random) -> bytes:
    """Leave a line out, write one twice, exchange two, or join two."""
    found = content.split(b"\n")
    first, second = dice.randrange(len(found)), dice.randrange(len(found))
    way = dice.randrange(4)
    if way == 0:
        del found[first]
    elif way == 1:
        found.insert(second, found[first])
    elif way == 2:
        found[first], found[second] = found[second], found[first]
    else:
        found[first : first + 2] = [b"".join(found[first : first + 2])]
    return b"\n".join(found)


def keys(content: bytes, dice: random.Random) -> bytes:
    """Rename, leave out or repeat a quoted key, or give it the value of another."""
    found = list(re.finditer(rb'"[^"\n]*"\s*:\s*', content))
    if not found:
        return pieces(content, dice)
    one, other = dice.choice(found), dice.choice(found)
    new = dice.choice((b'"x": ', b"", other[0], one[0] + b"1, " + one[0], one[0] + b"null, " + other[0]))
    return content[: one.start()] + new + content[one.end() :]


TEXT: tuple[Callable[[bytes, random.Random], bytes], ...] = (*BYTES, numbers, numbers, pieces, pieces, lines, keys)


def damaged_content(path: Path, dice: random.Random) -> Damaged:
    """Return the content of the valid file at `path`, damaged in one way, and the kind of damage."""
    content = path.read_bytes()
    again = _AGAIN.get(path.suffix)
    if again is None:
        way = dice.choice(TEXT)
        return way(content, dice), way.__name__
    if dice.random() < 0.5:
        way = dice.choice(BYTES)
        return way(content, dice), way.__name__
    return again(path, dice), SEALED


def _gzip_again(path: Path, dice: random.Random) -> bytes:
    content = dice.choice(TEXT)(gzip.decompress(path.read_bytes()), dice)
    way = dice.random()
    if way < 0.1:
        return gzip.compress(content[:100]) + gzip.compress(content[100:])
    return gzip.compress(content, 1) + (b"rubbish" if way < 0.2 else b"")


def _archive_again(path: Path, dice: random.Random) -> bytes:
    """Return the archive with one member damaged, renamed, left out, repeated, or in place of a bomb."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    index = dice.randrange(len(members))
    name, content = members[index]
    way = dice.random()
    if way < 0.5:
        members[index] = (
            name,
            _with_header(content, dice) if name.endswith(".npy") else dice.choice(TEXT)(content, dice),
        )
    elif way < 0.6:
        strange = (
            "x",
            "../../evil",
            "/etc/evil",
            "a/b/c",
            "plain",
            "x" * 60_000,
            "\ud7ff\x1b[2J",
            "h0.npy",
            name + "/",
        )
        members[index] = dice.choice(strange), content
    elif way < 0.7:
        del members[index]
    elif way < 0.8:
        members.append((name, dice.choice(members)[1]))
    elif way < 0.9:
        other = dice.randrange(len(members))
        members[index], members[other] = (name, members[other][1]), (members[other][0], content)
    file = io.BytesIO()
    method = dice.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for each, its_content in members:
            archive.writestr(each, its_content)
    packed = file.getvalue()
    if way >= 0.9:
        return _with_directory(packed, dice) if way < 0.97 else _bomb(name)
    return packed


def _with_header(content: bytes, dice: random.Random) -> bytes:
    """Return a .npy file whose header lies, or whose numbers are others."""
    way = dice.random()
    if way < 0.3:
        return dice.choice(BYTES)(content, dice)
    end = 10 + int.from_bytes(content[8:10], "little")
    header, numbers = content[10:end].decode("latin-1"), bytearray(content[end:])
    if way < 0.5 and numbers:
        place = dice.randrange(len(numbers))
        new = dice.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff", b"\xff" * 8, bytes(8)))
        numbers[place // 4 * 4 : place // 4 * 4 + len(new)] = new
    else:
        shape = re.search(r"'shape': (\([^)]*\))", header)
        kinds = ("|O", "<U4", "<M8[s]", "<c16", "|S9999", "<f8", ">f4", "<i8", "|V4", "<f4, <f4", "|b1", "\ud7ff")
        shapes = ("(1099511627776,)", "(2147483648, 4)", "(-1,)", "(0,)", "()", "(1,1,1,1,1)", "((1,),)", "(1.5,)",
                  "(" * 500 + ")" * 500, "x", "(9" + "9" * 400 + ",)", "(300000000,)")  # fmt: skip
        if dice.random() < 0.5:
            header = re.sub(r"'descr': '[^']*'", f"'descr': '{dice.choice(kinds)}'", header)
        elif shape:
            header = header.replace(shape[1], dice.choice(shapes))
        else:
            header = header.replace("False", dice.choice(("True", "None", "[", "'")))
    text = header.rstrip().encode("utf-8", "replace") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text[:65_535]).to_bytes(2, "little") + text[:65_535] + bytes(numbers)


def _with_directory(content: bytes, dice: random.Random) -> bytes:
    """Return an archive whose directory lies: a flag, method, size or offset is another."""
    changed = bytearray(content)
    starts = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    places = (4, 6, 8, 10, 12, 16, 20, 24, 28, 30, 32, 36, 42)
    place = dice.choice(starts) + dice.choice(places)
    new = dice.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\x01\0", b"\x63\0", b"\x0c\0", b"\x0e\0"))
    changed[place : place + len(new)] = new
    return bytes(changed)


def _bomb(name: str) -> bytes:
    """Return an archive of 2 MB whose member `name` is 2 GB of blanks."""
    packed, checksum, size = _blanks()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"")
    content = bytearray(file.getvalue())
    fields = (8).to_bytes(2, "little"), checksum.to_bytes(4, "little"), len(packed).to_bytes(4, "little")
    size_field = size.to_bytes(4, "little")
    directory, local_end = content.find(b"PK\x01\x02"), 30 + len(name.encode())
    content[8:10], content[14:18], content[18:22], content[22:26] = *fields, size_field
    at = directory
    content[at + 10 : at + 12], content[at + 16 : at + 20], content[at + 20 : at + 24] = fields
    content[at + 24 : at + 28] = size_field
    end = content.rfind(b"PK\x05\x06")
    content[end + 16 : end + 20] = (directory + len(packed)).to_bytes(4, "little")
    return bytes(content[:local_end]) + packed + bytes(content[local_end:])


@functools.cache
def _blanks() -> tuple[bytes, int, int]:
    """Return 2 GB of blanks, compressed, their CRC-32 and their number; made of one compressed piece, repeated."""
    piece, count = b" " * 2**20, 2000
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(count):
        checksum = zlib.crc32(piece, checksum)
    return packed * count + packer.flush(), checksum, len(piece) * count


def _parquet_again(path: Path, dice: random.Random) -> bytes:
    """Return the table with a column of another type, strange cells, or other columns."""
    import pyarrow as pa
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    count, index = len(table), dice.randrange(table.num_columns)
    wrong = pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(np.arange(count + 1, dtype="<i4")), pa.py_buffer(b"\xff" * count)]
    )
    columns: list[Any] = [
        wrong,
        pa.nulls(count),
        pa.array([None, *["open"] * (count - 1)]),
        pa.array([[1, 2]] * count),
        pa.array([{"a": 1}] * count),
        pa.array([b"\xff\xfe"] * count),
        pa.array([dice.choice((2**63 - 1, -(2**63), 0))] * count),
        pa.array([2**64 - 1] * count, pa.uint64()),
        pa.array([dice.choice((float("nan"), float("inf"), 1e300, -0.0))] * count),
        pa.array([dice.choice((2**63 - 1, -(2**63), 0))] * count, pa.timestamp(dice.choice(("s", "ms", "us", "ns")))),
        pa.array([0] * count, pa.timestamp("us", dice.choice(("UTC", "Mars/Phobos", "+25:00")))),
        pa.array([dice.randrange(-(2**31), 2**31)] * count, pa.date32()),
        pa.array([0] * count, pa.duration("ns")),
        pa.array([True, *[False] * (count - 1)]),
        pa.array(["x" * 100_000] * count),
        pa.array(["\x1b[2J\u202e"] * count),
        pa.array([""] * count),
        pa.array(["open"] * count).dictionary_encode(),
    ]
    name = table.column_names[index]
    way = dice.random()
    if way < 0.7:
        table = table.set_column(index, name, dice.choice(columns))
    elif way < 0.8:
        table = table.drop_columns([name])
    elif way < 0.9:
        table = table.append_column(dice.choice((name, "", "\x1b", "a" * 10_000)), dice.choice(columns))
    else:
        table = table.slice(0, dice.choice((0, 1)))
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    return file.getvalue()


def _state_again(path: Path, dice: random.Random) -> bytes:
    """Return a saved state with other content, other counts or another note, and its checksum made right."""
    if dice.random() < 0.6:
        saved = read_saved_streams(path)
        note = dice.choice((numbers, keys))(json.dumps(dict(saved.note)).encode(), dice)
        counts = (0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1)
        streams = {key: replace(one, symbols_seen=dice.choice(counts)) for key, one in saved.streams.items()}
        with suppress(ValueError, RecursionError, TypeError):  # no JSON object any more
            return replace(
                saved, note=json.loads(note), streams=streams if dice.random() < 0.3 else saved.streams
            ).to_bytes()
    body = dice.choice(TEXT)(path.read_bytes()[:-32], dice)
    return body + sha256(body).digest()


def _database_again(path: Path, dice: random.Random) -> bytes:
    """Return the database with a cell, a row or a table changed by SQL."""
    with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
        copy = Path(folder, "copy.db")
        copy.write_bytes(path.read_bytes())
        database = sqlite3.connect(copy)
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = dice.choice(tables)
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        (count,) = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        column, row = dice.choice([name for name in columns if name != "key"]), dice.randrange(count or 1)
        values = (None, "", "x", -1, 0, 1, 2**31, 2**63 - 1, -(2**63), 1.5, float("inf"), b"", b"\xff", "9" * 5000)
        way = dice.random()
        try:
            if way < 0.6:
                what: Any = dice.choice(values)
                chosen = f'FROM "{table}" LIMIT 1 OFFSET {row}'
                (old,) = database.execute(f'SELECT "{column}" {chosen}').fetchone() or (None,)
                if isinstance(old, bytes) and dice.random() < 0.7:
                    what = dice.choice(BYTES)(old, dice)
                elif isinstance(old, int) and dice.random() < 0.4:
                    what = old + dice.choice((1, -1, 1000))
                database.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid IN (SELECT rowid {chosen})', (what,))
            elif way < 0.75:
                database.execute(f'ALTER TABLE "{table}" DROP COLUMN "{column}"')
            elif way < 0.85:
                database.execute(f'DROP TABLE "{table}"')
            elif way < 0.95:
                database.execute(f'ALTER TABLE "{table}" ADD COLUMN more INTEGER DEFAULT 7')
            else:
                database.execute(f"PRAGMA user_version = {dice.choice((1, 7, 2**31 - 1))}")
            database.commit()
        except sqlite3.Error:  # a column that cannot be dropped, a value that a constraint forbids
            pass
        database.close()
        return copy.read_bytes()


_AGAIN: dict[str, Callable[[Path, random.Random], bytes]] = {
    ".gz": _gzip_again, ".keras": _archive_again, ".npz": _archive_again, ".parquet": _parquet_again,
    ".db": _database_again, ".state": _state_again,
}  # fmt: skip
