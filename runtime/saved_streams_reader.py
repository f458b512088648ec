"""Reads saved streams and refuses, by name, whatever is not as it was written."""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import Float32
from .errors import DamagedStateError, ForeignStateError, NewerStateError, StateNotFoundError
from .format_number import refuse_newer
from .saved_streams import ANSWER, DTYPE, MAGIC, STATE, VERSION, SavedStreams
from .snapshot import Snapshot

_CHECKSUM_SIZE = 32  # sha256 of all before; it ends the bytes of every version
_REMEDY = "Go on from an earlier copy of it, or without one."


def read_saved_streams(path: str | Path) -> SavedStreams:
    """Read what `SavedStreams.to_file`, `Stream.save`, `Fleet.save` or `stepcell predict --state` wrote.

    Args:
        path: The file.

    Raises:
        StateNotFoundError: There is no such file, or it cannot be read.
        SavedStateError: As `parse_saved_streams` does.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StateNotFoundError(f"There is no saved state {path}.") from None
    except OSError as error:
        raise StateNotFoundError(f"Cannot read {path}: {error.strerror or error}.") from error
    return parse_saved_streams(content, path.name)


def parse_saved_streams(content: bytes, name: str) -> SavedStreams:
    """Read what `SavedStreams.to_bytes` returned; `name` is what messages call it.

    Raises:
        ForeignStateError: It is something else.
        DamagedStateError: A byte of it is not what was written, or some are missing.
        NewerStateError: It was written by a later version.
    """
    if content[: len(MAGIC)] != MAGIC[: len(content)]:
        raise ForeignStateError(
            f"{name} is no saved state. Those are made by Stream.save and by: stepcell predict MODEL --state FILE"
        )
    if len(content) < len(MAGIC) + 4 + _CHECKSUM_SIZE:
        raise DamagedStateError(f"{name} is cut short: it has {len(content)} bytes. {_REMEDY}")
    body, checksum = content[:-_CHECKSUM_SIZE], content[-_CHECKSUM_SIZE:]
    found = sha256(body).digest()
    if found != checksum:
        raise DamagedStateError(
            f"{name} is damaged or cut short: its content has sha256 {found.hex()[:12]}..., its end says "
            f"{checksum.hex()[:12]}... {_REMEDY}"
        )
    reader = _Reader(body)
    reader.take(len(MAGIC))
    (version,) = reader.unpack("I")
    refuse_newer(version, VERSION, name, NewerStateError, called="version")
    try:
        if version < 1:
            raise ValueError("its version is 0")
        return reader.streams()
    except (ValueError, RecursionError) as error:  # the checksum is right: somebody's own writer has a mistake
        raise DamagedStateError(f"{name} is damaged: {error}. {_REMEDY}") from error


class _Reader:
    """Reads one part after the other; ValueError says what is wrong."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._position = 0

    def take(self, count: int) -> bytes:
        found = self._content[self._position : self._position + count]
        if len(found) < count:
            raise ValueError(f"it ends after {len(self._content)} bytes, in the middle of something")
        self._position += count
        return found

    def unpack(self, format: str) -> tuple[Any, ...]:
        return struct.unpack(f"<{format}", self.take(struct.calcsize(f"<{format}")))

    def text(self, length_format: str) -> str:
        return self.take(self.unpack(length_format)[0]).decode(errors="surrogatepass")

    def array(self, shape: tuple[int, ...]) -> Float32:
        return np.frombuffer(self.take(4 * prod(shape)), DTYPE).astype(np.float32).reshape(shape)

    def streams(self) -> SavedStreams:
        """Return what stands after the version."""
        fingerprint = self.take(32).hex()
        shapes: dict[int, dict[str, tuple[int, ...]]] = {STATE: {}, ANSWER: {}}
        for _ in range(self.unpack("H")[0]):
            (role,), name, dtype = self.unpack("B"), self.text("H"), self.text("B")
            if role not in shapes or dtype != DTYPE or any(name in one for one in shapes.values()):
                raise ValueError(f"the tensor {name!r} of kind {role} and type {dtype!r} is not known or listed twice")
            shapes[role][name] = self.unpack(f"{self.unpack('B')[0]}I")
        note = json.loads(self.text("I"))
        if not isinstance(note, dict):
            raise ValueError("its note is no JSON object")
        streams: dict[str, Snapshot] = {}
        for _ in range(self.unpack("Q")[0]):
            key = self.text("I")
            seen, answered = self.unpack("QB")
            state = {name: self.array(shape)[np.newaxis] for name, shape in shapes[STATE].items()}
            if key in streams:
                raise ValueError(f"the stream {key!r} stands in it twice")
            answers = {name: self.array(shape) for name, shape in shapes[ANSWER].items()} if answered else None
            streams[key] = Snapshot(state, seen, answers)
        if self._position != len(self._content):
            raise ValueError(f"{len(self._content) - self._position} bytes too many stand before the checksum")
        return SavedStreams(fingerprint, shapes[STATE], shapes[ANSWER], streams, note)
