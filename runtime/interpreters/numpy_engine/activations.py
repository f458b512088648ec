"""Activations, in numpy."""

from __future__ import annotations

from math import pi, sqrt

from ...common.arrays import AnyArray
from .recorder import Tape, axis_of

_LARGEST_EXPONENT = 87.0  # e to it is still a float32


def clip(t: Tape, x: AnyArray, low: AnyArray | float | None = None, high: AnyArray | float | None = None) -> AnyArray:
    """Return x, but nothing below `low` or above `high`; None: no limit."""
    x = x if low is None else t("maximum", x, low)
    return x if high is None else t("minimum", x, high)


def logistic(t: Tape, x: AnyArray) -> AnyArray:
    """Return 1 / (1 + e^-x), written so that nothing overflows and what is nearly 0 keeps its digits."""

    def make(t: Tape, x: AnyArray) -> AnyArray:
        power = t("exp", t("minimum", x, _LARGEST_EXPONENT))
        return t("divide", power, t("add", power, 1.0))

    return t.formula("logistic", make, x)


def softmax(t: Tape, x: AnyArray, *, axis: int = -1, beta: float = 1.0) -> AnyArray:
    """Return e^(beta x) over its sum."""
    axis = axis_of(axis, x.ndim)

    def make(t: Tape, x: AnyArray) -> AnyArray:
        powers = t("exp", t("subtract", x, t.reduce("max", x, (axis,))))
        return t("divide", powers, t.reduce("sum", powers, (axis,)))

    return t.formula("softmax", make, t("multiply", x, beta), {"axis": axis})


def log_softmax(t: Tape, x: AnyArray, *, axis: int = -1) -> AnyArray:
    """Return the logarithm of the softmax."""
    axes = (axis_of(axis, x.ndim),)
    x = t("subtract", x, t.reduce("max", x, axes))
    return t("subtract", x, t("log", t.reduce("sum", t("exp", x), axes)))


def error_function(t: Tape, x: AnyArray) -> AnyArray:
    """Return erf(x), element by element."""
    return t.record("erf", [x], t.new(x.shape, x.dtype))


def gelu(t: Tape, x: AnyArray, *, approximate: bool = False) -> AnyArray:
    """Hendrycks and Gimpel 2016, Gaussian Error Linear Units: with erf, or with the tanh that comes near it."""
    if approximate:
        cubed = t("multiply", t("multiply", t("multiply", x, x), x), 0.044715)
        inner = t("tanh", t("multiply", t("add", x, cubed), sqrt(2 / pi)))
    else:
        inner = error_function(t, t("multiply", x, sqrt(0.5)))
    return t("multiply", t("multiply", x, 0.5), t("add", inner, 1.0))


def hard_sigmoid(t: Tape, x: AnyArray, *, alpha: float = 1 / 6, beta: float = 0.5) -> AnyArray:
    """Return alpha x + beta between 0 and 1."""
    return clip(t, t("add", t("multiply", x, alpha), beta), 0.0, 1.0)


def hard_swish(t: Tape, x: AnyArray) -> AnyArray:
    """Return x hard_sigmoid(x)."""
    return t("multiply", x, hard_sigmoid(t, x))


def elu(t: Tape, x: AnyArray, *, alpha: float = 1.0) -> AnyArray:
    """Return x above 0, alpha (e^x - 1) below."""
    below = t("subtract", t("exp", t("minimum", x, 0.0)), 1.0)
    return t("add", t("maximum", x, 0.0), t("multiply", below, alpha))


def leaky_relu(t: Tape, x: AnyArray, *, alpha: float) -> AnyArray:
    """Return x above 0, alpha x below."""
    return t("add", t("maximum", x, 0.0), t("multiply", t("minimum", x, 0.0), alpha))
