"""The scale of the values that a network answers with, and the error that it learns to make small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.common.arrays import Float32


def _squared(error: Any) -> Any:
    return error * error


def _huber(error: Any) -> Any:
    size = abs(error)
    small = (size + 1 - abs(size - 1)) / 2  # the smaller one of size and 1, for arrays and tensors alike
    return small * small / 2 + (size - small)


# Name of a loss -> the loss of an error in standard deviations, elementwise, for numpy and TensorFlow.
LOSSES: dict[str, Callable[[Any], Any]] = {"mse": _squared, "mae": abs, "huber": _huber}


@dataclass(frozen=True)
class ValueScaling:
    """K values, and the scale on which the head of a network answers them: (value - base - mean) / deviation.

    Attributes:
        names: Their names.
        means: Mean of each value, or of its change from the base.
        variances: Variance of the same.
        bases: For each value the index of a feature whose present number is its base: the network answers with the
            change from it. -1: it has none; (): none has.
        loss: One of `LOSSES`.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    variances: tuple[float, ...]
    bases: tuple[int, ...] = ()
    loss: str = "mse"

    @property
    def offsets(self) -> Float32:
        """The means, shape (K,)."""
        return np.array(self.means, np.float32)

    @property
    def deviations(self) -> Float32:
        """The standard deviations, shape (K,)."""
        return np.array(np.sqrt(self.variances), np.float32)

    def losses(self, errors: Any) -> Any:
        """Return the loss of errors in standard deviations, elementwise."""
        return LOSSES[self.loss](errors)
