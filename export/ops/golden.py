"""Parts of a golden sequence: which runs it has, and which numbers of them a file records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...runtime.common.arrays import Floats
from ...runtime.format.manifest import Golden

# (start, steps): from the initial state, from a non-zero state, and once more after a reset.
GOLDEN_RUNS = (("initial", 10), ("ramp", 10), ("initial", 4))
MOST_OUTPUTS = 32  # recorded: enough to notice any fault, few enough for thousands of symbols
ROUNDING_ALLOWED = 10  # times the rounding seen: interpreters round in other places than numpy
# Other kernels and other orders of summation; 2.6e-6 was the largest difference seen in probabilities (256 units,
# 20,000 steps), and a wrong mapping differs by 1e-2 and more.
FLOAT32_TOLERANCE = 1e-5
# For int8 the right outputs are those of the weights before they were quantised, and interpreters differ from them and
# from each other in how they bring activations to 8 bits. So the tolerance is taken from the interpreters here, doubled
# for those elsewhere.
_INTERPRETERS_ALLOWED = 2
_SMALLEST_INT8_TOLERANCE = 1e-3


def recorded_outputs(probabilities: Floats, most: int = MOST_OUTPUTS) -> list[int]:
    """Return up to `most` columns of (T, K) to record: the most likely ones, then some spread over the rest."""
    likely = sorted({int(id) for id in probabilities.argmax(axis=1)})
    size = probabilities.shape[1]
    spread = np.linspace(0, size - 1, min(size, most)).astype(int).tolist()
    return sorted([*likely, *(id for id in spread if id not in likely)][:most])


def golden_tolerance(rounding: float) -> float:
    """Return the tolerance of a golden sequence on which rounding alone was seen to change an output by `rounding`."""
    return max(FLOAT32_TOLERANCE, float(f"{ROUNDING_ALLOWED * rounding:.0e}"))


def with_measured_tolerance(golden: Golden, worst: float) -> Golden:
    """Return the `golden` sequence of an int8 file, off by `worst` at most on the interpreters here."""
    return replace(golden, tolerance=float(f"{max(_INTERPRETERS_ALLOWED * worst, _SMALLEST_INT8_TOLERANCE):.1e}"))


def allowed_difference(values: Floats, rounding: Floats) -> Floats:
    """Return the difference that each number of an output of values may have from the recorded one, (K,).

    Args:
        values: The right numbers, (T, K).
        rounding: The largest difference between right computations, (K,).
    """
    noise = np.maximum(rounding, np.finfo(np.float32).eps / 2 * np.abs(values).max(axis=0))
    allowed: Floats = np.maximum(FLOAT32_TOLERANCE * np.ptp(values, axis=0), ROUNDING_ALLOWED * noise)
    return np.maximum(allowed, np.finfo(np.float32).smallest_normal)


def as_rows(array: Floats, digits: int = 7) -> tuple[tuple[float, ...], ...]:
    """Return an array (T, K) as rows of numbers with so many digits."""
    return tuple(tuple(float(f"{number:.{digits}g}") for number in row) for row in array)
