"""Activations, in numpy."""

from __future__ import annotations

from math import erf, pi, sqrt

import numpy as np

from ...common.arrays import AnyArray
from .recorder import Tape, axis_of

_LARGEST_EXPONENT = 87.0  # e to it is still a float32
_erf = np.frompyfunc(erf, 1, 1)  # numpy has none


def clip(t: Tape, x: AnyArray, low: AnyArray | float | None = None, high: AnyArray | float | None = None) -> AnyArray:
    """Return x, but nothing below `low` or above `high`; None: no limit."""
    x = x if low is None else t(np.maximum, x, low)
    return x if high is None else t(np.minimum, x, high)


def logistic(t: Tape, x: AnyArray) -> AnyArray:
    """Return 1 / (1 + e^-x), written so that nothing overflows and what is nearly 0 keeps its digits."""
    power = t(np.exp, t(np.minimum, x, _LARGEST_EXPONENT))
    return t(np.divide, power, t(np.add, power, 1.0))


def softmax(t: Tape, x: AnyArray, *, axis: int = -1, beta: float = 1.0) -> AnyArray:
    """Return e^(beta x) over its sum."""
    axes = (axis_of(axis, x.ndim),)
    x = t(np.multiply, x, beta)
    powers = t(np.exp, t(np.subtract, x, t.reduce(np.maximum, x, axes)))
    return t(np.divide, powers, t.reduce(np.add, powers, axes))


def log_softmax(t: Tape, x: AnyArray, *, axis: int = -1) -> AnyArray:
    """Return the logarithm of the softmax."""
    axes = (axis_of(axis, x.ndim),)
    x = t(np.subtract, x, t.reduce(np.maximum, x, axes))
    return t(np.subtract, x, t(np.log, t.reduce(np.add, t(np.exp, x), axes)))


def error_function(t: Tape, x: AnyArray) -> AnyArray:
    """Return erf(x), element by element."""
    out = t.new(x.shape, x.dtype)

    def fill() -> None:
        out[...] = _erf(x)

    t.record(fill)
    return out


def gelu(t: Tape, x: AnyArray, *, approximate: bool = False) -> AnyArray:
    """Hendrycks and Gimpel 2016, Gaussian Error Linear Units: with erf, or with the tanh that comes near it."""
    if approximate:
        cubed = t(np.multiply, t(np.multiply, t(np.multiply, x, x), x), 0.044715)
        inner = t(np.tanh, t(np.multiply, t(np.add, x, cubed), sqrt(2 / pi)))
    else:
        inner = error_function(t, t(np.multiply, x, sqrt(0.5)))
    return t(np.multiply, t(np.multiply, x, 0.5), t(np.add, inner, 1.0))


def hard_sigmoid(t: Tape, x: AnyArray, *, alpha: float = 1 / 6, beta: float = 0.5) -> AnyArray:
    """Return alpha x + beta between 0 and 1."""
    return clip(t, t(np.add, t(np.multiply, x, alpha), beta), 0.0, 1.0)


def hard_swish(t: Tape, x: AnyArray) -> AnyArray:
    """Return x hard_sigmoid(x)."""
    return t(np.multiply, x, hard_sigmoid(t, x))


def elu(t: Tape, x: AnyArray, *, alpha: float = 1.0) -> AnyArray:
    """Return x above 0, alpha (e^x - 1) below."""
    below = t(np.subtract, t(np.exp, t(np.minimum, x, 0.0)), 1.0)
    return t(np.add, t(np.maximum, x, 0.0), t(np.multiply, below, alpha))


def leaky_relu(t: Tape, x: AnyArray, *, alpha: float) -> AnyArray:
    """Return x above 0, alpha x below."""
    return t(np.add, t(np.maximum, x, 0.0), t(np.multiply, t(np.minimum, x, 0.0), alpha))
