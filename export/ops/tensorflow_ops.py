"""The arithmetic that builds the graph of an exported file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from .activations import FORMULAS
from .precision import Rounding, as_they_are
from .protocol import Value, Weights


class TensorFlowOps:
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
            "log_softmax": tf.nn.log_softmax,
            "relu6": tf.nn.relu6,
            "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) * np.float32(1 / 6),
            "gelu": lambda x: (
                x * 0.5 * (tf.math.erf(x * math.sqrt(0.5)) + 1.0)
            ),  # the converter makes one operator of it
        }

    def constant(self, weights: Weights) -> Value:
        """See `Ops.constant`."""
        self._used[id(weights)] = weights
        return tf.constant(self._rounding(weights), tf.float32)

    def bytes_used(self) -> int:
        """Return the size of all weights that went into the graph; equal ones and those that are all 0 do not count.

        (A converter stores equal ones once and drops an addition of 0.)
        """
        different = {weights.tobytes() for weights in self._used.values() if weights.any()}
        return sum(map(len, different))

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`."""
        return tf.gather(self.constant(table), ids)

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Ops.matmul`."""
        if x.shape.rank == 2:
            return tf.matmul(x, self.constant(kernel))
        rows = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), self.constant(kernel))
        return tf.reshape(rows, [-1, *x.shape[1:-1], kernel.shape[1]])

    def split(self, x: Value, parts: int) -> list[Value]:
        """See `Ops.split`."""
        return list(tf.split(x, parts, axis=-1))

    def activation(self, name: str, x: Value) -> Value:
        """See `Ops.activation`."""
        return self._activations[name](x) if name in self._activations else FORMULAS[name](self, x)

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """See `Ops.concatenate`."""
        return tf.concat(list(values), axis if axis < 0 else axis + 1)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """See `Ops.reshape`."""
        return tf.reshape(x, [-1, *shape])

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """See `Ops.transpose`."""
        return tf.transpose(x, [0, *(axis + 1 for axis in axes)])

    def rows(self, x: Value, start: int, step: int = 1) -> Value:
        """See `Ops.rows`."""
        return x[:, start::step]

    def maximum(self, x: Value, y: Value | float) -> Value:
        """See `Ops.maximum`."""
        return tf.maximum(x, y)

    def minimum(self, x: Value, y: Value | float) -> Value:
        """See `Ops.minimum`."""
        return tf.minimum(x, y)

    def absolute(self, x: Value) -> Value:
        """See `Ops.absolute`."""
        return tf.abs(x)

    def exp(self, x: Value) -> Value:
        """See `Ops.exp`."""
        return tf.exp(x)

    def log(self, x: Value) -> Value:
        """See `Ops.log`."""
        return tf.math.log(x)

    def sqrt(self, x: Value) -> Value:
        """See `Ops.sqrt`."""
        return tf.sqrt(x)

    def total(self, x: Value, axes: Sequence[int]) -> Value:
        """See `Ops.total`."""
        return tf.reduce_sum(x, [axis + 1 for axis in axes], keepdims=True)

    def largest(self, x: Value, axes: Sequence[int]) -> Value:
        """See `Ops.largest`."""
        return tf.reduce_max(x, [axis + 1 for axis in axes], keepdims=True)

    def differs(self, x: Value, y: Value | float) -> Value:
        """See `Ops.differs`."""
        return tf.cast(tf.not_equal(x, y), tf.float32)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """See `Ops.select`."""
        return tf.where(condition > 0.5, x, y)
