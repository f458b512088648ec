"""The operations that build the graph of an exported file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import Ids
from .precision import Rounding, unrounded
from .protocol import Ops, Value, Weights

if TYPE_CHECKING:
    from ..tracing.traced_graph import TracedGraph


class TensorFlowOps(Ops):
    """Builds a float32 TensorFlow graph."""

    _library: ClassVar[Any] = tf
    _functions: ClassVar = {"concatenate": tf.concat, "log": tf.math.log, "sum": tf.reduce_sum, "max": tf.reduce_max}
    _activations: ClassVar = {
        "linear": lambda x: x,
        "relu": tf.nn.relu,
        "tanh": tf.tanh,
        "sigmoid": tf.sigmoid,
        "softmax": tf.nn.softmax,
        "log_softmax": tf.nn.log_softmax,
        "relu6": tf.nn.relu6,
        "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) * np.float32(1 / 6),
        # The converter makes one operator of it.
        "gelu": lambda x: x * 0.5 * (tf.math.erf(x * math.sqrt(0.5)) + 1.0),
    }

    def __init__(self, rounding: Rounding = unrounded) -> None:
        """Start with no weights used; all of them go through `rounding` first."""
        super().__init__(rounding)
        self._used: dict[int, Weights] = {}

    def bytes_used(self) -> int:
        """Return the size of all weights that went into the graph; equal ones and those that are all 0 do not count.

        (A converter stores equal ones once and drops an addition of 0.)
        """
        different = {weights.tobytes() for weights in self._used.values() if weights.any()}
        return sum(map(len, different))

    def constant(self, weights: Weights) -> Value:
        """See `Ops.constant`."""
        self._used[id(weights)] = weights
        return tf.constant(self._rounding(weights), tf.float32)

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`."""
        return tf.gather(self.constant(table), ids)

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Ops.matmul`."""
        if x.shape.rank == 2:
            return tf.matmul(x, self.constant(kernel))
        rows = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), self.constant(kernel))
        return tf.reshape(rows, [-1, *x.shape[1:-1], kernel.shape[1]])

    def matmul_each(self, x: Value, kernels: Weights) -> Value:
        """See `Ops.matmul_each`."""
        return tf.transpose(tf.matmul(tf.transpose(x, [1, 0, 2]), self.constant(kernels)), [1, 0, 2])

    def shift(self, x: Value, last: Weights) -> Value:
        """See `Ops.shift`."""
        # Padded with zeros: joining `last` would need the size of the batch, which is known in use alone.
        shifted = tf.pad(x[:, 1:], [[0, 0], [0, 1], *[[0, 0]] * (x.shape.rank - 2)])
        if not last.any():
            return shifted
        rows = np.zeros(tuple(x.shape[1:]), np.float32)
        rows[-1] = last[0]
        return shifted + tf.constant(rows)

    def split(self, x: Value, parts: int) -> list[Value]:
        """See `Ops.split`."""
        return list(tf.split(x, parts, axis=-1))

    def differs(self, x: Value, y: Value | float) -> Value:
        """See `Ops.differs`."""
        return tf.cast(tf.not_equal(x, y), tf.float32)

    def traced(self, graph: TracedGraph, values: Sequence[Value]) -> list[Value]:
        """See `Ops.traced`."""
        return graph.inline(values, self._rounding)

    def as_ids(self, x: Value) -> Value:
        """See `Ops.as_ids`."""
        return tf.cast(x + 0.5, tf.int32)

    def take(self, x: Value, indices: Ids) -> Value:
        """See `Ops.take`."""
        return tf.gather(x, indices, axis=1)
