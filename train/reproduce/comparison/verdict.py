"""What the measurements say about a claim, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..recipes import Outcome
from .system import System

# Of accuracy: a claim of 100 % is met by 98 %; one of 84 % by 79 %, because such results differ more from seed to seed.
_CLOSE, _CLOSE_BELOW_PERFECT = 0.02, 0.05
_PERFECT = 0.98
_FAILS_STREAMED = 0.1  # of accuracy


def as_claimed(system: System, outcomes: Sequence[Outcome]) -> int:
    """Return how many of the outcomes of a published recipe are what was claimed."""
    if system.claim is None:
        return 0
    claimed = system.claim.accuracy
    if claimed == 0.0:  # the claim is that it fails
        return sum(outcome.accuracy < 0.05 for outcome in outcomes)
    close = _CLOSE if claimed >= _PERFECT else _CLOSE_BELOW_PERFECT
    return sum(outcome.accuracy >= claimed - close for outcome in outcomes)


def solved(outcomes: Sequence[Outcome]) -> int:
    """Return how many of stepcell's trainings solved their problem."""
    return sum(outcome.details.get("solved") == 1.0 for outcome in outcomes)


def verdict(system: System, published: Sequence[Outcome], ours: Sequence[Outcome]) -> str:
    """Return what the measurements say about the claim; it follows from them alone."""
    parts = []
    if system.claim is not None and published:
        count = as_claimed(system, published)
        held = "holds" if count == len(published) else "does not hold" if count == 0 else "depends on the seed"
        parts.append(f"claim {held} ({count} of {len(published)})")
        streamed = [outcome.streamed for outcome in published if outcome.streamed is not None]
        accuracy = float(np.mean([outcome.accuracy for outcome in published]))
        if streamed and float(np.mean(streamed)) < accuracy - _FAILS_STREAMED:
            parts.append("not when streamed")
    if system.experiment is not None and ours:
        found = [float(outcome.details["sequences"]) for outcome in ours if "sequences" in outcome.details]
        if found and system.experiment.sequences and solved(ours) == len(ours):
            ratio = system.experiment.sequences / float(np.median(found))
            parts.append(
                f"{ratio:.1f} times fewer sequences" if ratio >= 1 else f"{1 / ratio:.1f} times more sequences"
            )
    if ours:
        parts.append("solved" if solved(ours) == len(ours) else f"stepcell solves {solved(ours)} of {len(ours)}")
    return ", ".join(parts) or "not measured yet"
