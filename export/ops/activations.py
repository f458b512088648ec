"""Activations of Keras that are written in terms of others: the formulas, for every arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .protocol import Ops, Value

# Klambauer et al. 2017, Self-Normalizing Neural Networks: the constants for which mean 0 and variance 1 are kept.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
_SHRINK = 0.5  # the threshold that Keras takes unless told otherwise


def clip(a: Ops, x: Value, low: float, high: float) -> Value:
    """Return x, but nothing below `low` or above `high`."""
    return a.minimum(a.maximum(x, low), high)


def elu(a: Ops, x: Value, alpha: float = 1.0) -> Value:
    """Clevert et al. 2016: x above 0, alpha (e^x - 1) below."""
    return a.activation("relu", x) + (a.exp(a.minimum(x, 0.0)) - 1.0) * alpha


def leaky_relu(a: Ops, x: Value, slope: Any = 0.2) -> Value:
    """Return x above 0, slope x below; `slope` is a number or a value."""
    return a.activation("relu", x) + a.minimum(x, 0.0) * slope


def softplus(a: Ops, x: Value) -> Value:
    """Return log(1 + e^x), written so that e^x cannot overflow."""
    return a.activation("relu", x) + a.log(a.exp(-a.absolute(x)) + 1.0)


def _square(x: Value) -> Value:
    return x * x


FORMULAS: dict[str, Callable[[Ops, Any], Any]] = {
    "celu": elu,
    "elu": elu,
    "exponential": lambda a, x: a.exp(x),
    "hard_shrink": lambda a, x: a.select(a.differs(clip(a, x, -_SHRINK, _SHRINK), x), x, x * 0.0),
    "hard_silu": lambda a, x: x * a.activation("hard_sigmoid", x),
    "hard_tanh": lambda a, x: clip(a, x, -1.0, 1.0),
    "leaky_relu": leaky_relu,
    "log_sigmoid": lambda a, x: -softplus(a, -x),
    "mish": lambda a, x: x * a.activation("tanh", softplus(a, x)),
    "selu": lambda a, x: elu(a, x, _SELU_ALPHA) * _SELU_SCALE,
    "silu": lambda a, x: x * a.activation("sigmoid", x),
    "soft_shrink": lambda a, x: a.activation("relu", x - _SHRINK) - a.activation("relu", -x - _SHRINK),
    "softplus": softplus,
    "softsign": lambda a, x: x / (a.absolute(x) + 1.0),
    "sparse_plus": lambda a, x: _square(clip(a, x + 1.0, 0.0, 2.0)) * 0.25 + a.activation("relu", x - 1.0),
    "sparse_sigmoid": lambda a, x: clip(a, x * 0.5 + 0.5, 0.0, 1.0),
    "squareplus": lambda a, x: (x + a.sqrt(x * x + 4.0)) * 0.5,
    "tanh_shrink": lambda a, x: x - a.activation("tanh", x),
}
