"""What step rules may compute with, once for TensorFlow graphs and once for numpy.

A rule sees arrays only through `+`, `-`, `*`, `/` and the functions here, so one rule gives the exported graph and the
referee that the graph is checked against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from ...runtime.common.arrays import Float32

Value: TypeAlias = Any  # a tensor of the graph, or an array of the referee; both have +, -, * and /
Weights: TypeAlias = Float32


class Ops(Protocol):
    """What a step rule may compute with. Every `x` is of shape (B, ...); `axes` count from the first after the batch.

    What is true or false is a number here, 1 or 0.
    """

    def constant(self, weights: Weights) -> Value:
        """Return `weights` as a value."""

    def gather(self, table: Weights, ids: Value) -> Value:
        """Return the rows `ids`, shape (B,), of `table`: shape (B, ...)."""

    def matmul(self, x: Value, kernel: Weights) -> Value:
        """Return x @ kernel, shape (B, ..., N) for x of shape (B, ..., M) and a kernel of shape (M, N)."""

    def split(self, x: Value, parts: int) -> list[Value]:
        """Split the last axis into `parts` equal ones."""

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """Join `values` along `axis`."""

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """Return x in the shape (B, *shape)."""

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        """Reorder the axes after the batch."""

    def rows(self, x: Value, start: int, step: int = 1) -> Value:
        """Return x[:, start::step]."""

    def activation(self, name: str, x: Value) -> Value:
        """Apply the Keras activation `name`, one of `ACTIVATIONS`."""

    def maximum(self, x: Value, y: Value | float) -> Value:
        """Return the larger of each two numbers."""

    def minimum(self, x: Value, y: Value | float) -> Value:
        """Return the smaller of each two numbers."""

    def absolute(self, x: Value) -> Value:
        """Return |x|."""

    def exp(self, x: Value) -> Value:
        """Return e to the power of x."""

    def log(self, x: Value) -> Value:
        """Return the natural logarithm of x."""

    def sqrt(self, x: Value) -> Value:
        """Return the square root of x."""

    def total(self, x: Value, axes: Sequence[int]) -> Value:
        """Return the sum over `axes`, which stay with size 1."""

    def largest(self, x: Value, axes: Sequence[int]) -> Value:
        """Return the maximum over `axes`, which stay with size 1."""

    def differs(self, x: Value, y: Value | float) -> Value:
        """Return 1 where x != y, else 0."""

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        """Return x where `condition` is 1 and y where it is 0; the shapes are broadcast."""
