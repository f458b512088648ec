"""Makes the golden sequence of a model file: what the float64 referee answers to a few symbols."""

from __future__ import annotations

import numpy as np

from ..runtime.golden import start_state
from ..runtime.manifest import Golden, GoldenRun
from .parity import FLOAT32_TOLERANCE
from .reference import run_numpy
from .step_function import StepFunction

# From the initial state, from a non-zero state, and once more after a reset.
_RUNS = (("initial", 10), ("ramp", 10), ("initial", 4))
_MOST_OUTPUTS = 32  # columns recorded: enough to notice any fault, few enough for a vocabulary of thousands
# Interpreters round in other places than numpy; for a model that magnifies rounding errors that counts.
_ROUNDING_ALLOWED = 10
_SEED = 16


def golden_of(step_function: StepFunction) -> Golden:
    """Return the golden sequence of `step_function`, float32 tolerance."""
    random = np.random.default_rng(_SEED)
    ids = random.integers(0, step_function.symbols, max(steps for _, steps in _RUNS), dtype=np.int32)
    runs = []
    rounding = 0.0
    for start, steps in _RUNS:
        states = [start_state(start, step_function.state)]
        exact = run_numpy(step_function, ids[:steps], states)[0].probabilities
        rounded = run_numpy(step_function, ids[:steps], states, np.float32)[0].probabilities
        rounding = max(rounding, float(np.abs(exact - rounded).max()))
        runs.append((start, ids[:steps], exact))
    likely = {int(id) for _, _, probabilities in runs for id in probabilities.argmax(axis=1)}
    spread = np.linspace(0, step_function.outputs - 1, min(step_function.outputs, _MOST_OUTPUTS)).astype(int).tolist()
    outputs = sorted([*likely, *(id for id in spread if id not in likely)][:_MOST_OUTPUTS])
    return Golden(
        tolerance=max(FLOAT32_TOLERANCE, float(f"{_ROUNDING_ALLOWED * rounding:.0e}")),
        outputs=tuple(outputs),
        runs=tuple(
            GoldenRun(
                start,
                tuple(int(id) for id in used),
                tuple(tuple(float(f"{p:.7g}") for p in row[outputs]) for row in probabilities),
            )
            for start, used, probabilities in runs
        ),
    )
