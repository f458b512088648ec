"""Numbers beside the symbols: what a model reads as features, raw, and how far they spread."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import expm1, isfinite

import numpy as np

from ..common.arrays import AnyArray, Float32, Indices
from ..common.errors import CorpusError

GAP = "gap"  # name of the feature that is the time since the event before
_LARGEST = float(np.finfo(np.float32).max)
_DIGITS = 7  # that float32 has
_FEWEST_STEPS = 100  # of float32 within the spread of a feature
_DIGITS_OF_TYPICAL = 6
# What has a meaning in a model file: see README, "The model file".
_RESERVED = re.compile(r"symbols?|probabilities|values|next_.*|(h|c|past|prepared)\d+", re.ASCII)
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


@dataclass(frozen=True)
class FeatureStats:
    """How one feature spreads in what is learned from.

    Attributes:
        name: Of the feature.
        mean: Of its numbers; of their log(1 + x) where it is `logarithmic`.
        variance: Of the same.
        logarithmic: The network sees log(1 + x), x being 0 where it is negative.
    """

    name: str
    mean: float
    variance: float
    logarithmic: bool = False

    @property
    def typical(self) -> float:
        """The number, as it is fed, that the network sees as 0, in few digits."""
        raw = expm1(self.mean) if self.logarithmic else self.mean
        return float(f"{raw:.{_DIGITS_OF_TYPICAL}g}")


@dataclass(frozen=True, eq=False)
class FeatureColumns:
    """Numbers of N symbols, F of each, as a device is fed them.

    Attributes:
        names: Of the features.
        values: float32 of shape (N, F).
        gap: Whether the last of them is the time since the event before.
    """

    names: tuple[str, ...]
    values: Float32
    gap: bool = False

    def __getitem__(self, places: Indices) -> FeatureColumns:
        """Return those of some of the symbols."""
        return FeatureColumns(self.names, self.values[places], self.gap)

    def as_inputs(self, indices: slice | Indices = slice(None)) -> dict[str, AnyArray]:
        """Return name -> numbers, float32 of shape (T, 1), as `Stream.run` takes them."""
        return {name: self.values[indices, index : index + 1] for index, name in enumerate(self.names)}

    def stats(self) -> tuple[FeatureStats, ...]:
        """Return how far each feature spreads.

        Raises:
            CorpusError: One is always the same, or so far from 0 that float32 cannot tell its numbers apart.
        """
        stats, problems = [], []
        for index, name in enumerate(self.names):
            column = self.values[:, index].astype(np.float64)
            logarithmic = self.gap and index == len(self.names) - 1
            column = np.log1p(np.maximum(column, 0)) if logarithmic else column
            mean, variance = float(column.mean()), float(column.var())
            if not variance:
                problems.append(f"{name} is always {float(self.values[0, index]):g}, which says nothing; leave it out")
            elif abs(mean) * _FEWEST_STEPS > 10**_DIGITS * variance**0.5:
                problems.append(
                    f"{name} is {mean:g} with a standard deviation of {variance**0.5:.2g}, and float32 has {_DIGITS} "
                    "digits; subtract what is always the same"
                )
            stats.append(FeatureStats(name, mean, variance, logarithmic))
        if problems:
            raise CorpusError(f"These features cannot be learned from: {'; '.join(problems)}.")
        return tuple(stats)


def feature_name(column: str) -> str:
    """Return what a feature is called in model files, after its column.

    >>> feature_name("Speed (km/h)")
    'Speed_km_h'
    """
    name = re.sub(r"\W+", "_", column, flags=re.ASCII).strip("_")
    return name if _NAME.fullmatch(name) else f"feature_{name}"


def feature_problems(features: Mapping[str, str], *, gap: bool) -> list[str]:
    """Say which names of features, name -> column, cannot be used."""
    problems = []
    taken: dict[str, str] = {}
    for name, column in features.items():
        if not _NAME.fullmatch(name):
            problems.append(f"a feature cannot be called {name!r}: give letters of ASCII, digits and _")
        elif _RESERVED.fullmatch(name) or (gap and name == GAP):
            problems.append(
                f"a feature cannot be called {name!r}, which means something else in a model file; call it otherwise: "
                f"--feature NAME={column}"
            )
        if column in taken:
            problems.append(f"the column {column!r} is a feature twice")
        taken[column] = name
    return problems


def features_of(given: Sequence[str]) -> dict[str, str]:
    """Return name -> column of what is written as COLUMN or NAME=COLUMN.

    Raises:
        CorpusError: Two have one name, or a column is given twice.
    """
    pairs = [(name, column) if equals else (feature_name(one), one) for one in given
             for name, equals, column in [one.partition("=")]]  # fmt: skip
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CorpusError(
            f"Several features are called {', '.join(twice)}. Give each column once, and names of their own where they "
            "are alike: --feature NAME=COLUMN."
        )
    return dict(pairs)


def read_number(value: str | float | None, column: str) -> float:
    """Return the number in a cell.

    Raises:
        ValueError: There is none, or none that a feature can be; the text names the column.
    """
    where = f"in the column {column!r}"
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"nothing {where}; numbers that are missing have to be filled in, or the line left out")
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        number = float(value)
    except ValueError:
        comma = isinstance(value, str) and re.fullmatch(r"-?[0-9]+,[0-9]+", value.strip())
        hint = f"; write {value.strip().replace(',', '.')}" if comma and isinstance(value, str) else ""
        raise ValueError(f"{value!r} {where} is not a number{hint}") from None
    if not isfinite(number):
        raise ValueError(f"{value!r} {where} is not finite")
    if abs(number) > _LARGEST:
        raise ValueError(f"{value!r} {where} is beyond float32, which ends at {_LARGEST:.2g}")
    return number
