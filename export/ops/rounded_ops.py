"""The operations in float32, rounded as another correct program might round them: it shows what float32 can hold.

Interpreters add in another order, fold constants into each other and approximate functions in their own way. Where two
large numbers cancel, that moves a result much more than the rounding of numpy alone. So each weight is moved by about
one unit in its last place here, and so are the results of functions.
"""

from __future__ import annotations

import numpy as np

from ...runtime.common.arrays import Float32, Floats
from .numpy_ops import NumpyOps
from .precision import Rounding, unrounded
from .protocol import Value, Weights

UNIT = float(np.finfo(np.float32).eps)  # a unit in the last place of 1
# Interpreters compute them from functions near 1, so that their error is absolute: 1.5e-8 for what is 1e-13.
_ABSOLUTE = ("sigmoid", "softmax")
_RELATIVE = ("tanh", "exponential", "gelu", "log_softmax")
_LARGEST_COUNT = 256.0  # weights that are whole numbers up to here are counts and flags, and exact everywhere
_SEED = 1985  # of IEEE 754


class RoundedOps(NumpyOps):
    """Computes in float32 with other roundings than numpy, the same ones at each call."""

    def __init__(self, rounding: Rounding = unrounded) -> None:
        """Compute with weights that have gone through `rounding` and have then been moved."""
        super().__init__(np.float32, lambda weights: _moved(rounding(weights)))
        self._exact = NumpyOps(np.float32, rounding)
        self._signs: dict[tuple[int, ...], Floats] = {}

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`. Rows are copied, not computed."""
        return self._exact.gather(table, ids)

    def activation(self, name: str, x: Value) -> Value:
        """See `Ops.activation`."""
        y = super().activation(name, x)
        if name in _ABSOLUTE:
            return y + self._signs_of(y) * np.float32(UNIT / 2)
        return y * (self._signs_of(y) * np.float32(UNIT) + np.float32(1)) if name in _RELATIVE else y

    def differs(self, x: Value, y: Value | float) -> Value:
        """See `Ops.differs`. A constant that was moved still equals itself."""
        return (np.abs(x - y) > 4 * UNIT * np.abs(y)).astype(np.float32)

    def _signs_of(self, array: Floats) -> Floats:
        if array.shape not in self._signs:
            self._signs[array.shape] = _random_signs(array.shape)
        return self._signs[array.shape]


def _moved(weights: Float32) -> Float32:
    """Return `weights` moved by one or two units in the last place, up or down; small whole numbers stay."""
    counts = (weights == np.round(weights)) & (np.abs(weights) <= _LARGEST_COUNT)
    moved: Float32 = np.where(counts, weights, weights * (1 + UNIT * _random_signs(weights.shape))).astype(np.float32)
    return moved


def _random_signs(shape: tuple[int, ...]) -> Float32:
    signs: Float32 = np.random.default_rng(_SEED).choice(np.array([-1, 1], np.float32), shape)
    return signs
