"""Symbols for a parity check where nobody has given any."""

from __future__ import annotations

import numpy as np

from ..runtime.arrays import Ids
from ..runtime.backend import initial_state
from .arithmetic import NumpyArithmetic
from .step_function import StepFunction


def typical_ids(step_function: StepFunction, steps: int, random: np.random.Generator) -> Ids:
    """Return a sequence that the model may meet: its own predictions, drawn by their probabilities and fed back."""
    if step_function.outputs != step_function.symbols:
        return random.integers(0, step_function.symbols, steps, dtype=np.int32)
    arithmetic = NumpyArithmetic()
    state = {name: array.astype(np.float64) for name, array in initial_state(step_function.state).items()}
    ids = np.zeros(steps, np.int32)
    ids[0] = random.integers(0, step_function.symbols)
    for step in range(1, steps):
        answer, state = step_function.advance(arithmetic, ids[step - 1 : step], state)
        # The first symbol at which the summed probabilities pass a random share of their total.
        drawn = np.searchsorted(np.cumsum(answer[0]), random.random() * answer[0].sum(), side="right")
        ids[step] = min(int(drawn), step_function.symbols - 1)
    return ids
