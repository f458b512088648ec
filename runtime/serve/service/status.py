"""What a service has done, in numbers."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..adapters.base import REFUSED

COMMIT_BOUNDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0)  # seconds


@dataclass
class Status:
    """What a service has done since it was started.

    Attributes:
        ready: Whether records are taken and kept; `reason` says why not.
        records: (name of the source, what became of it, code of an error or "") -> number of records.
        groups: Number of groups that were kept.
        commit_seconds: What keeping them took, in all.
        commit_buckets: How many of them took up to each of `COMMIT_BOUNDS` seconds, and longer than all.
        last_commit: When the last one was kept, seconds since 1970; None: none was.
        undelivered: Groups that an output has not delivered yet.
        forgotten: Number of streams that were forgotten because they were not used for a long time.
    """

    ready: bool = False
    reason: str = "starting"
    records: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    groups: int = 0
    commit_seconds: float = 0.0
    commit_buckets: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS) + 1))
    last_commit: float | None = None
    undelivered: int = 0
    handover: Mapping[str, Any] | None = None
    reloads: Counter[str] = field(default_factory=Counter)
    forgotten: int = 0

    def kept(self, seconds: float) -> None:
        """Count a group that was kept, in so many seconds."""
        self.groups += 1
        self.commit_seconds += seconds
        self.commit_buckets[bisect_left(COMMIT_BOUNDS, seconds)] += 1
        self.last_commit = time.time()

    def describe(self) -> str:
        """Return it in a sentence."""
        refused = sum(count for (_, kind, _), count in self.records.items() if kind == REFUSED)
        parts = [f"{sum(self.records.values()):,} records"]
        parts += [f"{refused:,} of them refused"] if refused else []
        parts += [f"{self.undelivered:,} groups of answers not delivered"] if self.undelivered else []
        return ", ".join(parts) if self.ready else f"{self.reason} ({', '.join(parts)})"
