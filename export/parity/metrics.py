"""Metrics: how far two runs of the same symbols are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats
from ...runtime.worker.messages import RunResult, RunSpec
from ..ops.precision import FLOAT32
from .parity import InUnits
from .scale import Scale, Scales

if TYPE_CHECKING:  # it needs Keras, and the figures of C are taken without
    from ..step_function.build import StepFunction

_MOST_NUMBERS = 16  # of an output whose errors are all reported


@dataclass(frozen=True)
class Deviation:
    """How far one run is from another, over all of its steps.

    Attributes:
        error: Largest difference of an output, on its scale.
        agreement: Share of steps at which both name the same most likely symbol; the least of all probability outputs.
        nll_change: Change of the mean negative log-probability of the main output, in nats.
        noise: Of outputs that are values: root mean square of the difference over the standard deviation; the largest.
    """

    error: float = 0.0
    agreement: float = 1.0
    nll_change: float = 0.0
    noise: float = 0.0


def deviation(
    step_function: StepFunction,
    spec: RunSpec,
    found: RunResult,
    expected: RunResult,
    scales: Scales,
    precision: str = FLOAT32,
) -> Deviation:
    """Return how far the outputs of `found` are from those of `expected`, two results of `spec`."""
    error, same, changed, noisy = 0.0, 1.0, 0.0, 0.0
    ours, right = (outputs_of(step_function, result) for result in (found, expected))
    for output in step_function.interface.outputs:
        one, other = ours[output.name], right[output.name]
        error = max(error, float(per_step(scales[output.name].relative(one, other, precision)).max()))
        if output.activation == "linear":
            noisy = max(noisy, noise(one, other, scales[output.name]))
            continue
        one, other = both_labels(one), both_labels(other)
        best = other.argmax(axis=1)
        same = min(same, float((one.argmax(axis=1) == best).mean()))
        if output is step_function.main:
            is_next = step_function.predicts_symbols and not spec.each
            following = spec.inputs.ids[spec.kept_steps[:-1] + 1] if is_next else best[:-1]
            changed = nll(one, following) - nll(other, following)
    return Deviation(error, same, changed, noisy)


def both_labels(probabilities: Floats) -> Floats:
    """Return probabilities of (T, K), of two labels where a single sigmoid unit tells them apart."""
    return np.concatenate([1 - probabilities, probabilities], axis=1) if probabilities.shape[1] == 1 else probabilities


def outputs_of(step_function: StepFunction, result: RunResult) -> dict[str, Floats]:
    """Return all outputs of a run by name, (T, K)."""
    return {step_function.main.name: result.probabilities, **result.extra_outputs}


def errors_of(
    step_function: StepFunction, found: RunResult, expected: RunResult, scales: Scales, precision: str = FLOAT32
) -> dict[str, Floats]:
    """Return the largest difference of each tensor at each step that both know, on its scale, by its name."""
    pairs = {**outputs_of(step_function, found), **{f"next_{name}": array for name, array in found.states.items()}}
    right = {**outputs_of(step_function, expected), **{f"next_{n}": array for n, array in expected.states.items()}}
    known = {name: min(len(array), len(right[name])) for name, array in pairs.items()}  # of a state the last ones
    return {
        name: per_step(scales[name].relative(array[-known[name] :], right[name][-known[name] :], precision))
        for name, array in pairs.items()
    }


def in_units(step_function: StepFunction, found: RunResult, expected: RunResult, scales: Scales) -> tuple[InUnits, ...]:
    """Return the error of each number of the outputs that are values; of an output of many numbers the worst."""
    errors: list[InUnits] = []
    ours, right = (outputs_of(step_function, result) for result in (found, expected))
    for output in step_function.interface.outputs:
        if output.activation == "linear":
            largest = np.abs(ours[output.name] - right[output.name]).max(axis=0)
            numbers = zip(largest.tolist(), scales[output.name].span.tolist(), strict=True)
            of_output = [InUnits(output.name, index, *pair) for index, pair in enumerate(numbers)]
            of_output = of_output if len(of_output) <= _MOST_NUMBERS else [max(of_output, key=lambda each: each.share)]
            errors += of_output
    return tuple(errors)


def per_step(errors: Floats) -> Floats:
    """Return the largest absolute value of each step, shape (T,); NaN counts as infinite."""
    largest = np.abs(errors).reshape(len(errors), -1).max(axis=1)
    return np.where(np.isnan(largest), np.inf, largest)


def nll(probabilities: Floats, following: AnyArray) -> float:
    """Return the mean negative log-probability of `following`, (T - 1,), in the outputs before them, (T, K)."""
    chosen = probabilities[np.arange(len(following)), following].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-30)).mean()) if len(following) else 0.0


def noise(found: Floats, expected: Floats, scale: Scale) -> float:
    """Return the root mean square of the difference, as a share of the standard deviation of `expected`.

    The first axis of both is the steps; the worst column counts. Of a column that hardly changes the difference is
    rounding, which must not count as noise: it is a share of its scale. NaN is infinite.
    """
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    spread = np.where(scale.fine > scale.span, scale.fine, np.maximum(expected.std(axis=0), 1e-30))
    worst = float((np.sqrt(((found - expected) ** 2).mean(axis=0)) / spread).max())
    return worst if np.isfinite(worst) else np.inf
