"""Raw states: the bytes that C printed from a model file saves and loads (`NAME_save`, `NAME_load`).

Layout: the first 8 bytes of the fingerprint; the state tensors in the order of the manifest, float32, little-endian;
for a model that does not answer at each step a uint32, its steps since the reset, as `steps_since_reset` counts them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from ..common.errors import DamagedStateError, OtherModelError
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import EVERY_STEP, AnswerTimes
from .snapshot import State, checked_state

_MARK = 8  # bytes of the fingerprint


def steps_since_reset(answers: AnswerTimes, seen: int) -> int:
    """Return `seen` without the full rounds between two answers: what a counter needs that runs for ever."""
    return seen if seen < answers.first else answers.first + (seen - answers.first) % answers.every


def raw_size(manifest: Manifest) -> int:
    """Return the number of bytes of a raw state."""
    return _MARK + 4 * sum(prod(tensor.shape) for tensor in manifest.state) + 4 * (manifest.answers != EVERY_STEP)


def pack_raw_state(file: ModelFile, state: Mapping[str, ArrayLike], *, symbols_seen: int = 0) -> bytes:
    """Return a state as the bytes that `NAME_load` reads.

    Args:
        file: The model file.
        state: The state, as `stream.state` is.
        symbols_seen: The symbols that led there from a reset, `stream.symbols_seen`.

    Raises:
        StateMismatchError: The state is not one of the model.
    """
    manifest = file.manifest
    arrays = checked_state(state, file)
    parts = [bytes.fromhex(manifest.fingerprint)[:_MARK]]
    parts += [arrays[tensor.name].astype("<f4").tobytes() for tensor in manifest.state]
    if manifest.answers != EVERY_STEP:
        parts.append(struct.pack("<I", steps_since_reset(manifest.answers, symbols_seen)))
    return b"".join(parts)


def unpack_raw_state(file: ModelFile, content: bytes) -> tuple[State, int]:
    """Return the state in bytes that `NAME_save` wrote, and its steps since the reset for `stream.set_state`.

    Of a model that answers at each step the C does not count its steps: they are 0.

    Raises:
        OtherModelError: It is of another model.
        DamagedStateError: It has another size.
        StateMismatchError: One of its numbers is not finite.
    """
    manifest = file.manifest
    if len(content) != raw_size(manifest):
        raise DamagedStateError(
            f"A raw state of {file.name} has {raw_size(manifest)} bytes, this one {len(content)}. Save it again."
        )
    if content[:_MARK] != bytes.fromhex(manifest.fingerprint)[:_MARK]:
        raise OtherModelError(f"The raw state is not of {file.name}. Take the model file that its C was made of.")
    begin, state = _MARK, {}
    for tensor in manifest.state:
        count = prod(tensor.shape)
        state[tensor.name] = np.frombuffer(content, "<f4", count, begin).reshape((1, *tensor.shape))
        begin += 4 * count
    steps = struct.unpack_from("<I", content, begin)[0] if manifest.answers != EVERY_STEP else 0
    return checked_state(state, file), steps
