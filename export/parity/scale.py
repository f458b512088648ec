"""The scale that differences are measured on.

A difference says nothing without a scale: 0.01 is much of a probability and nothing of 1,800 W. The scale of a number
is its range over a run (of a probability 1). Where float32 itself cannot hold a millionth of that range, because large
numbers cancel within a step, the scale is a million times the rounding error of that step: `RoundedOps` computes it
beside the float64 reference. On this scale one limit holds for all numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ...runtime.common.arrays import Floats
from ..ops.golden import FLOAT32_TOLERANCE, ROUNDING_ALLOWED
from ..ops.precision import FLOAT32
from ..ops.rounded_ops import UNIT

# A number of which float32 holds less than this share of its range is measured on the scale of its rounding.
_RESOLVED = FLOAT32_TOLERANCE / ROUNDING_ALLOWED
_SMALLEST = 1e-30  # of a scale; a number that is always 0 has none


@dataclass(frozen=True)
class Scale:
    """The scale on which the differences of one tensor are measured.

    Attributes:
        fine: Of each number of the tensor, (...): its range, or a million times its rounding error where that is more.
        coarse: Of all numbers together, for quantised weights, whose errors do not follow the numbers: of outputs the
            largest of `fine`, of states the largest number.
        span: Of each number the largest less the smallest, (...).
    """

    fine: Floats
    coarse: float
    span: Floats

    def relative(self, found: Floats, expected: Floats, precision: str = FLOAT32) -> Floats:
        """Return the difference on this scale; (T, ...) as both arrays."""
        difference: Floats = (found - expected) / (self.fine if precision == FLOAT32 else self.coarse)
        return difference


Scales: TypeAlias = Mapping[str, Scale]  # name of an output or of a next state -> its scale


def scale_of(values: Floats, rounding: Floats | float = 0.0, *, bounded: bool = False) -> Scale:
    """Return the scale of a tensor.

    Args:
        values: The right numbers over a run, (T, ...).
        rounding: How far apart two right computations of a step may be, for each number: (...), or one for all.
        bounded: They are probabilities, whose range is 1 even if this run does not use it.
    """
    largest = np.abs(values).max(axis=0)
    span: Floats = np.ones(values.shape[1:]) if bounded else np.ptp(values, axis=0)
    noise = np.maximum(rounding, UNIT / 2 * largest)
    fine = np.maximum(np.maximum(span, noise / _RESOLVED), _SMALLEST)
    return Scale(fine, float(fine.max(initial=_SMALLEST)), span)
