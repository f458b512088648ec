"""The place of a line in a file that is rotated, and the files that follow it."""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

_COMPARED = 4096  # bytes before an offset
_TRIES = 100  # to look at a folder that is being rotated
# logrotate and its like append a number or a date, before the suffix too.
_ROTATED = re.compile(r"[.\-_]?\d[\dTZ:._\-]*")
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z")


class FileIdentity(NamedTuple):
    """What tells a file from another one of its name.

    Attributes:
        device: Number of its device, which may change with a restart of the machine.
        inode: Its number on the device, which another file may have after it is deleted.
        birth: Nanoseconds since 1970; None: the system does not tell.
        modified: The last write, in nanoseconds since 1970.
    """

    device: int
    inode: int
    birth: int | None
    modified: int

    @classmethod
    def of(cls, file: BinaryIO | Path) -> FileIdentity:
        """Return the identity of an open file, or of a path.

        Raises:
            OSError: There is no such file.
        """
        found = file.stat() if isinstance(file, Path) else os.fstat(file.fileno())
        return cls(found.st_dev, found.st_ino, _birth(file, found), found.st_mtime_ns)

    def is_same(self, other: FileIdentity) -> bool:
        """Return whether both are one file."""
        if self.birth is not None and other.birth is not None:
            return (self.inode, self.birth) == (other.inode, other.birth)
        return (self.device, self.inode) == (other.device, other.inode)

    def is_after(self, other: FileIdentity) -> bool:
        """Return whether this file was begun and written after the other one."""
        if self.birth is not None and other.birth is not None and self.birth <= other.birth:
            return False
        return self.modified >= other.modified


@dataclass(frozen=True)
class InputOffset:
    """Offset of a line in a file, with which the file is recognised later.

    Attributes:
        path: The name that is read, absolute.
        position: Offset of the line in bytes.
        line: Number of lines before it.
        before: sha256 of the bytes before it, 4096 of them or as many as there are; "": the file was truncated.
        device: See `FileIdentity`; None, as the following: not known.
        inode: Likewise.
        birth: Likewise.
        modified: Likewise.
    """

    path: str
    position: int
    line: int
    before: str
    device: int | None = None
    inode: int | None = None
    birth: int | None = None
    modified: int | None = None

    @classmethod
    def of(cls, path: Path, file: BinaryIO, position: int, line: int) -> InputOffset:
        """Return the offset of `position` in the open file, which is moved there."""
        return cls(str(path.absolute()), position, line, _digest(file, position), *FileIdentity.of(file))

    @classmethod
    def from_json(cls, found: Any) -> InputOffset | None:
        """Return the offset whose attributes are in a JSON object; None: it is another object."""
        kinds = {"path": str, "position": int, "line": int, "before": str}
        if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in kinds.items()):
            return None
        if not (0 <= found["position"] < 2**63 and 0 <= found["line"] < 2**63):
            return None
        others = ("device", "inode", "birth", "modified")
        known = {name: found[name] for name in others if type(found.get(name)) is int}
        return cls(**{name: found[name] for name in kinds}, **known)

    @property
    def identity(self) -> FileIdentity | None:
        """The identity of its file; None: it was saved by an earlier version."""
        if self.device is None or self.inode is None:
            return None
        return FileIdentity(self.device, self.inode, self.birth, self.modified or 0)

    def is_of(self, file: BinaryIO | Path) -> bool:
        """Return whether the offset is one of this file, as far as the system tells."""
        return self.identity is None or self.identity.is_same(FileIdentity.of(file))

    def fits(self, file: BinaryIO) -> bool:
        """Return whether the open file, which is moved, has the same bytes before the offset."""
        return os.fstat(file.fileno()).st_size >= self.position and self.before == _digest(file, self.position)


class FileContent:
    """Content of an open file, until it is truncated or overwritten.

    Attributes:
        path: The name that is read, absolute.
        has_changed: Whether it has been truncated or overwritten: its offsets are those of no content any more.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Take the open file as it is now."""
        self.path, self.has_changed = str(path.absolute()), False
        self._file, self._identity = file, FileIdentity.of(file)

    def part(self, content: bytes, end: int) -> FilePart:
        """Return a part that was read: `content` up to the offset `end`, with the 4096 bytes before its first line."""
        modified = os.fstat(self._file.fileno()).st_mtime_ns
        return FilePart(self, self._identity._replace(modified=modified), content, end)


class FilePart(NamedTuple):
    """A part of a file that was read. It tells offsets in any thread, and after the file has been closed."""

    of: FileContent
    identity: FileIdentity
    content: bytes
    end: int

    def offset(self, position: int, line: int) -> InputOffset:
        """Return the offset `position` of the line after `line`, one of the part."""
        last = len(self.content) - (self.end - position)
        before = "" if self.of.has_changed else sha256(self.content[max(0, last - _COMPARED) : last]).hexdigest()
        return InputOffset(self.of.path, position, line, before, *self.identity)


def is_at(file: BinaryIO, path: Path) -> bool:
    """Return whether `path` is that of the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def open_rotated(path: Path, identity: FileIdentity) -> tuple[BinaryIO, Path] | None:
    """Open a file by its identity, and return it with its path: `path`, or another in its folder; None: in neither."""
    for _ in range(_TRIES):
        current, siblings = _scan(path, any_name=True)
        places = [(path, current)] if current is not None else []
        found = next((each for each, one in [*places, *siblings] if one.is_same(identity)), None)
        if found is None:
            return None
        file = _open_same(found, identity)
        if file is not None:
            return file, found
    return None


def open_following(path: Path, before: FileIdentity) -> BinaryIO | None:
    """Open the first file of the log `path` that was written after the file `before`: a rotated one, or `path` itself.

    None: there is neither.
    """
    for _ in range(_TRIES):
        current, siblings = _scan(path)
        rotated = [
            (identity.birth or 0, identity.modified, each, identity)
            for each, identity in siblings
            if identity.is_after(before) and not identity.is_same(before) and each.suffix not in _COMPRESSED
            and not (current is not None and identity.is_same(current))
        ]  # fmt: skip
        first = min(rotated)[2:] if rotated else (path, current)
        if first[1] is None:
            return None
        file = _open_same(first[0], first[1])
        if file is not None:
            return file
    return None


def compressed_after(path: Path, before: FileIdentity) -> list[str]:
    """Return the names of rotated files that were written after `before` and cannot be read any more."""
    return sorted(
        each.name for each, identity in _siblings(path) if each.suffix in _COMPRESSED and identity.is_after(before)
    )


def _open_same(path: Path, identity: FileIdentity) -> BinaryIO | None:
    """Open `path` if it is still the file with this identity: a rotation may have given its name to another one."""
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by the caller
    except OSError:
        return None
    if FileIdentity.of(file).is_same(identity):
        return file
    file.close()
    return None


def _scan(path: Path, *, any_name: bool = False) -> tuple[FileIdentity | None, list[tuple[Path, FileIdentity]]]:
    """Return the identity of `path`, and its siblings, found twice alike: a rotation in between hides files."""
    before: list[tuple[Path, int, int | None]] = []
    for _ in range(_TRIES):
        current, found = _identity(path), list(_siblings(path, any_name=any_name))
        now = [(each, one.inode, one.birth) for each, one in found]
        now += [(path, current.inode, current.birth)] if current is not None else []
        if now == before:
            break
        before = now
    return current, found


def _siblings(path: Path, *, any_name: bool = False) -> Iterator[tuple[Path, FileIdentity]]:
    """Yield the regular files in the folder of `path`: those named after it, or all."""
    folders = dict.fromkeys((path.absolute().parent, Path(os.path.realpath(path)).parent))
    for folder in folders:
        try:
            files = sorted(folder.iterdir())
        except OSError:
            continue
        for file in files:
            if any_name or _is_named_after(file.name, path):
                identity = _identity(file)
                if identity is not None:
                    yield file, identity


def _is_named_after(name: str, path: Path) -> bool:
    """Return whether a file is named like a rotated `path`: log.1, log-20240131, log.1.gz, or app.1.log of app.log."""
    for suffix in _COMPRESSED:
        name = name.removesuffix(suffix)
    for start, end in ((path.name, ""), (path.stem, path.suffix)):
        if name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end):
            addition = name[len(start) : len(name) - len(end)]
            if _ROTATED.fullmatch(addition):
                return True
    return False


def _identity(path: Path) -> FileIdentity | None:
    """Return the identity of a regular file; None: there is none at `path`."""
    try:
        return FileIdentity.of(path) if stat.S_ISREG(path.stat().st_mode) else None
    except OSError:
        return None


def _digest(file: BinaryIO, position: int) -> str:
    first = max(0, position - _COMPARED)
    file.seek(first)
    return sha256(file.read(position - first)).hexdigest()


def _birth(file: BinaryIO | Path, found: os.stat_result) -> int | None:
    """Return the time of birth of a file in nanoseconds; None: the system does not tell."""
    seconds = getattr(found, "st_birthtime", None)
    if seconds is not None:
        nanoseconds: int = getattr(found, "st_birthtime_ns", round(seconds * 1e9))
        return nanoseconds
    statx = _statx()
    if statx is None:
        return None
    # int statx(int folder, const char *path, int flags, unsigned mask, struct statx *); Python has it from 3.15 on.
    here, is_empty_path, wants_birth = -100, 0x1000, 0x800
    buffer = ctypes.create_string_buffer(256)
    if isinstance(file, Path):
        code = statx(here, os.fsencode(file), 0, wants_birth, buffer)
    else:
        code = statx(file.fileno(), b"", is_empty_path, wants_birth, buffer)
    (mask,) = struct.unpack_from("=I", buffer.raw)
    born, rest = struct.unpack_from("=qI", buffer.raw, 80)
    return born * 10**9 + rest if code == 0 and mask & wants_birth and born else None


@lru_cache(1)
def _statx() -> Any | None:
    """Return the function of the C library of Linux; None: it has none."""
    try:
        return ctypes.CDLL(None).statx
    except (OSError, AttributeError, TypeError):
        return None
