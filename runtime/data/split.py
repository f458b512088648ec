"""Split a recording into training data and held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Indices
from ..common.errors import CorpusError
from .recording import Recording
from .storage import blocks, release

SEQUENCE, TIME, LAST = "sequence", "time", "last"
_SEED = 20_190_521  # of the draw of sequences: fixed, so that the held-out data are never learned from elsewhere


@dataclass(frozen=True)
class HeldOut:
    """Hold out a share of the sequences, drawn at random or those that begin last, or all symbols from some time on.

    A split by time cuts a sequence that spans that time: its first part, which has no end, is learned from. Its second
    part is held out only if no sequence begins after that time, because the network knows the sequence; it begins from
    the initial state then, without the start symbol.

    Attributes:
        share: Share of the sequences, or of the symbols; 0 < share < 1.
        by: "sequence": at random; "last": those that begin last; "time": by time. Without an order column time is the
            order in the file. None: at random if there are several sequences, else by time.

    Raises:
        CorpusError: Values that make no sense; the message names all of them.
    """

    share: float = 0.1
    by: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        if not 0 < self.share < 1:
            problems.append(f"the share to hold out is {self.share}; give one between 0 and 1, for example 0.1")
        if self.by not in (None, SEQUENCE, TIME, LAST):
            problems.append(f"the split is by {self.by!r}, not by {SEQUENCE!r}, {TIME!r} or {LAST!r}")
        if problems:
            raise CorpusError(f"Nothing can be held out like this: {'; '.join(problems)}.")

    @classmethod
    def from_json(cls, found: Any, **changes: Any) -> HeldOut:
        """Return the split that a model file describes, with `changes`.

        Raises:
            CorpusError: It is described in an unknown way, or makes no sense.
        """
        values = {**(found if isinstance(found, Mapping) else {}), **changes}
        known = {"share": (int, float), "by": (str, type(None))}
        wrong = [name for name, value in values.items() if not isinstance(value, known.get(str(name), ()))]
        if wrong:
            raise CorpusError(
                f"The held-out part of the training is described in a way that this stepcell does not understand: "
                f"{', '.join(f'{name} is {values[name]!r}' for name in wrong)}. Give --held-out FRACTION."
            )
        return cls(**values)

    def split(self, recording: Recording) -> tuple[Recording, Recording]:
        """Return the training data and the held-out data.

        Raises:
            CorpusError: One of them would be empty.
        """
        by = self.by or (SEQUENCE if len(recording) > 1 else TIME)
        train, held_out = (self._by_time if by == TIME else self._by_sequence)(recording)
        for part, more in ((train, "less"), (held_out, "more")):
            if not len(part):
                raise CorpusError(
                    f"{recording.source or 'This'} has {len(recording):,} sequences of {len(recording.ids):,} symbols; "
                    f"nothing is left to {'learn from' if more == 'less' else 'evaluate'}. Hold out {more} than "
                    f"{self.share}{' or split by time' if by == SEQUENCE and len(recording) == 1 else ''}."
                )
        return train, held_out

    def _by_sequence(self, recording: Recording) -> tuple[Recording, Recording]:
        count = max(1, round(len(recording) * self.share))
        if self.by == LAST:
            firsts = np.minimum(recording.starts[:-1], max(len(recording.ids) - 1, 0))
            begins = firsts if recording.times is None else recording.times[firsts]
            drawn = np.argsort(begins, kind="stable")[::-1]
        else:
            drawn = np.random.default_rng(_SEED).permutation(len(recording))
        return recording.select(np.sort(drawn[count:])), recording.select(np.sort(drawn[:count]))

    def _by_time(self, recording: Recording) -> tuple[Recording, Recording]:
        length = len(recording.ids)
        count = min(round(length * (1 - self.share)), length - 1)
        firsts, ends = recording.starts[:-1], recording.starts[1:]
        cuts = np.clip(count, firsts, ends) if recording.times is None else _cuts(recording, recording.times, count)
        is_empty = firsts == ends
        early, late = (cuts > firsts) | (is_empty & (firsts < count)), (cuts < ends) | (is_empty & (firsts >= count))
        cut = early & late
        train = recording.part(
            firsts[early], cuts[early], recording.has_start[early], (recording.has_end & ~late)[early],
            None if recording.keys is None else recording.keys[early],
        )  # fmt: skip
        if (late & ~early).any() and cut.any():
            remark = (
                f"{int(cut.sum()):,} sequences were running at the time of the split: their first part is learned "
                f"from, the rest is left out; {int((late & ~early).sum()):,} that begin later are held out"
            )
            train = replace(train, remarks=(*train.remarks, remark))
            late = late & ~early
        return train, recording.part(
            cuts[late], ends[late], (recording.has_start & ~early)[late], recording.has_end[late],
            None if recording.keys is None else recording.keys[late],
        )  # fmt: skip


def _cuts(recording: Recording, times: AnyArray, count: int) -> Indices:
    """Return the end of the part of each sequence that is earlier than all but the first `count` symbols, (S,)."""
    firsts, ends = recording.starts[:-1], recording.starts[1:]
    if len(recording) == 1:  # it is in the order of time
        return np.searchsorted(times, times[count : count + 1]).astype(np.int64)
    limit = np.partition(times, count)[count]
    before = np.zeros(len(recording.starts), np.int64)  # how many are early before each sequence
    total = 0
    for block in blocks(len(times)):
        first, end = np.searchsorted(recording.starts, [block.start, block.stop])
        running = np.concatenate([[total], total + np.cumsum(times[block] < limit)])
        before[first:end] = running[recording.starts[first:end] - block.start]
        total = int(running[-1])
        release(times)
    before[np.searchsorted(recording.starts, len(times)) :] = total
    cuts: Indices = firsts + np.minimum(np.diff(before), ends - firsts)
    return cuts
