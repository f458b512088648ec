"""Metrics: how far two runs of the same symbols are apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats
from ...runtime.worker.messages import RunResult, RunSpec
from ..step_function.build import StepFunction


@dataclass(frozen=True)
class Deviation:
    """How far one run is from another, over all of its steps.

    Attributes:
        error: Largest difference of an output, relative for values above 1.
        agreement: Share of steps at which both name the same most likely symbol; the least of all probability outputs.
        nll_change: Change of the mean negative log-probability of the main output, in nats.
        noise: Of outputs that are values: root mean square of the difference over the standard deviation; the largest.
    """

    error: float = 0.0
    agreement: float = 1.0
    nll_change: float = 0.0
    noise: float = 0.0


def deviation(step_function: StepFunction, spec: RunSpec, found: RunResult, expected: RunResult) -> Deviation:
    """Return how far the outputs of `found` are from those of `expected`, two results of `spec`."""
    error, same, changed, noisy = 0.0, 1.0, 0.0, 0.0
    ours, right = (outputs_of(step_function, result) for result in (found, expected))
    for output in step_function.interface.outputs:
        one, other = ours[output.name], right[output.name]
        error = max(error, float(per_step(relative(one, other)).max()))
        if output.activation == "linear":
            noisy = max(noisy, noise(one, other))
            continue
        one, other = _both_labels(one), _both_labels(other)
        best = other.argmax(axis=1)
        same = min(same, float((one.argmax(axis=1) == best).mean()))
        if output is step_function.main:
            is_next = step_function.predicts_symbols and not spec.each
            following = spec.inputs.ids[spec.kept_steps[:-1] + 1] if is_next else best[:-1]
            changed = nll(one, following) - nll(other, following)
    return Deviation(error, same, changed, noisy)


def _both_labels(probabilities: Floats) -> Floats:
    """Return probabilities of (T, K), of two labels where a single sigmoid unit tells them apart."""
    return np.concatenate([1 - probabilities, probabilities], axis=1) if probabilities.shape[1] == 1 else probabilities


def outputs_of(step_function: StepFunction, result: RunResult) -> dict[str, Floats]:
    """Return all outputs of a run by name, (T, K)."""
    return {step_function.main.name: result.probabilities, **result.extra_outputs}


def difference(one: RunResult, other: RunResult) -> float:
    """Return the largest difference of all outputs and state tensors between two runs of the same symbols."""
    pairs = [(one.probabilities, other.probabilities)]
    pairs += [(array, other.extra_outputs[name]) for name, array in one.extra_outputs.items()]
    pairs += [(array, other.states[name]) for name, array in one.states.items()]
    return max(float(per_step(relative(found, expected)).max()) for expected, found in pairs)


def per_step(errors: Floats) -> Floats:
    """Return the largest absolute value of each step, shape (T,); NaN counts as infinite."""
    largest = np.abs(errors).reshape(len(errors), -1).max(axis=1)
    return np.where(np.isnan(largest), np.inf, largest)


def relative(found: Floats, expected: Floats) -> Floats:
    """Return the difference, relative where the expected value is above 1: cell states and values have no bound."""
    deviation: Floats = (found - expected) / np.maximum(1.0, np.abs(expected))
    return deviation


def nll(probabilities: Floats, following: AnyArray) -> float:
    """Return the mean negative log-probability of `following`, (T - 1,), in the outputs before them, (T, K)."""
    chosen = probabilities[np.arange(len(following)), following].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-30)).mean()) if len(following) else 0.0


def noise(found: Floats, expected: Floats) -> float:
    """Return the root mean square of the difference, as a share of the standard deviation of `expected`.

    The first axis of both is the steps; the worst column counts. NaN is infinite.
    """
    spread = np.maximum(expected.std(axis=0), 1e-6)
    worst = float((np.sqrt(((found - expected) ** 2).mean(axis=0)) / spread).max())
    return worst if np.isfinite(worst) else np.inf
