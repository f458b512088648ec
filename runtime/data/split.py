"""Splits a recording into what is learned from and what is held out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..common.arrays import Indices
from ..common.errors import CorpusError
from .recording import Recording

SEQUENCE, TIME = "sequence", "time"
_SEED = 20_190_521  # of the draw of sequences: always the same, so that nobody learns from what another held out


@dataclass(frozen=True)
class HeldOut:
    """What is held out: a share of the sequences drawn at random, or everything from some moment on.

    By time, a sequence that goes on across that moment is cut there. The first part of it is learned without its end;
    the second begins from nothing and without the start symbol.

    Attributes:
        share: Of the sequences, or of the symbols.
        by: "sequence" or "time"; without an order column time is the place in the file. None: by sequence where there
            are several, else by time.

    Raises:
        CorpusError: Values that make no sense; all of them are named.
    """

    share: float = 0.1
    by: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        if not 0 < self.share < 1:
            problems.append(f"the share to hold out is {self.share}; give one between 0 and 1, 0.1 for example")
        if self.by not in (None, SEQUENCE, TIME):
            problems.append(f"what to split by is {self.by!r}, not {SEQUENCE!r} or {TIME!r}")
        if problems:
            raise CorpusError(f"Nothing can be held out like this: {'; '.join(problems)}.")

    def split(self, recording: Recording) -> tuple[Recording, Recording]:
        """Return what is learned from and what is held out.

        Raises:
            CorpusError: One of them would be empty.
        """
        by = self.by or (SEQUENCE if len(recording) > 1 else TIME)
        learned, held_out = (self._by_sequence if by == SEQUENCE else self._by_time)(recording)
        for part, more in ((learned, "less"), (held_out, "more")):
            if not len(part):
                raise CorpusError(
                    f"{recording.source or 'This'} has {len(recording):,} sequences of {len(recording.ids):,} symbols; "
                    f"nothing is left to {'learn from' if more == 'less' else 'judge by'}. Hold out {more} than "
                    f"{self.share}{' or split by time' if by == SEQUENCE and len(recording) == 1 else ''}."
                )
        return learned, held_out

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        return asdict(self)

    def _by_sequence(self, recording: Recording) -> tuple[Recording, Recording]:
        drawn = np.random.default_rng(_SEED).permutation(len(recording))
        count = max(1, round(len(recording) * self.share))
        return recording.chosen(np.sort(drawn[count:])), recording.chosen(np.sort(drawn[:count]))

    def _by_time(self, recording: Recording) -> tuple[Recording, Recording]:
        when = np.arange(len(recording.ids)) if recording.when is None else recording.when
        learned = min(round(len(when) * (1 - self.share)), len(when) - 1)
        is_before = when < np.partition(when, learned)[learned]
        cuts: Indices = recording.starts[:-1] + np.add.reduceat(is_before, recording.starts[:-1], dtype=np.int64)
        firsts, ends = recording.starts[:-1], recording.starts[1:]
        early, late = cuts > firsts, cuts < ends
        return (
            recording.part(firsts[early], cuts[early], recording.begun[early], (recording.ended & ~late)[early]),
            recording.part(cuts[late], ends[late], (recording.begun & ~early)[late], recording.ended[late]),
        )
