"""One way to step a model file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Ids

# Takes ids (T,), returns nanoseconds in all and how many symbols they were.
Loop: TypeAlias = Callable[[Ids], tuple[int, int]]

# What all ratios are to: the shortest way that people write by hand. A function of the id that copies the next state
# over the state, in arrays as the interpreter gives them, and returns the answer.
REFERENCE = "numpy views and Invoke"
WAITED_FOR = ": until the answer"  # ends the name of a way whose figure is the time until it, each call by itself


@dataclass(frozen=True)
class Way:
    """One way to step.

    Attributes:
        name: What it is called in the table.
        loop: Takes the steps.
        symbols: How many symbols it wants at a time; more where something has to be amortised.
    """

    name: str
    loop: Loop
    symbols: int = 2000

    @property
    def reference(self) -> str:
        """The name of the way that its ratio is to."""
        return reference_of(self.name)


def reference_of(name: str) -> str:
    """Return the name of the way that the ratio of the way `name` is to."""
    return REFERENCE + WAITED_FOR if name.endswith(WAITED_FOR) else REFERENCE


def one_by_one(step: Callable[[int], Any]) -> Loop:
    """Return the loop that calls `step` with each id."""

    def loop(ids: Ids) -> tuple[int, int]:
        plain = ids.tolist()
        start = thread_time_ns()
        for id in plain:
            step(id)
        return thread_time_ns() - start, len(plain)

    return loop


def all_at_once(run: Callable[[Ids], Any]) -> Loop:
    """Return the loop that calls `run` with all ids."""

    def loop(ids: Ids) -> tuple[int, int]:
        start = thread_time_ns()
        run(ids)
        return thread_time_ns() - start, len(ids)

    return loop


def until_the_answer(step: Callable[[int], Any], afterwards: Callable[[], object] = lambda: None) -> Loop:
    """Return the loop that times what is waited for, each call by itself, and not what is done `afterwards`.

    It gives the median; what looking at the clock costs is taken off.
    """

    def loop(ids: Ids) -> tuple[int, int]:
        clock = perf_counter_ns
        empty = min(-clock() + clock() for _ in range(1000))
        taken = []
        for id in ids.tolist():
            start = clock()
            step(id)
            taken.append(clock() - start - empty)
            afterwards()
        return int(np.median(taken)) * len(taken), len(taken)

    return loop
