"""Recognise the sequences that a model learned from, also in a file that has grown since."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..common.arrays import AnyArray, Flags, Floats, Ids, Keys
from .recording import NO_SYMBOL, Recording
from .storage import blocks, release

MAX_KEYS = 8_192  # in a model file: 4 bytes each
_WINDOW = 1_024  # symbols at the end of the learned part of a stream
_NEIGHBOURS = 64  # sequences before one without a time, which belong to its key: short ones are alike
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def keys_by_name(names: Iterable[str], values: Iterable[AnyArray]) -> Keys:
    """Return the keys of S sequences, by their names and `values` of shape (S,), uint64."""
    keys = _hashes(names)
    for array in values:
        keys = _mix(keys * _GOLDEN + (array.astype(np.uint64) if array.dtype != np.float64 else array.view(np.uint64)))
    return keys


def keys_by_content(recording: Recording, values: Floats | None = None, names: Iterable[str] | None = None) -> Keys:
    """Return the keys of S sequences by their rows, those of their neighbours, and their names if any, uint64.

    Args:
        recording: The sequences.
        values: Numbers of each row, (N, F), by which rows without symbols are known; None: there are none.
        names: Names of the sequences; None: they have none.
    """
    starts = recording.starts
    sums: Keys = np.zeros(len(starts), np.uint64)
    total: Keys = np.zeros(1, np.uint64)
    for block in blocks(len(recording.ids)):  # sums before the first row of each sequence
        rows = row_hashes(recording.symbols, recording.ids[block], None if values is None else values[block])
        first, end = np.searchsorted(starts, [block.start, block.stop])
        index = np.arange(block.start, block.stop)
        positions = (index - starts[np.searchsorted(starts, index, "right") - 1]).astype(np.uint64)
        running = np.cumsum(np.append(total, _mix(rows + (positions + np.uint64(1)) * _GOLDEN)), dtype=np.uint64)
        sums[first:end] = running[starts[first:end] - block.start]
        total = running[-1:]
        release(recording.ids, values)
    sums[np.searchsorted(starts, len(recording.ids)) :] = total
    of_each: Keys = np.diff(sums)
    contents = _mix(of_each + recording.lengths.astype(np.uint64))
    near = min(_NEIGHBOURS, len(contents) - 1)  # the first ones are known by those after them
    keys = np.zeros(len(contents), np.uint64)
    for back in range(near + 1):
        step = np.uint64((back + 1) * int(_GOLDEN) % 2**64)
        keys[near:] += _mix(contents[near - back : len(contents) - back] + step)
    keys[:near] = _mix(keys[near] + np.arange(1, near + 1, dtype=np.uint64))
    return keys if names is None else _mix(keys + _hashes(names))


def row_hashes(symbols: Sequence[str], ids: Ids, values: Floats | None = None) -> Keys:
    """Return the hash of each of N rows, uint64: of its symbol, or where rows have none of its numbers.

    Args:
        symbols: The different symbols.
        ids: Indices in `symbols`, (N,).
        values: Numbers of each row, (N, F).
    """
    hashes = _hashes(symbols)[ids]
    if values is not None and tuple(symbols) == NO_SYMBOL:
        for column in values.astype(np.float32).T:
            hashes = _mix(hashes * _GOLDEN + column.view(np.uint32))
    return hashes


@dataclass(frozen=True, eq=False)
class LearnedData:
    """The sequences that a model learned from.

    Attributes:
        keys: Their keys, 32 bits each, in increasing order.
        every: Only keys that this number divides are listed, because there are many.
        window: For one long stream: number of symbols at the end of the part that was learned from; 0: sequences.
        digest: Hash of these symbols.
    """

    keys: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    every: int = 1
    window: int = 0
    digest: int = 0

    @classmethod
    def of(cls, train: Recording) -> LearnedData | None:
        """Return the data of a recording that is learned from; None: its sequences have no keys."""
        if len(train) == 1 and (train.keys is None or len(train.ids) >= _WINDOW):
            window = min(_WINDOW, len(train.ids))
            last = train.part(train.starts[1:] - window, train.starts[1:], train.has_start, train.has_end)
            return cls(window=window, digest=int(_windows(last, window)[-1]))
        if train.keys is None:
            return None
        keys = np.unique((train.keys >> np.uint64(32)).astype(np.uint32))
        every = 1
        while len(keys) > MAX_KEYS:
            every *= 2
            keys = keys[keys % every == 0]
        return cls(keys, every)

    @classmethod
    def from_json(cls, found: Any) -> LearnedData | None:
        """Return what `to_json` wrote; None: it is something else."""
        if not isinstance(found, Mapping):
            return None
        try:
            raw = base64.b64decode(found.get("keys", ""), validate=True)
            keys = np.frombuffer(raw, "<u4").astype(np.uint32)
            return cls(
                keys, max(1, int(found.get("every", 1))), int(found.get("window", 0)), int(found.get("digest", 0))
            )
        except (TypeError, ValueError, OverflowError, binascii.Error):
            return None

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        if self.window:
            return {"window": self.window, "digest": self.digest}
        keys = base64.b64encode(self.keys.astype("<u4").tobytes()).decode()
        return {"keys": keys, **({"every": self.every} if self.every > 1 else {})}

    def split(self, recording: Recording) -> tuple[Recording, Recording]:
        """Return the part of a recording that was learned from, and the rest; one of them may have no sequences."""
        if not self.window:
            known = self._known(recording)
            return recording.select(np.flatnonzero(known)), recording.select(np.flatnonzero(~known))
        cut = self._end_in(recording) if len(recording) == 1 else 0
        nothing = recording.select([])
        if not cut:
            return nothing, recording
        whole, no, yes = np.array([len(recording.ids)]), np.zeros(1, bool), np.ones(1, bool)
        ends = np.array([cut])
        is_end = cut == len(recording.ids)
        before = recording.part(np.array([0]), ends, yes, yes if is_end else no)
        return before, nothing if is_end else recording.part(ends, whole, no, yes)

    def describe(self, recording: Recording) -> str:
        """Return how much of a recording was learned from, in words; "": nothing."""
        known = self.split(recording)[0]
        if not len(known):
            return ""
        if self.window:
            return f"the first {len(known.ids):,} of its {len(recording.ids):,} symbols were learned from"
        if self.every > 1:
            share = min(1.0, len(known) * self.every / len(recording))
            return f"about {100 * share:.0f} % of its {len(recording):,} sequences were learned from"
        return f"{len(known):,} of its {len(recording):,} sequences were learned from"

    def _known(self, recording: Recording) -> Flags:
        if recording.keys is None:
            return np.zeros(len(recording), bool)
        return np.isin((recording.keys >> np.uint64(32)).astype(np.uint32), self.keys)

    def _end_in(self, recording: Recording) -> int:
        """Return the index behind the window, if it occurs once; else 0."""
        if len(recording.ids) < self.window:
            return 0
        found = np.flatnonzero(_windows(recording, self.window) == np.uint64(self.digest % 2**64))
        return int(found[0]) + self.window if len(found) == 1 else 0


def without_learned(learned: LearnedData | None, recording: Recording) -> tuple[Recording, Recording | None, str]:
    """Return the part of a recording that was not learned from, the rest or None, and a note or "".

    If all of it was learned from, nothing is left out.
    """
    if learned is None or not (found := learned.describe(recording)):
        return recording, None, ""
    known, new = learned.split(recording)
    if not len(new):
        return recording, None, f"all of its {len(recording):,} sequences were learned from: no figures for new data"
    more = ", those that are recognised are left out" if learned.every > 1 else " and are left out"
    return replace(new, remarks=recording.remarks), known, found + more


def _windows(recording: Recording, size: int) -> Keys:
    """Return the hash of each `size` consecutive symbols, with their times if these are times, uint64."""
    numbers = None if recording.features is None else recording.features.values
    values = row_hashes(recording.symbols, recording.ids, numbers)
    if recording.times is not None and recording.per_second > 1:
        values = _mix(values + recording.times.astype(np.int64).view(np.uint64))
    base = np.uint64(0x5851F42D4C957F2D)  # odd, so that it has an inverse modulo 2 ** 64
    powers = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(values), base)]), dtype=np.uint64)
    inverse = np.uint64(pow(int(base), -1, 2**64))
    inverses = np.cumprod(np.concatenate([[np.uint64(1)], np.full(len(values), inverse)]), dtype=np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(values * powers[:-1], dtype=np.uint64)])
    return _mix((sums[size:] - sums[:-size]) * inverses[: len(sums) - size])


def _hashes(texts: Iterable[str]) -> Keys:
    digests = (blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _mix(values: Keys) -> Keys:
    """Return the values after the last steps of splitmix64."""
    values = (values ^ (values >> np.uint64(30))) * _FACTORS[0]
    values = (values ^ (values >> np.uint64(27))) * _FACTORS[1]
    return values ^ (values >> np.uint64(31))
