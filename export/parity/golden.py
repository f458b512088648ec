"""The golden sequence of a model file: the outputs of the float64 reference to a few symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats
from ...runtime.format.manifest import Golden, GoldenRun
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.golden import start_state
from ...runtime.worker.messages import RunResult
from ..ops.golden import GOLDEN_RUNS, allowed_difference, as_rows, golden_tolerance, recorded_outputs
from ..ops.precision import FEW_BITS, FLOAT16, FLOAT32, INT8, INT16, rounding_of
from ..step_function.build import StepFunction
from ..step_function.run import run_numpy
from .metrics import outputs_of
from .sample_inputs import random_inputs

# Columns recorded: few enough for a file of 1 byte a weight.
_MOST_OUTPUTS = {FLOAT32: 32, FLOAT16: 16, INT8: 8, INT16: 8}
_NOT_KNOWN_YET = 1e6  # the tolerance of few bits, until `with_measured_tolerance` sets it: nothing is refused but NaN
_DIGITS_OF_VALUES = 9  # as many as float32 has, for values that change little
_DECIMALS_INT8 = 4  # of probabilities: a tenth of the smallest tolerance
_SEED = 16
_FEATURE_DIGITS = 3


def golden_of(step_function: StepFunction, quantization: str = FLOAT32, sample: Inputs | None = None) -> Golden:
    """Return the golden sequence of `step_function` with weights of the precision `quantization`.

    Its inputs are steps of `sample`, spread over all of it, if that has features; else they are random.

    For float32 and float16 its tolerance is that of float32: float16 weights are rounded once, for the reference too.
    For int8 `with_measured_tolerance` has to set it.
    """
    weights = rounding_of(quantization)
    longest = max(steps for _, steps in GOLDEN_RUNS)
    inputs = random_inputs(step_function.interface, longest, _SEED)
    if sample is not None and sample.features:
        inputs = sample[np.linspace(0, len(sample) - 1, longest).astype(int)]
    inputs = replace(inputs, features={name: _short(array) for name, array in inputs.features.items()})
    runs = []
    rounding: dict[str, Floats] = {}
    for start, steps in GOLDEN_RUNS:
        states = [start_state(start, step_function.state)]
        used = inputs[:steps]
        exact = run_numpy(step_function, used, states, rounding=weights)[0].part(slice(None), {})
        rounded = run_numpy(step_function, used, states, np.float32, weights)[0].part(slice(None), {})
        right = outputs_of(step_function, exact)
        for name, array in outputs_of(step_function, rounded).items():
            rounding[name] = np.maximum(rounding.get(name, 0.0), np.abs(array - right[name]).max(axis=0))
        runs.append((start, used, exact))
    most = min(step_function.outputs, _MOST_OUTPUTS[quantization])
    columns = recorded_outputs(np.concatenate([exact.probabilities for _, _, exact in runs]), most)

    def recorded(array: Floats, activation: str) -> tuple[tuple[float, ...], ...]:
        if activation == "linear":
            return as_rows(array, _DIGITS_OF_VALUES)
        return as_rows(array.round(_DECIMALS_INT8), 4) if quantization in FEW_BITS else as_rows(array)

    kept = {each.name: list(range(min(each.size, most))) for each in step_function.interface.outputs}
    kept[step_function.main.name] = columns
    tolerance, scales = _tolerance_and_scales(step_function, [exact for _, _, exact in runs], kept, rounding)
    return Golden(
        tolerance=_NOT_KNOWN_YET if quantization in FEW_BITS else tolerance,
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
        scales=scales,
    )  # fmt: skip


def _tolerance_and_scales(
    step_function: StepFunction,
    runs: Sequence[RunResult],
    kept: Mapping[str, list[int]],
    rounding: Mapping[str, Floats],
) -> tuple[float, dict[str, tuple[float, ...]]]:
    """Return the tolerance of float32, and the scales of the outputs that are values.

    A reader without scales takes differences of values relative above 1. So the tolerance is large enough for those,
    and the scales make it as small as it has to be for each number.
    """
    worst = 0.0
    allowed: dict[str, Floats] = {}
    for output in step_function.interface.outputs:
        columns = kept[output.name]
        off = rounding[output.name][columns]
        if output.activation != "linear":
            worst = max(worst, golden_tolerance(float(off.max(initial=0))))
            continue
        values = np.concatenate([outputs_of(step_function, run)[output.name] for run in runs])[:, columns]
        allowed[output.name] = allowed_difference(values, off)
        worst = max(worst, float((allowed[output.name] / np.maximum(1.0, np.abs(values).min(axis=0))).max(initial=0)))
    tolerance = float(f"{1.05 * worst:.1e}") if allowed else worst
    scales = {name: tuple(float(f"{n:.2e}") for n in numbers / tolerance) for name, numbers in allowed.items()}
    return tolerance, scales


def _short(array: AnyArray) -> AnyArray:
    """Return features with the fewest digits that still tell them apart."""
    if array.dtype.kind != "f":  # ids
        return array
    spread = float(array.std())
    larger = int(np.log10(np.abs(array).max() / spread)) if spread else 0
    short = [float(f"{number:.{_FEATURE_DIGITS + larger}g}") for number in array.reshape(-1)]
    return np.array(short, array.dtype).reshape(array.shape)
