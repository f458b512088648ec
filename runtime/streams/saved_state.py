"""Saved streams: their states as bytes that any engine can read and write (the README documents them).

Reads saved streams and refuses, by name, whatever is not as it was written.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..common.arrays import Float32
from ..common.atomic_write import atomic_write
from ..common.errors import (
    DamagedStateError,
    ForeignStateError,
    NewerStateError,
    OtherModelError,
    StateMismatchError,
    StateNotFoundError,
    check_version,
)
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from .snapshot import Snapshot, checked_state

MAGIC, VERSION = b"stepsave", 1
_MOST = 2**63 - 1  # symbols that a stream can have seen
STATE, ANSWER = 0, 1  # kinds of tensors
DTYPE = "<f4"
_encode_note = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class SavedStreams:
    """The streams of one model, as they are saved.

    Attributes:
        fingerprint: That of the model file they were stepped with.
        state: Name -> shape without the batch of each tensor of the state.
        answers: The same of each output, the main one first.
        streams: Where each stream is, by key; a stream that was saved by itself has the key "".
        note: A JSON object of the program that saved them.
    """

    fingerprint: str
    state: Shapes
    answers: Shapes
    streams: Mapping[str, Snapshot]
    note: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, manifest: Manifest, streams: Mapping[str, Snapshot], note: Mapping[str, Any] | None = None
    ) -> SavedStreams:
        """Return streams, ready to be saved.

        Args:
            manifest: Of the model that they belong to.
            streams: Key -> where it is; the key is empty for a stream saved by itself.
            note: What to write beside them, JSON.
        """
        state = {tensor.name: tensor.shape for tensor in manifest.state}
        answers = {
            manifest.answer: (manifest.output_size,),
            **{o.name: (o.size,) for o in manifest.extra_outputs},
        }
        return cls(manifest.fingerprint, state, answers, streams, note or {})

    def to_file(self, path: str | Path) -> None:
        """Write `to_bytes()` to `path`, so that a crash or power cut leaves the old file or the new one.

        Raises:
            StateMismatchError, OutputError: They cannot be saved. What stood at `path` still stands there.
        """
        atomic_write(Path(path), self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return them as bytes; equal streams give equal bytes.

        Raises:
            StateMismatchError: A number is not finite: no stream can go on from there.
        """
        tensors = [(STATE, *entry) for entry in self.state.items()]
        tensors += [(ANSWER, *entry) for entry in self.answers.items()]
        note = _encode_note(dict(self.note))
        head = _head(self.fingerprint, tuple(tensors))
        pieces = [head, _with_length(note, "I"), struct.pack("<Q", len(self.streams))]
        for key, snapshot in self.streams.items():
            arrays = [snapshot.state[name] for name in self.state]
            arrays += [] if snapshot.answers is None else [snapshot.answers[name] for name in self.answers]
            numbers = b"".join([np.asarray(array, DTYPE).tobytes() for array in arrays])
            if not np.isfinite(np.frombuffer(numbers, DTYPE)).all():
                raise StateMismatchError(
                    f"The stream {key!r} has a state or answer that is not finite, so nothing was saved. "
                    "Go on from an earlier save, or reset it."
                )
            count = struct.pack("<QB", snapshot.symbols_seen, snapshot.answers is not None)
            pieces += [_with_length(key, "I"), count, numbers]
        content = b"".join(pieces)
        return content + sha256(content).digest()

    def checked(self, file: ModelFile, name: str, *, ignore_fingerprint: bool = False) -> dict[str, Snapshot]:
        """Return the streams, all of which can go on with the model of `file`.

        Args:
            file: The model.
            name: What they were read from, for messages.
            ignore_fingerprint: Take them from another model file too, if it has the same names and shapes.

        Raises:
            OtherModelError: They were saved with another model.
            StateMismatchError: Names or shapes are not those of the model, or a number is not finite.
        """
        wanted = SavedStreams.of(file.manifest, {})
        if self.fingerprint != wanted.fingerprint and not ignore_fingerprint:
            raise OtherModelError(
                f"{name} was saved with a model of fingerprint {self.fingerprint[:12]}..., {file.name} has "
                f"{wanted.fingerprint[:12]}... Use the file it was saved with. If both are one network, in another "
                "format or precision, let it pass with ignore_fingerprint=True (in a command: --ignore-fingerprint)."
            )
        if (self.state, self.answers) != (wanted.state, wanted.answers):
            raise StateMismatchError(
                f"{name} holds the state {self.state} and the answers {self.answers}; {file.name} wants "
                f"{wanted.state} and {wanted.answers}. Use the model it was saved with."
            )
        answers = [answer for one in self.streams.values() for answer in (one.answers or {}).values()]
        if not all(np.isfinite(answer).all() for answer in answers):
            raise StateMismatchError(f"{name} holds an answer that is not finite. Go on from an earlier copy of it.")
        return {
            key: Snapshot(checked_state(one.state, file), one.symbols_seen, one.answers)
            for key, one in self.streams.items()
        }


@lru_cache(maxsize=16)
def _head(fingerprint: str, tensors: tuple[tuple[int, str, tuple[int, ...]], ...]) -> bytes:
    """Return what stands before the note: it is the same for all streams of a model."""
    pieces = [struct.pack("<8sI32sH", MAGIC, VERSION, bytes.fromhex(fingerprint), len(tensors))]
    for role, name, shape in tensors:
        pieces += [bytes([role]), _with_length(name, "H"), _with_length(DTYPE, "B")]
        pieces.append(struct.pack(f"<B{len(shape)}I", len(shape), *shape))
    return b"".join(pieces)


def _with_length(text: str, length_format: str) -> bytes:
    content = text.encode(errors="surrogatepass")  # a key may come from anywhere
    return struct.pack(f"<{length_format}", len(content)) + content


_CHECKSUM_SIZE = 32  # sha256 of all before; it ends the bytes of every version
_REMEDY = "Go on from an earlier copy of it, or without one."


def read_saved_streams(path: str | Path) -> SavedStreams:
    """Read a file of `SavedStreams.to_file`, `Stream.save`, `Fleet.save` or `stepcell predict --state`.

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
    """Read bytes of `SavedStreams.to_bytes`; messages call them `name`.

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
    check_version(version, VERSION, name, NewerStateError, called="version")
    try:
        if version < 1:
            raise ValueError("its version is 0")
        return reader.streams()
    except (ValueError, RecursionError) as error:  # the checksum is right: somebody's own writer has a mistake
        raise DamagedStateError(f"{name} is damaged: {error}. {_REMEDY}") from error


class _Reader:
    """Reads one part after the other; raises ValueError with the problem."""

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
        """Return the streams that follow the version."""
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
            if seen > _MOST:
                raise ValueError(f"the stream {key!r} has seen {seen:,} symbols, more than can be counted")
            if key in streams:
                raise ValueError(f"the stream {key!r} stands in it twice")
            answers = {name: self.array(shape) for name, shape in shapes[ANSWER].items()} if answered else None
            streams[key] = Snapshot(state, seen, answers)
        if self._position != len(self._content):
            raise ValueError(f"{len(self._content) - self._position} bytes too many stand before the checksum")
        return SavedStreams(fingerprint, shapes[STATE], shapes[ANSWER], streams, note)
