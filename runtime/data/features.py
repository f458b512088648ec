"""Numeric features and their statistics."""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1

import numpy as np

from ..common.arrays import AnyArray, Float32, Indices
from ..common.errors import CorpusError

_DIGITS = 7  # of float32
_LARGE = 10**5  # from where on float32 has only one digit or two behind the point
_MIN_STEPS = 100  # of float32 within one standard deviation
_DIGITS_OF_TYPICAL = 6


@dataclass(frozen=True)
class FeatureStats:
    """Statistics of one feature in the training data.

    Attributes:
        name: Name of the feature.
        mean: Mean of its values; of log(1 + value) if it is `logarithmic`.
        variance: Variance of the same.
        logarithmic: The network reads log(1 + x), x = max(value, 0).
    """

    name: str
    mean: float
    variance: float
    logarithmic: bool = False

    @property
    def typical(self) -> float:
        """The value that the network sees as 0, in few digits."""
        raw = expm1(self.mean) if self.logarithmic else self.mean
        return float(f"{raw:.{_DIGITS_OF_TYPICAL}g}")


@dataclass(frozen=True, eq=False)
class FeatureColumns:
    """F features of N symbols, unscaled: as a device feeds them.

    Attributes:
        names: Names of the features.
        values: float32 of shape (N, F).
        gap: Whether the last feature is the time since the previous event.
    """

    names: tuple[str, ...]
    values: Float32
    gap: bool = False

    def __getitem__(self, indices: Indices) -> FeatureColumns:
        """Return the features of some of the symbols."""
        return FeatureColumns(self.names, self.values[indices], self.gap)

    def as_inputs(self, indices: slice | Indices = slice(None)) -> dict[str, AnyArray]:
        """Return name -> values of T symbols, float32 of shape (T, 1), as `Stream.run` takes them."""
        return {name: self.values[indices, column : column + 1] for column, name in enumerate(self.names)}

    def stats(self) -> tuple[FeatureStats, ...]:
        """Return the statistics of each feature.

        Raises:
            CorpusError: A feature is constant, or so far from 0 that float32 cannot tell its values apart; the message
                names all of them.
        """
        stats, problems = [], []
        for index, name in enumerate(self.names):
            column = self.values[:, index].astype(np.float64)
            logarithmic = self.gap and index == len(self.names) - 1
            column = np.log1p(np.maximum(column, 0)) if logarithmic else column
            mean, variance = float(column.mean()), float(column.var())
            if not variance and abs(mean) >= _LARGE:
                problems.append(
                    f"{name} is always {mean:.{_DIGITS}g} in float32, which has {_DIGITS} digits; if it differs in "
                    "further digits, subtract its constant part (from a time the first one), else leave it out"
                )
            elif not variance:
                problems.append(f"{name} is always {float(self.values[0, index]):g}; leave it out")
            elif abs(mean) * _MIN_STEPS > 10**_DIGITS * variance**0.5:
                problems.append(
                    f"{name} is {mean:g} with a standard deviation of {variance**0.5:.2g}, and float32 has {_DIGITS} "
                    "digits; subtract its constant part"
                )
            stats.append(FeatureStats(name, mean, variance, logarithmic))
        if problems:
            raise CorpusError(f"These features cannot be learned from: {'; '.join(problems)}.")
        return tuple(stats)
