"""The clock of a step function: at which steps the values of each rate are there.

Behind a layer with strides a value is there at every second step, for example, and behind a convolution with
padding="valid" from the step on at which its window is full. A step computes everything all the same, but where an
input is not there the state of a layer stays as it is, as in a masked step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import lcm

import numpy as np

from ...runtime.format.manifest import StateTensor
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes
from ..ops import Ops, Value, Weights

PHASE = "phase"  # the state of the clock: how many steps there were


def composed(outer: AnswerTimes, inner: AnswerTimes) -> AnswerTimes:
    """Return the steps of the stream at which a layer answers.

    Args:
        outer: The steps of the stream at which its input is there.
        inner: The steps of its input, counted from 1, at which it answers.
    """
    return AnswerTimes(outer.first + (inner.first - 1) * outer.every, outer.every * inner.every)


@dataclass(frozen=True)
class Clock:
    """Counts the steps of a stream, so that each rate knows which steps are its own.

    The count is the state `phase`. From the first step of the last rate on, everything is repeated after the least
    common multiple of the rates, so that there the count goes back by that many.

    Attributes:
        rates: The rates.
        ticks: float32 of shape (counts, rates): 1 where the step with this number is one of the rate.
        period: How far the count goes back.
    """

    rates: tuple[AnswerTimes, ...]
    ticks: Weights
    period: int

    @classmethod
    def of(cls, rates: Iterable[AnswerTimes]) -> Clock | None:
        """Return the clock of these rates; None: all are every step, which takes none."""
        slower = tuple(sorted({rate for rate in rates if rate != EVERY_STEP}, key=lambda r: (r.every, r.first)))
        if not slower:
            return None
        period = period_of(slower)
        counts = max(rate.first for rate in slower) + period
        ticks = [[rate.answers_at(count) for rate in slower] for count in range(counts)]
        return cls(slower, np.array(ticks, np.float32), period)

    @property
    def state(self) -> tuple[StateTensor, ...]:
        """The state of the clock."""
        return (StateTensor(PHASE, (1,)),)

    def run(self, a: Ops, state: Mapping[str, Value]) -> tuple[dict[AnswerTimes, Value], dict[str, Value]]:
        """Return the tick of each rate, (B, 1), 1 at its steps and 0 else; and the next state."""
        count = state[PHASE] + 1.0
        beyond = count - (len(self.ticks) - 1.0)  # 1 where it is as large as the table
        count = a.select(beyond, count - float(self.period), count)
        row = a.gather(self.ticks, a.as_ids(a.reshape(count, [])))
        ticks = a.split(row, len(self.rates)) if len(self.rates) > 1 else [row]
        return dict(zip(self.rates, ticks, strict=True)), {PHASE: count}


def period_of(rates: Iterable[AnswerTimes]) -> int:
    """Return the number of steps after which all rates are repeated."""
    return lcm(*(rate.every for rate in rates))
