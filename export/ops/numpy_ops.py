"""The arithmetic of the referee."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...runtime.common.arrays import Floats
from .activations import FORMULAS
from .precision import Rounding, as_they_are
from .protocol import Value, Weights


def _softmax(x: Floats) -> Floats:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    result: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def _log_softmax(x: Floats) -> Floats:
    below = x - x.max(axis=-1, keepdims=True)
    result: Floats = below - np.log(np.exp(below).sum(axis=-1, keepdims=True))
    return result


_erf = np.vectorize(math.erf, otypes=[np.float64])
_NUMPY_ACTIVATIONS: dict[str, Callable[[Value], Value]] = {
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
ACTIVATIONS = (*_NUMPY_ACTIVATIONS, *FORMULAS)  # the names of all that can be exported


class NumpyOps:
    """Computes in numpy: with float64 the referee, whose rounding errors do not count."""

    def __init__(self, dtype: type[np.floating[Any]] = np.float64, rounding: Rounding = as_they_are) -> None:
        """Compute with numbers of `dtype`, and with weights that have gone through `rounding`."""
        self._dtype = dtype
        self._rounding = rounding
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

    def split(self, x: Value, parts: int) -> list[Value]:
        """See `Ops.split`."""
        size = x.shape[-1] // parts
        return [x[..., part * size : (part + 1) * size] for part in range(parts)]  # np.split takes ten times as long

    def activation(self, name: str, x: Value) -> Value:
        """See `Ops.activation`."""
        return _NUMPY_ACTIVATIONS[name](x) if name in _NUMPY_ACTIVATIONS else FORMULAS[name](self, x)

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """See `Ops.concatenate`."""
        return np.concatenate(values, axis if axis < 0 else axis + 1)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """See `Ops.reshape`."""
        return x.reshape((len(x), *shape))

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """See `Ops.transpose`."""
        return x.transpose([0, *(axis + 1 for axis in axes)])

    def rows(self, x: Value, start: int, step: int = 1) -> Value:
        """See `Ops.rows`."""
        return x[:, start::step]

    def maximum(self, x: Value, y: Value | float) -> Value:
        """See `Ops.maximum`."""
        return np.maximum(x, y)

    def minimum(self, x: Value, y: Value | float) -> Value:
        """See `Ops.minimum`."""
        return np.minimum(x, y)

    def absolute(self, x: Value) -> Value:
        """See `Ops.absolute`."""
        return np.abs(x)

    def exp(self, x: Value) -> Value:
        """See `Ops.exp`."""
        return np.exp(x)

    def log(self, x: Value) -> Value:
        """See `Ops.log`."""
        return np.log(x)

    def sqrt(self, x: Value) -> Value:
        """See `Ops.sqrt`."""
        return np.sqrt(x)

    def total(self, x: Value, axes: Sequence[int]) -> Value:
        """See `Ops.total`."""
        return x.sum(tuple(axis + 1 for axis in axes), keepdims=True)

    def largest(self, x: Value, axes: Sequence[int]) -> Value:
        """See `Ops.largest`."""
        return x.max(tuple(axis + 1 for axis in axes), keepdims=True)

    def differs(self, x: Value, y: Value | float) -> Value:
        """See `Ops.differs`."""
        return np.not_equal(x, y).astype(self._dtype)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """See `Ops.select`."""
        return np.where(condition > 0.5, x, y)
