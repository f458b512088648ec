"""The options of training, checked without TensorFlow, and the schedules of the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import cos, inf, pi
from typing import Any, TypeAlias

from ...runtime.common.errors import raise_if_any

# (used fraction of the budget, accuracy of the last updates) -> factor on the learning rate, each 0 to 1
Schedule: TypeAlias = Callable[[float, float], float]

_WARM_UP = 0.02  # fraction of the budget
_LAST = 0.02  # factor at the end
_MAX_SEED = 2**31 - 1  # TensorFlow takes it as an int32


def constant(used: float, accuracy: float) -> float:
    """Never change it."""
    return 1.0


def by_accuracy(used: float, accuracy: float) -> float:
    """Lower it as the last errors disappear; a large step would bring others."""
    return 1.0 if accuracy <= 0.98 else 0.3 if accuracy <= 0.998 else 0.1


def cosine(used: float, accuracy: float) -> float:
    """Rise for 2 % of the budget, then fall along a cosine to 2 % (Loshchilov and Hutter 2017, without restarts)."""
    if used < _WARM_UP:
        return max(used / _WARM_UP, 0.1)
    return _LAST + (1 - _LAST) * 0.5 * (1 + cos(pi * min(used, 1.0)))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "by_accuracy": by_accuracy, "cosine": cosine}


@dataclass(frozen=True)
class Options:
    """Options of training; None takes the value of the problem's recipe.

    Attributes:
        seed: Random seed. Equal seeds give equal weights, except with a time limit.
        learning_rate: Peak learning rate.
        schedule: Schedule of the learning rate, one of `SCHEDULES`.
        max_updates: Most updates to make.
        minutes: Time limit; it includes compilation and excludes the last evaluation.
        clip_norm: Gradients are scaled down to this global norm.
        threads: Threads of TensorFlow. Another number changes the last bits of the weights.
        curriculum: Train on the recipe's easier problems first.
        learn_initial_state: Learn the state that follows a reset; else it is zeros.
        patience: Evaluations on held-out streams without a better one after which training ends; 0: never.

    Raises:
        ProblemError: A value is out of range; all such values are named.
    """

    seed: int = 0
    learning_rate: float | None = None
    schedule: str | None = None
    max_updates: int | None = None
    minutes: float | None = None
    clip_norm: float = 1.0
    threads: int | None = None
    curriculum: bool = True
    learn_initial_state: bool = False
    patience: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        problems = [
            f"{name} is {getattr(self, name)}, it must be above 0 and finite"
            for name in ("learning_rate", "max_updates", "minutes", "clip_norm", "threads")
            if getattr(self, name) is not None and not 0 < getattr(self, name) < inf
        ]
        if self.patience is not None and self.patience < 0:
            problems.append(f"patience is {self.patience}, it must be 0 or more")
        if not 0 <= self.seed <= _MAX_SEED:
            problems.append(f"the seed is {self.seed}, it must be from 0 to {_MAX_SEED}")
        if self.schedule is not None and self.schedule not in SCHEDULES:
            problems.append(f"the schedule is {self.schedule!r}, not one of {', '.join(SCHEDULES)}")
        raise_if_any(problems, "These training options cannot be used")

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""
        values = asdict(self)
        if self.patience is None:  # so that runs of earlier versions can be resumed
            del values["patience"]
        return values
