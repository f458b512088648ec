"""The operations in numpy: with float64 the reference, whose rounding errors do not count."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...runtime.common.arrays import Floats, Ids
from .precision import Rounding, unrounded
from .protocol import FORMULAS, Ops, Value, Weights

if TYPE_CHECKING:
    from ..tracing.traced_graph import TracedGraph


def _softmax(x: Floats) -> Floats:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def _log_softmax(x: Floats) -> Floats:
    below = x - x.max(axis=-1, keepdims=True)
    result: Floats = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return result


_erf = np.vectorize(math.erf, otypes=[np.float64])
_ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: np.tanh(x * 0.5) * 0.5 + 0.5,  # 1 / (1 + exp(-x)) would overflow
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "gelu": lambda x: 0.5 * x * (1 + _erf(x * math.sqrt(0.5)).astype(x.dtype)),
}
ACTIVATIONS = (*_ACTIVATIONS, *FORMULAS)  # the names of all that can be exported


class NumpyOps(Ops):
    """Computes in numpy."""

    _library: ClassVar[Any] = np
    _functions: ClassVar = {"concatenate": np.concatenate, "log": np.log, "sum": np.sum, "max": np.max}
    _activations: ClassVar = _ACTIVATIONS

    def __init__(self, dtype: type[np.floating[Any]] = np.float64, rounding: Rounding = unrounded) -> None:
        """Compute with numbers of `dtype`, and with weights that have gone through `rounding`."""
        super().__init__(rounding)
        self._dtype = dtype
        self._constants: dict[int, tuple[Weights, Floats]] = {}

    def constant(self, weights: Weights) -> Value:
        """See `Ops.constant`."""
        key = id(weights)  # rules hand in the same arrays at every step; holding them keeps their ids theirs
        if key not in self._constants:
            self._constants[key] = weights, self._rounding(weights).astype(self._dtype)
        return self._constants[key][1]

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`."""
        return self.constant(table)[ids]

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """See `Ops.matmul`."""
        return x @ self.constant(kernel)

    def matmul_each(self, x: Value, kernels: Weights) -> Value:
        """See `Ops.matmul_each`."""
        return np.matmul(x.swapaxes(0, 1), self.constant(kernels)).swapaxes(0, 1)

    def shift(self, x: Value, last: Weights) -> Value:
        """See `Ops.shift`."""
        shifted = np.empty_like(x)
        shifted[:, :-1], shifted[:, -1] = x[:, 1:], last[0]
        return shifted

    def split(self, x: Value, parts: int) -> list[Value]:
        """See `Ops.split`."""
        size = x.shape[-1] // parts
        return [x[..., part * size : (part + 1) * size] for part in range(parts)]  # np.split takes ten times as long

    def differs(self, x: Value, y: Value | float) -> Value:
        """See `Ops.differs`."""
        return np.not_equal(x, y).astype(self._dtype)

    def traced(self, graph: TracedGraph, values: Sequence[Value]) -> list[Value]:
        """See `Ops.traced`."""
        return list(graph.run(values, self._dtype, self._rounding))

    def as_ids(self, x: Value) -> Value:
        """See `Ops.as_ids`."""
        return (x + 0.5).astype(np.int32)

    def take(self, x: Value, indices: Ids) -> Value:
        """See `Ops.take`."""
        return x[:, indices]
