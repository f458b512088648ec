"""What the user decides about training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from .refusal import refuse_if_any
from .schedule import SCHEDULES

_HIGHEST_SEED = 2**31 - 1  # TensorFlow takes it as an int32


@dataclass(frozen=True)
class Options:
    """How to train; None leaves it to the problem's recipe.

    Attributes:
        seed: Everything random follows from it. Equal seeds give equal weights, except with a time limit.
        learning_rate: The highest learning rate.
        schedule: How the learning rate changes, one of `SCHEDULES`.
        updates: Most updates to make.
        minutes: Time limit, compilation included, the last evaluation not.
        clip_norm: Gradients are scaled down to this norm, all of them together.
        curriculum: Learn the easier problems first that the problem proposes.
        threads: That TensorFlow computes with. Other numbers give weights that differ in their last bits.
        learn_start: Learn the state that follows a reset, which is zeros otherwise.

    Raises:
        ProblemError: A value that makes no sense; all of them are named.
    """

    seed: int = 0
    learning_rate: float | None = None
    schedule: str | None = None
    updates: int | None = None
    minutes: float | None = None
    clip_norm: float = 1.0
    threads: int | None = None
    curriculum: bool = True
    learn_start: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        problems = [
            f"{name} is {getattr(self, name)}, it must be above 0 and finite"
            for name in ("learning_rate", "updates", "minutes", "clip_norm", "threads")
            if getattr(self, name) is not None and not 0 < getattr(self, name) < inf
        ]
        if not 0 <= self.seed <= _HIGHEST_SEED:
            problems.append(f"the seed is {self.seed}, it must be from 0 to {_HIGHEST_SEED}")
        if self.schedule is not None and self.schedule not in SCHEDULES:
            problems.append(f"the schedule is {self.schedule!r}, not one of {', '.join(SCHEDULES)}")
        refuse_if_any(problems, "These training options cannot be used")

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        return asdict(self)
