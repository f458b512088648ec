"""Tables in the place of functions, for cores without a floating point unit, in C and the same in numpy.

Between two numbers of a table lies a straight line. Errors, at most: hyperbolic tangent 4e-5, logistic 2e-5, and the
exponential of a softmax, of numbers that are not positive, 4e-5 of itself. What is not a number stays none.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from ...runtime.common.arrays import AnyArray
from .names import array

TANH_ERROR, LOGISTIC_ERROR, EXP_ERROR = 4e-5, 2e-5, 4e-5  # the last one relative

_PER_UNIT, _CURVE = 46, 256  # numbers of the table of tanh for each unit, and intervals of all
_WITHIN = 4096  # steps from one number to the next
_ONE = 65535  # in the table
_POWERS, _WITHIN_POWERS, _HALF = 64, 1 << 14, 32768  # the same for 2^-f, of which 1 is twice _HALF
_SMALLEST_EXPONENT = 87.0

_RIGHT = np.tanh(np.arange(_CURVE + 1) / _PER_UNIT)
# The curve lies above the lines between its points, at most by an eighth of its bend; so the points are raised by half.
_RAISED = _RIGHT + _RIGHT * (1 - _RIGHT**2) / (8 * _PER_UNIT**2)
CURVE: NDArray[np.uint16] = np.rint(_RAISED * _ONE).astype(np.uint16)
CURVE[-1] = _ONE
# 2^(1 - f) - 1: the digits of 2^-f behind the first.
POWERS: NDArray[np.uint16] = np.rint((2.0 ** (1 - np.arange(_POWERS + 1) / _POWERS) - 1) * _HALF).astype(np.uint16)

_CURVE_TEXT = f"""\
/* tanh(x steps / {_PER_UNIT * _WITHIN}) as an integer, {_ONE * _WITHIN} for 1; INT32_MIN for what is no number. */
static int32_t NAME_curve(float x, float steps)
{{
    uint32_t bits, at = {_CURVE * _WITHIN};
    int32_t found = {_ONE * _WITHIN};
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return INT32_MIN;
    if ((bits & 0x7FFFFFFFu) < 0x41800000u) at = (uint32_t)((bits >> 31 ? -x : x) * steps); /* below 16 */
    if (at < {_CURVE * _WITHIN}u) {{
        const uint16_t *const entry = NAME_curve_table + at / {_WITHIN};
        found = (int32_t)(entry[0] * {_WITHIN}u + (uint32_t)(entry[1] - entry[0]) * (at % {_WITHIN}));
    }}
    return bits >> 31 ? -found : found;
}}
"""
_TANH = f"""\
static float NAME_tanh(float x)
{{
    const int32_t found = NAME_curve(x, {_PER_UNIT * _WITHIN}.0f);
    return found == INT32_MIN ? x : (float)found * (1.0f / {_ONE * _WITHIN}.0f);
}}
"""
_LOGISTIC = f"""\
/* (1 + tanh(x / 2)) / 2 */
static float NAME_logistic(float x)
{{
    const int32_t found = NAME_curve(x, {_PER_UNIT * _WITHIN // 2}.0f);
    return found == INT32_MIN ? x : (float)(found + {_ONE * _WITHIN}) * (0.5f / {_ONE * _WITHIN}.0f);
}}
"""
_EXP = f"""\
/* e to the power of x, which is not above 0; 0 below -{_SMALLEST_EXPONENT:g}. */
static float NAME_exp(float x)
{{
    uint32_t bits, at, high, low;
    memcpy(&bits, &x, sizeof bits);
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u) return x;
    if (bits > 0x42AE0000u) return 0.0f;
    at = (uint32_t)(x * (-1.44269504f * {_POWERS * _WITHIN_POWERS}.0f)); /* -x / log(2), in fractions */
    high = NAME_powers_table[at / {_WITHIN_POWERS} % {_POWERS}];
    low = NAME_powers_table[at / {_WITHIN_POWERS} % {_POWERS} + 1];
    bits = (high * {_WITHIN_POWERS} - (high - low) * (at % {_WITHIN_POWERS})) >> 6;
    bits += (126 - at / {_POWERS * _WITHIN_POWERS}) << 23;
    memcpy(&x, &bits, sizeof x);
    return x;
}}
"""
_NOT_FINITE = """\
/* Not 0 if x is not finite. */
static uint32_t NAME_not_finite(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return ((bits & 0x7FFFFFFFu) + 0x00800000u) >> 31;
}
"""
# As `kernels.KERNELS`, in the place of those of the same names.
TABLE_KERNELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "not_finite": (_NOT_FINITE, ()),
    "curve": (f"{array('NAME_curve_table', CURVE)}\n\n{_CURVE_TEXT}", ()),
    "exp": (f"{array('NAME_powers_table', POWERS)}\n\n{_EXP}", ()),
    "logistic": (_LOGISTIC, ("curve",)),
    "tanh": (_TANH, ("curve",)),
}


def table_bytes(kernels: Collection[str]) -> int:
    """Return the bytes of the tables of some functions."""
    return sum(table.nbytes for name, table in {"curve": CURVE, "exp": POWERS}.items() if name in kernels)


def tanh(x: AnyArray) -> AnyArray:
    """Return what NAME_tanh returns."""
    return _curve(x, _PER_UNIT * _WITHIN)


def logistic(x: AnyArray) -> AnyArray:
    """Return what NAME_logistic returns."""
    found: AnyArray = (1 + _curve(x, _PER_UNIT * _WITHIN // 2)) / 2
    return found


def softmax(x: AnyArray, axis: int) -> AnyArray:
    """Return what NAME_softmax returns, along an axis."""
    powers = exp(x - x.max(axis=axis, keepdims=True))
    found: AnyArray = powers / powers.sum(axis=axis, keepdims=True)
    return found


def exp(x: AnyArray) -> AnyArray:
    """Return what NAME_exp returns, of numbers that are not positive."""
    at = (np.maximum(x, -_SMALLEST_EXPONENT) * (-np.log2(np.e) * _POWERS * _WITHIN_POWERS)).astype(np.int64)
    place = at // _WITHIN_POWERS % _POWERS
    high, low = POWERS[place].astype(np.float64), POWERS[place + 1].astype(np.float64)
    digits = high - (high - low) * (at % _WITHIN_POWERS) / _WITHIN_POWERS
    powers = (1 + digits / _HALF) * 2.0 ** (-1 - at // (_POWERS * _WITHIN_POWERS))
    return np.asarray(np.where(x < -_SMALLEST_EXPONENT, 0, powers), x.dtype)


def _curve(x: AnyArray, steps: int) -> AnyArray:
    at = np.minimum((np.abs(x).clip(0, 16) * steps).astype(np.int64), _CURVE * _WITHIN - 1)
    low, high = (CURVE[at // _WITHIN + n].astype(np.float64) for n in (0, 1))
    found = (low + (high - low) * (at % _WITHIN) / _WITHIN) / _ONE
    return np.asarray(np.copysign(found, x), x.dtype)
