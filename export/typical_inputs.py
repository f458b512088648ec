"""What to feed a model in a parity check where nobody has given anything."""

from __future__ import annotations

import numpy as np

from ..runtime.arrays import AnyArray, Ids
from ..runtime.backend import initial_state
from ..runtime.ports import SYMBOL
from ..runtime.trace import Inputs
from .arithmetic import NumpyArithmetic
from .interface import Interface
from .step_function import StepFunction


def random_inputs(interface: Interface, steps: int, random: np.random.Generator | int) -> Inputs:
    """Return symbols drawn evenly, and features: ids drawn evenly, numbers from the standard normal distribution."""
    random = np.random.default_rng(random)
    return Inputs(_random_ids(interface.symbols, steps, random), _random_features(interface, steps, random))


def typical_inputs(
    step_function: StepFunction, steps: int, random: np.random.Generator, sample: Ids | None = None
) -> Inputs:
    """Return a sequence that the model may meet.

    Symbols are `sample`, repeated; without one a model of next symbols feeds its own predictions back, drawn by their
    probabilities, and any other gets symbols drawn evenly.
    """
    if sample is not None and len(sample):
        ids = np.resize(sample, steps).astype(np.int32)
        return Inputs(ids, _random_features(step_function.interface, steps, random))
    if not step_function.predicts_symbols:
        return random_inputs(step_function.interface, steps, random)
    features = _random_features(step_function.interface, steps, random)
    arithmetic = NumpyArithmetic()
    state = {name: array.astype(np.float64) for name, array in initial_state(step_function.state).items()}
    ids = np.zeros(steps, np.int32)
    ids[0] = random.integers(0, step_function.symbols)
    inputs = Inputs(ids, features)
    for step in range(1, steps):
        answers, state = step_function.advance(arithmetic, as_mapping(inputs[step - 1 : step]), state)
        answer = answers[step_function.main.name]
        # The first symbol at which the summed probabilities pass a random share of their total.
        drawn = np.searchsorted(np.cumsum(answer[0]), random.random() * answer[0].sum(), side="right")
        ids[step] = min(int(drawn), step_function.symbols - 1)
    return inputs


def every_symbol(step_function: StepFunction, steps: int, random: np.random.Generator) -> Inputs:
    """Return all symbols equally often, in random order."""
    symbols = np.arange(max(step_function.symbols, 1), dtype=np.int32)
    ids = random.permutation(np.resize(symbols, steps))
    return Inputs(ids, _random_features(step_function.interface, steps, random))


def as_mapping(inputs: Inputs) -> dict[str, AnyArray]:
    """Return `inputs` as the step function takes them, the steps as its batch."""
    return {SYMBOL: inputs.ids, **inputs.features}


def _random_ids(symbols: int, steps: int, random: np.random.Generator) -> Ids:
    return random.integers(0, max(symbols, 1), steps, dtype=np.int32)


def _random_features(interface: Interface, steps: int, random: np.random.Generator) -> dict[str, AnyArray]:
    return {
        feature.name: random.standard_normal((steps, *feature.shape), np.float32)
        if feature.ids is None
        else random.integers(0, feature.ids, steps, dtype=np.int32)
        for feature in interface.features.values()
    }
