"""How the learning rate changes during training."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import TypeAlias

# (share of the budget that is used up, 0 to 1; accuracy of the last block) -> factor on the learning rate, 0 to 1
Schedule: TypeAlias = Callable[[float, float], float]

_WARM_UP = 0.02  # share of the budget
_LAST = 0.02  # factor at the end


def constant(used: float, accuracy: float) -> float:
    """Never change it."""
    return 1.0


def by_accuracy(used: float, accuracy: float) -> float:
    """Go down as the last mistakes are being removed; a large step would bring others."""
    return 1.0 if accuracy <= 0.98 else 0.3 if accuracy <= 0.998 else 0.1


def cosine(used: float, accuracy: float) -> float:
    """Rise for 2 % of the budget, then fall along a cosine to 2 % (Loshchilov and Hutter 2017, without restarts)."""
    if used < _WARM_UP:
        return max(used / _WARM_UP, 0.1)
    return _LAST + (1 - _LAST) * 0.5 * (1 + cos(pi * min(used, 1.0)))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "by_accuracy": by_accuracy, "cosine": cosine}
