"""The arithmetic that step rules are written in, once for TensorFlow graphs and once for numpy.

A rule sees arrays only through `+`, `-`, `*` and the functions here, so one rule gives the exported graph and the
referee that the graph is checked against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import tensorflow as tf

from ..runtime.arrays import Float32, Floats
from .precision import Rounding, as_they_are

Value: TypeAlias = Any  # a tensor of the graph, or an array of the referee; both have +, - and *
Weights: TypeAlias = Float32


class Arithmetic(Protocol):
    """What a step rule may compute with. Every `x` is of shape (B, ...)."""

    def constant(self, weights: Weights) -> Value:
        """Return `weights` as a value."""

    def gather(self, table: Weights, ids: Value) -> Value:
        """Return the rows `ids`, shape (B,), of `table`: shape (B, ...)."""

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """Return x @ kernel, shape (B, N) for a kernel of shape (M, N)."""

    def split(self, x: Value, parts: int) -> list[Value]:
        """Split the last axis into `parts` equal ones."""

    def activation(self, name: str, x: Value) -> Value:
        """Apply the Keras activation `name`, one of `ACTIVATIONS`."""


class TensorFlowArithmetic:
    """Builds a float32 TensorFlow graph."""

    def __init__(self, rounding: Rounding = as_they_are) -> None:
        """Start with no weights used; all of them go through `rounding` first."""
        self._rounding = rounding
        self._used: dict[int, Weights] = {}
        self._activations = {
            "linear": lambda x: x,
            "relu": tf.nn.relu,
            "tanh": tf.tanh,
            "sigmoid": tf.sigmoid,
            "softmax": tf.nn.softmax,
            "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) * np.float32(1 / 6),
        }

    def constant(self, weights: Weights) -> Value:
        """See `Arithmetic.constant`."""
        self._used[id(weights)] = weights
        return tf.constant(self._rounding(weights), tf.float32)

    def bytes_used(self) -> int:
        """Return the size of all weights that went into the graph; equal ones and those that are all 0 do not count.

        (A converter stores equal ones once and drops an addition of 0.)
        """
        different = {weights.tobytes() for weights in self._used.values() if weights.any()}
        return sum(map(len, different))

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Arithmetic.gather`."""
        return tf.gather(self.constant(table), ids)

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Arithmetic.matmul`."""
        return tf.matmul(x, self.constant(kernel))

    def split(self, x: Value, parts: int) -> list[Value]:
        """See `Arithmetic.split`."""
        return list(tf.split(x, parts, axis=-1))

    def activation(self, name: str, x: Value) -> Value:
        """See `Arithmetic.activation`."""
        return self._activations[name](x)


def _softmax(x: Floats) -> Floats:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


_NUMPY_ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: np.tanh(x * 0.5) * 0.5 + 0.5,  # 1 / (1 + exp(-x)) would overflow
    "softmax": _softmax,
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
}
ACTIVATIONS = tuple(_NUMPY_ACTIVATIONS)


class NumpyArithmetic:
    """Computes in numpy: with float64 the referee, whose rounding errors do not count."""

    def __init__(self, dtype: type[np.floating[Any]] = np.float64, rounding: Rounding = as_they_are) -> None:
        """Compute with numbers of `dtype`, and with weights that have gone through `rounding`."""
        self._dtype = dtype
        self._rounding = rounding
        self._constants: dict[int, tuple[Weights, Floats]] = {}

    def constant(self, weights: Weights) -> Value:
        """See `Arithmetic.constant`."""
        key = id(weights)  # rules hand in the same arrays at every step; holding them keeps their ids theirs
        if key not in self._constants:
            self._constants[key] = weights, self._rounding(weights).astype(self._dtype)
        return self._constants[key][1]

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Arithmetic.gather`."""
        return self.constant(table)[ids]

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Arithmetic.matmul`."""
        return x @ self.constant(kernel)

    def split(self, x: Value, parts: int) -> list[Value]:
        """See `Arithmetic.split`."""
        size = x.shape[-1] // parts
        return [x[..., part * size : (part + 1) * size] for part in range(parts)]  # np.split takes ten times as long

    def activation(self, name: str, x: Value) -> Value:
        """See `Arithmetic.activation`."""
        return _NUMPY_ACTIVATIONS[name](x)
