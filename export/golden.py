"""Makes the golden sequence of a model file: what the float64 referee answers to a few symbols."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..runtime.golden import start_state
from ..runtime.manifest import Golden, GoldenRun
from .precision import FLOAT32, FLOAT32_TOLERANCE, INT8, rounding_of
from .reference import run_numpy
from .step_function import StepFunction

# From the initial state, from a non-zero state, and once more after a reset.
_RUNS = (("initial", 10), ("ramp", 10), ("initial", 4))
# Columns recorded: enough to notice any fault, few enough for thousands of symbols, or for a file of 1 byte a weight.
_MOST_OUTPUTS, _MOST_QUANTIZED_OUTPUTS = 32, 16
# Interpreters round in other places than numpy; for a model that magnifies rounding errors that counts.
_ROUNDING_ALLOWED = 10
# For int8 the right answers are those of the weights before they were quantised, and interpreters differ from them and
# from each other in how they bring activations to 8 bits. So the tolerance is taken from the interpreters here, doubled
# for those elsewhere; until it is known, nothing is refused but what is not a number.
_INTERPRETERS_ALLOWED = 2
_SMALLEST_INT8_TOLERANCE = 1e-3
_NOT_KNOWN_YET = 1e6
_SEED = 16


def golden_of(step_function: StepFunction, quantization: str = FLOAT32) -> Golden:
    """Return the golden sequence of `step_function` with weights of the precision `quantization`.

    For float32 and float16 its tolerance is that of float32: float16 weights are rounded once, for the referee too.
    For int8 `with_measured_tolerance` has to set it.
    """
    weights = rounding_of(quantization)
    random = np.random.default_rng(_SEED)
    ids = random.integers(0, step_function.symbols, max(steps for _, steps in _RUNS), dtype=np.int32)
    runs = []
    rounding = 0.0
    for start, steps in _RUNS:
        states = [start_state(start, step_function.state)]
        exact = run_numpy(step_function, ids[:steps], states, rounding=weights)[0].probabilities
        rounded = run_numpy(step_function, ids[:steps], states, np.float32, weights)[0].probabilities
        rounding = max(rounding, float(np.abs(exact - rounded).max()))
        runs.append((start, ids[:steps], exact))
    likely = {int(id) for _, _, probabilities in runs for id in probabilities.argmax(axis=1)}
    digits = 4 if quantization == INT8 else 7
    most = min(step_function.outputs, _MOST_OUTPUTS if quantization == FLOAT32 else _MOST_QUANTIZED_OUTPUTS)
    spread = np.linspace(0, step_function.outputs - 1, most).astype(int).tolist()
    outputs = sorted([*likely, *(id for id in spread if id not in likely)][:most])
    tolerance = max(FLOAT32_TOLERANCE, float(f"{_ROUNDING_ALLOWED * rounding:.0e}"))
    return Golden(
        tolerance=_NOT_KNOWN_YET if quantization == INT8 else tolerance,
        outputs=tuple(outputs),
        runs=tuple(
            GoldenRun(
                start,
                tuple(int(id) for id in used),
                tuple(tuple(float(f"{p:.{digits}g}") for p in row[outputs]) for row in probabilities),
            )
            for start, used, probabilities in runs
        ),
    )


def with_measured_tolerance(golden: Golden, worst: float) -> Golden:
    """Return the `golden` sequence of an int8 file, off by `worst` at most on the interpreters here."""
    return replace(golden, tolerance=float(f"{max(_INTERPRETERS_ALLOWED * worst, _SMALLEST_INT8_TOLERANCE):.1e}"))
