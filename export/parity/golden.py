"""Makes the golden sequence of a model file: what the float64 referee answers to a few symbols."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats
from ...runtime.format.manifest import Golden, GoldenRun
from ...runtime.interpreters.golden import start_state
from ..ops.precision import FLOAT16, FLOAT32, INT8, rounding_of
from ..step_function.build import StepFunction
from .metrics import difference
from .reference import run_numpy
from .sample_inputs import random_inputs
from .tolerance import FLOAT32_TOLERANCE

# From the initial state, from a non-zero state, and once more after a reset.
_RUNS = (("initial", 10), ("ramp", 10), ("initial", 4))
# Columns recorded: enough to notice any fault, few enough for thousands of symbols, or for a file of 1 byte a weight.
_MOST_OUTPUTS = {FLOAT32: 32, FLOAT16: 16, INT8: 8}
# Interpreters round in other places than numpy; for a model that magnifies rounding errors that counts.
_ROUNDING_ALLOWED = 10
# For int8 the right answers are those of the weights before they were quantised, and interpreters differ from them and
# from each other in how they bring activations to 8 bits. So the tolerance is taken from the interpreters here, doubled
# for those elsewhere; until it is known, nothing is refused but what is not a number.
_INTERPRETERS_ALLOWED = 2
_SMALLEST_INT8_TOLERANCE = 1e-3
_NOT_KNOWN_YET = 1e6
_DECIMALS_INT8 = 4  # of probabilities: a tenth of the smallest tolerance
_SEED = 16
_FEATURE_DIGITS = 3


def golden_of(step_function: StepFunction, quantization: str = FLOAT32) -> Golden:
    """Return the golden sequence of `step_function` with weights of the precision `quantization`.

    For float32 and float16 its tolerance is that of float32: float16 weights are rounded once, for the referee too.
    For int8 `with_measured_tolerance` has to set it.
    """
    weights = rounding_of(quantization)
    random = np.random.default_rng(_SEED)
    inputs = random_inputs(step_function.interface, max(steps for _, steps in _RUNS), random)
    inputs = replace(inputs, features={name: _short(array) for name, array in inputs.features.items()})
    runs = []
    rounding = 0.0
    for start, steps in _RUNS:
        states = [start_state(start, step_function.state)]
        used = inputs[:steps]
        exact = run_numpy(step_function, used, states, rounding=weights)[0]
        rounded = run_numpy(step_function, used, states, np.float32, weights)[0]
        rounding = max(rounding, difference(exact.part(slice(None), {}), rounded.part(slice(None), {})))
        runs.append((start, used, exact))
    likely = {int(id) for _, _, exact in runs for id in exact.probabilities.argmax(axis=1)}

    def recorded(array: Floats, activation: str) -> tuple[tuple[float, ...], ...]:
        if quantization != INT8:
            return _rows(array, 7)
        return _rows(array if activation == "linear" else array.round(_DECIMALS_INT8), 4)

    most = min(step_function.outputs, _MOST_OUTPUTS[quantization])
    spread = np.linspace(0, step_function.outputs - 1, most).astype(int).tolist()
    outputs = sorted([*likely, *(id for id in spread if id not in likely)][:most])
    tolerance = max(FLOAT32_TOLERANCE, float(f"{_ROUNDING_ALLOWED * rounding:.0e}"))
    return Golden(
        tolerance=_NOT_KNOWN_YET if quantization == INT8 else tolerance,
        outputs=tuple(outputs),
        runs=tuple(
            GoldenRun(
                start,
                tuple(int(id) for id in used.ids),
                recorded(exact.probabilities[:, outputs], step_function.main.activation),
                {name: _rows(array.reshape(len(used), -1), 7) for name, array in used.features.items()},
                {
                    each.name: recorded(exact.extra_outputs[each.name][:, :most], each.activation)
                    for each in step_function.extra_outputs
                },
            )
            for start, used, exact in runs
        ),
    )


def _rows(array: Floats, digits: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{number:.{digits}g}") for number in row) for row in array)


def _short(array: AnyArray) -> AnyArray:
    """Return features as few digits can write them that still tell them apart."""
    spread = float(array.std())
    larger = int(np.log10(np.abs(array).max() / spread)) if spread else 0
    short = [float(f"{number:.{_FEATURE_DIGITS + larger}g}") for number in array.reshape(-1)]
    return np.array(short, array.dtype).reshape(array.shape)


def with_measured_tolerance(golden: Golden, worst: float) -> Golden:
    """Return the `golden` sequence of an int8 file, off by `worst` at most on the interpreters here."""
    return replace(golden, tolerance=float(f"{max(_INTERPRETERS_ALLOWED * worst, _SMALLEST_INT8_TOLERANCE):.1e}"))
