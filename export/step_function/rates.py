"""Rates: the steps at which the values of a model are there."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes
from ..layers import Lookup
from ..layers.keras_graph import Graph
from .clock import composed, period_of
from .plan import Steps

_LONGEST = 4096  # steps until all rates have come round: the size of the table of ticks


def read_rates(graph: Graph, steps: Steps, problems: list[str]) -> dict[int, AnswerTimes]:
    """Return the rate of each value that is not there at every step, by its number.

    Args:
        graph: The graph of the model.
        steps: The results of the step rules, call by call.
        problems: It gets every layer whose inputs are there at different steps, and outputs that are.
    """
    rates: dict[int, AnswerTimes] = {}
    for call, found in steps:
        read = [number for number in call.inputs if number not in call.static]  # those are there at every step
        read += [] if call.mask is None else [call.mask]
        inputs = [rates.get(number, EVERY_STEP) for number in read]
        rate = inputs[0] if inputs else EVERY_STEP
        if len(set(inputs)) > 1:
            problems.append(
                f"{call.layer.name} ({type(call.layer).__name__}): its inputs are there at different steps: "
                f"{_listed(inputs)}; give their branches the same strides and the same padding"
            )
        for step in () if isinstance(found, Lookup) else found:
            rate = composed(rate, step.answers)
        if rate != EVERY_STEP:
            rates[call.output] = rate
    answers = [rates.get(output.number, EVERY_STEP) for output in graph.outputs]
    if len(set(answers)) > 1:
        problems.append(f"its outputs are there at different steps: {_listed(answers)}; export a model for each")
    if rates and period_of(rates.values()) + max(rate.first for rate in rates.values()) > _LONGEST:
        problems.append(
            f"its strides come round after {period_of(rates.values())} steps, and its first answer comes at step "
            f"{max(rate.first for rate in rates.values())}: together at most {_LONGEST} can be stepped"
        )
    return rates


def _listed(rates: Sequence[AnswerTimes]) -> str:
    return " and ".join(dict.fromkeys(_described(rate) for rate in rates))


def _described(rate: AnswerTimes) -> str:
    every = "every step" if rate.every == 1 else f"every {rate.every} steps"
    return every if rate == EVERY_STEP else f"{every} from step {rate.first} on"
