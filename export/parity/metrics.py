"""How far two runs of the same symbols are apart."""

from __future__ import annotations

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats
from ...runtime.worker.messages import RunResult


def difference(one: RunResult, other: RunResult) -> float:
    """Return the largest difference of all outputs and state tensors between two runs of the same symbols."""
    pairs = [(one.probabilities, other.probabilities)]
    pairs += [(array, other.extra_outputs[name]) for name, array in one.extra_outputs.items()]
    pairs += [(array, other.states[name]) for name, array in one.states.items()]
    return max(float(per_step(relative(found, expected)).max()) for expected, found in pairs)


def per_step(errors: Floats) -> Floats:
    """Return the largest absolute value of each step, shape (T,); not a number counts as infinite."""
    largest = np.abs(errors).reshape(len(errors), -1).max(axis=1)
    return np.where(np.isnan(largest), np.inf, largest)


def relative(found: Floats, expected: Floats) -> Floats:
    """Return the difference, relative where the expected value is above 1: cell states and values have no bound."""
    deviation: Floats = (found - expected) / np.maximum(1.0, np.abs(expected))
    return deviation


def agreement(probabilities: Floats, best: AnyArray) -> float:
    """Return the share of steps at which `best`, (T,), is the most likely output of `probabilities`, (T, K)."""
    return float((probabilities.argmax(axis=1) == best).mean())


def nll(probabilities: Floats, following: AnyArray) -> float:
    """Return the mean negative log-probability of `following`, (T - 1,), in the answers before them, (T, K)."""
    chosen = probabilities[np.arange(len(following)), following].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-30)).mean()) if len(following) else 0.0


def noise(found: Floats, expected: Floats) -> float:
    """Return the root mean square of the difference, as a share of the standard deviation of what is expected.

    The first axis of both is the steps; the worst column counts. Not a number is infinite.
    """
    spread = np.maximum(expected.std(axis=0), 1e-6)
    worst = float((np.sqrt(((found - expected) ** 2).mean(axis=0)) / spread).max())
    return worst if np.isfinite(worst) else np.inf
