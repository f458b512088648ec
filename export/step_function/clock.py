"""Rates: the steps at which the values of a model are there, and the clock in the graph that knows them.

Behind a layer with strides a value is there at every second step, for example, and behind a convolution with
padding="valid" from the step on at which its window is full. A step computes everything all the same, but where an
input is not there the state of a layer stays as it is, as in a masked step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.format.manifest import StateTensor
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes
from ..layers.keras_graph import Graph
from ..layers.rule import Lookup
from ..ops import Ops, Value, Weights

if TYPE_CHECKING:
    from .plan import Steps

PHASE = "phase"  # the state of the clock: how many steps there were
_LONGEST = 4096  # steps until all rates have come round: the size of the table of ticks


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
        period = _period(slower)
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


def read_rates(graph: Graph, steps: Steps, problems: list[str]) -> dict[int, AnswerTimes]:
    """Return the rate of each value that is not there at every step, by its number.

    Args:
        graph: The graph of the model.
        steps: The results of the step rules, call by call.
        problems: It gets every layer whose inputs are there at different steps, and outputs that are.
    """
    rates: dict[int, AnswerTimes] = {}
    for call, found in steps:
        inputs = {rates.get(number, EVERY_STEP) for number in call.inputs}
        rate = inputs.pop() if inputs else EVERY_STEP
        if inputs:
            different = _listed([rates.get(number, EVERY_STEP) for number in call.inputs])
            problems.append(
                f"{call.layer.name} ({type(call.layer).__name__}): its inputs are there at different steps: "
                f"{different}; give their branches the same strides and the same padding"
            )
        for step in () if isinstance(found, Lookup) else found:
            rate = composed(rate, step.answers)
        if call.mask is not None and (rate != EVERY_STEP or call.mask in rates):
            problems.append(
                f"{call.layer.name} ({type(call.layer).__name__}): it gets masked steps, and steps at which its input "
                "is not there; leave out the masking, or the strides and padding='valid' before it"
            )
        if rate != EVERY_STEP:
            rates[call.output] = rate
    answers = [rates.get(output.number, EVERY_STEP) for output in graph.outputs]
    if len(set(answers)) > 1:
        problems.append(f"its outputs are there at different steps: {_listed(answers)}; export a model for each")
    if rates and _period(rates.values()) + max(rate.first for rate in rates.values()) > _LONGEST:
        problems.append(
            f"its strides come round after {_period(rates.values())} steps, and its first answer comes at step "
            f"{max(rate.first for rate in rates.values())}: together at most {_LONGEST} can be stepped"
        )
    return rates


def _period(rates: Iterable[AnswerTimes]) -> int:
    return lcm(*(rate.every for rate in rates))


def _listed(rates: Sequence[AnswerTimes]) -> str:
    return " and ".join(dict.fromkeys(_described(rate) for rate in rates))


def _described(rate: AnswerTimes) -> str:
    every = "every step" if rate.every == 1 else f"every {rate.every} steps"
    return every if rate == EVERY_STEP else f"{every} from step {rate.first} on"
