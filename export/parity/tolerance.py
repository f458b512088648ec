"""Tolerances: how far from Keras a file of each precision may be, on the scale of `scale.py`."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ..ops.golden import FLOAT32_TOLERANCE
from ..ops.precision import FLOAT16, FLOAT32, INT8, INT16
from .metrics import Deviation


@dataclass(frozen=True)
class Tolerance:
    """Largest differences from Keras that a file may have.

    Attributes:
        error: Largest difference of an output, on its scale.
        state: Largest difference of a state tensor, likewise. For quantised weights that of a single step from a given
            state: it tells rounding from a miswired state.
        agreement: Smallest share of steps at which both name the same most likely symbol.
        nll: Largest change of the mean negative log-probability, in nats, to either side.
        noise: Of outputs that are values: the largest root mean square of the difference, as a share of the standard
            deviation of the values of Keras.
    """

    error: float = inf
    state: float = inf
    agreement: float = 0.0
    nll: float = inf
    noise: float = inf

    def to_json(self) -> dict[str, float]:
        """Return the limits as a JSON object."""
        limits = {
            "max_abs_error": self.error,
            "single_step_state": self.state,
            "nll_change": self.nll,
            "noise_of_values": self.noise,
        }
        return {**{n: limit for n, limit in limits.items() if limit < inf}, "argmax_agreement": self.agreement}

    def missed(self, found: Deviation) -> list[str]:
        """Return the figures beyond the tolerance, in words; NaN is beyond every tolerance."""
        problems = []
        if not found.error <= self.error:
            problems.append(f"an output is off by {found.error:.2g} of its range (allowed {self.error:g})")
        if not found.agreement >= self.agreement:
            problems.append(
                f"{100 * found.agreement:.2f} % of the answers are the same (at least {100 * self.agreement:g} %)"
            )
        if not abs(found.nll_change) <= self.nll:
            problems.append(f"the NLL changes by {found.nll_change:+.2g} nats (at most {self.nll:g})")
        if not found.noise <= self.noise:
            problems.append(f"values have noise of {100 * found.noise:.2g} % (at most {100 * self.noise:g} %)")
        return problems


# The states of a single step were off by 2e-3 (float16) and 0.1 (int8) at most; 0.5 and more where they were miswired.
TOLERANCES = {
    FLOAT32: Tolerance(error=FLOAT32_TOLERANCE, state=FLOAT32_TOLERANCE),
    FLOAT16: Tolerance(error=2e-3, state=1e-2, agreement=0.999, noise=0.01),
    INT8: Tolerance(state=0.3, agreement=0.98, nll=0.01, noise=0.05),
    INT16: Tolerance(state=0.3, agreement=0.98, nll=0.01, noise=0.05),  # the same weights, and products of more bits
}
