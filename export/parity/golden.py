"""The golden sequence of a model file: the outputs of the float64 reference to a few symbols."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats
from ...runtime.format.manifest import Golden, GoldenRun
from ...runtime.interpreters.golden import start_state
from ..ops.golden import GOLDEN_RUNS, as_rows, golden_tolerance, recorded_outputs
from ..ops.precision import FLOAT16, FLOAT32, INT8, rounding_of
from ..step_function.build import StepFunction
from ..step_function.run import run_numpy
from .metrics import difference
from .sample_inputs import random_inputs

_MOST_OUTPUTS = {FLOAT32: 32, FLOAT16: 16, INT8: 8}  # columns recorded: few enough for a file of 1 byte a weight
# For int8 the right outputs are those of the weights before they were quantised, and interpreters differ from them and
# from each other in how they bring activations to 8 bits. So the tolerance is taken from the interpreters here, doubled
# for those elsewhere; until it is known, nothing is refused but NaN.
_INTERPRETERS_ALLOWED = 2
_SMALLEST_INT8_TOLERANCE = 1e-3
_NOT_KNOWN_YET = 1e6
_DECIMALS_INT8 = 4  # of probabilities: a tenth of the smallest tolerance
_SEED = 16
_FEATURE_DIGITS = 3


def golden_of(step_function: StepFunction, quantization: str = FLOAT32) -> Golden:
    """Return the golden sequence of `step_function` with weights of the precision `quantization`.

    For float32 and float16 its tolerance is that of float32: float16 weights are rounded once, for the reference too.
    For int8 `with_measured_tolerance` has to set it.
    """
    weights = rounding_of(quantization)
    inputs = random_inputs(step_function.interface, max(steps for _, steps in GOLDEN_RUNS), _SEED)
    inputs = replace(inputs, features={name: _short(array) for name, array in inputs.features.items()})
    runs = []
    rounding = 0.0
    for start, steps in GOLDEN_RUNS:
        states = [start_state(start, step_function.state)]
        used = inputs[:steps]
        exact = run_numpy(step_function, used, states, rounding=weights)[0].part(slice(None), {})
        rounded = run_numpy(step_function, used, states, np.float32, weights)[0].part(slice(None), {})
        rounding = max(rounding, difference(exact, rounded))
        runs.append((start, used, exact))
    most = min(step_function.outputs, _MOST_OUTPUTS[quantization])
    columns = recorded_outputs(np.concatenate([exact.probabilities for _, _, exact in runs]), most)

    def recorded(array: Floats, activation: str) -> tuple[tuple[float, ...], ...]:
        if quantization != INT8:
            return as_rows(array)
        return as_rows(array if activation == "linear" else array.round(_DECIMALS_INT8), 4)

    return Golden(
        tolerance=_NOT_KNOWN_YET if quantization == INT8 else golden_tolerance(rounding),
        outputs=tuple(columns),
        runs=tuple(
            GoldenRun(
                start,
                tuple(used.ids.tolist()),
                recorded(exact.probabilities[:, columns], step_function.main.activation),
                {name: as_rows(array.reshape(len(used), -1)) for name, array in used.features.items()},
                {o.name: recorded(exact.extra_outputs[o.name][:, :most], o.activation)
                 for o in step_function.extra_outputs},
            )
            for start, used, exact in runs
        ),
    )  # fmt: skip


def with_measured_tolerance(golden: Golden, worst: float) -> Golden:
    """Return the `golden` sequence of an int8 file, off by `worst` at most on the interpreters here."""
    return replace(golden, tolerance=float(f"{max(_INTERPRETERS_ALLOWED * worst, _SMALLEST_INT8_TOLERANCE):.1e}"))


def _short(array: AnyArray) -> AnyArray:
    """Return features with the fewest digits that still tell them apart."""
    spread = float(array.std())
    larger = int(np.log10(np.abs(array).max() / spread)) if spread else 0
    short = [float(f"{number:.{_FEATURE_DIGITS + larger}g}") for number in array.reshape(-1)]
    return np.array(short, array.dtype).reshape(array.shape)
