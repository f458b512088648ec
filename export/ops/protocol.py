"""The operations of step rules, once for TensorFlow graphs and once for numpy.

A rule sees arrays only through `+`, `-`, `*`, `/` and these, so one rule gives the exported graph and the float64
reference that the graph is checked against. Activations that are written in terms of others are formulas here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ...runtime.common.arrays import Float32, Ids
from .precision import Rounding, unrounded

if TYPE_CHECKING:
    from ..tracing.traced_graph import TracedGraph

Value: TypeAlias = Any  # a tensor of the graph, or an array of the reference; both have +, -, * and /
Weights: TypeAlias = Float32


class Ops(ABC):
    """Operations of a step rule. Every `x` is of shape (B, ...); `axes` count from the first after the batch.

    A truth value is a number, 1 or 0.
    """

    _library: ClassVar[Any]  # numpy or TensorFlow
    _functions: ClassVar[Mapping[str, Callable[..., Value]]]  # those with other names there: concatenate, log, sum, max
    _activations: ClassVar[Mapping[str, Callable[[Value], Value]]]

    def __init__(self, rounding: Rounding = unrounded) -> None:
        """Use weights that have gone through `rounding`."""
        self._rounding = rounding

    @abstractmethod
    def constant(self, weights: Weights) -> Value:
        """Return `weights` as a value."""

    @abstractmethod
    def gather(self, table: Weights, ids: Value) -> Value:
        """Return the rows `ids`, shape (B,), of `table`: shape (B, ...)."""

    @abstractmethod
    def matmul(self, x: Value, kernel: Weights) -> Value:
        """Return x @ kernel, shape (B, ..., N) for x of shape (B, ..., M) and a kernel of shape (M, N)."""

    @abstractmethod
    def split(self, x: Value, parts: int) -> list[Value]:
        """Split the last axis into `parts` equal ones."""

    @abstractmethod
    def differs(self, x: Value, y: Value | float) -> Value:
        """Return 1 where x != y, else 0."""

    @abstractmethod
    def traced(self, graph: TracedGraph, values: Sequence[Value]) -> list[Value]:
        """Return the results of a traced function of `values`, each of shape (B, ...)."""

    @abstractmethod
    def as_ids(self, x: Value) -> Value:
        """Return the whole numbers nearest to x, none of which is below 0, as ids."""

    @abstractmethod
    def take(self, x: Value, indices: Ids) -> Value:
        """Return x[:, indices], shape (B, N, ...) for `indices` of shape (N,)."""

    @abstractmethod
    def matmul_each(self, x: Value, kernels: Weights) -> Value:
        """Return x[:, n] @ kernels[n] for each n, shape (B, N, K), for x of shape (B, N, M) and kernels (N, M, K)."""

    @abstractmethod
    def shift(self, x: Value, last: Weights) -> Value:
        """Return x[:, 1:] with `last`, shape (1, ...), behind it, for x of shape (B, N, ...).

        Nothing of x[:, 0] is in the result, even if it is no number.
        """

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """Join `values` along `axis`."""
        return self._functions["concatenate"](list(values), axis if axis < 0 else axis + 1)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """Return x in the shape (B, *shape)."""
        return self._library.reshape(x, [-1, *shape])

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """Reorder the axes after the batch."""
        return self._library.transpose(x, [0, *(axis + 1 for axis in axes)])

    def rows(self, x: Value, start: int, step: int = 1) -> Value:
        """Return x[:, start::step]."""
        return x[:, start::step]

    def row(self, x: Value, index: int) -> Value:
        """Return x[:, index]."""
        return x[:, index]

    def activation(self, name: str, x: Value) -> Value:
        """Apply the Keras activation `name`, one of `ACTIVATIONS`."""
        return self._activations[name](x) if name in self._activations else FORMULAS[name](self, x)

    def maximum(self, x: Value, y: Value | float) -> Value:
        """Return the larger of each two numbers."""
        return self._library.maximum(x, y)

    def minimum(self, x: Value, y: Value | float) -> Value:
        """Return the smaller of each two numbers."""
        return self._library.minimum(x, y)

    def absolute(self, x: Value) -> Value:
        """Return |x|."""
        return self._library.abs(x)

    def exp(self, x: Value) -> Value:
        """Return e to the power of x."""
        return self._library.exp(x)

    def log(self, x: Value) -> Value:
        """Return the natural logarithm of x."""
        return self._functions["log"](x)

    def sqrt(self, x: Value) -> Value:
        """Return the square root of x."""
        return self._library.sqrt(x)

    def total(self, x: Value, axes: Sequence[int]) -> Value:
        """Return the sum over `axes`, which stay with size 1."""
        return self._functions["sum"](x, axis=tuple(axis + 1 for axis in axes), keepdims=True)

    def largest(self, x: Value, axes: Sequence[int]) -> Value:
        """Return the maximum over `axes`, which stay with size 1."""
        return self._functions["max"](x, axis=tuple(axis + 1 for axis in axes), keepdims=True)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """Return x where `condition` is 1 and y where it is 0; the shapes are broadcast."""
        return self._library.where(condition > 0.5, x, y)


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


# hard_sigmoid of Keras 2, under a name of its own: Keras 3 has relu6(x + 3) / 6 there.
HARD_SIGMOID_KERAS2 = "hard_sigmoid_keras2"

FORMULAS: dict[str, Callable[[Ops, Any], Any]] = {
    "celu": elu,
    "elu": elu,
    "exponential": lambda a, x: a.exp(x),
    "hard_shrink": lambda a, x: a.select(a.differs(clip(a, x, -_SHRINK, _SHRINK), x), x, x * 0.0),
    HARD_SIGMOID_KERAS2: lambda a, x: clip(a, x * 0.2 + 0.5, 0.0, 1.0),
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
