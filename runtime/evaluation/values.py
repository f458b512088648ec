"""Evaluate values: mean absolute and squared error beside the last value and the mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.arrays import Float32
from ..streams.model import Model
from ..tasks.distribution import Float64
from .answers import answers_by_mode, main_rows, silent_note
from .evaluation import CARRIED, MEMORYLESS, RESET
from .targets import TargetData

_WORTH = 0.01  # of an error by which a model has to be better than a baseline
LAST, MEAN = "the last value again", "the mean"


@dataclass(frozen=True, eq=False)
class ValueErrors:
    """Differences of M answers of K values from the right ones.

    Attributes:
        residuals: float64 of shape (M, K): answer - right value.
    """

    residuals: Float64

    def __len__(self) -> int:
        """Return M."""
        return len(self.residuals)

    @property
    def absolute(self) -> Float64:
        """The mean absolute error of each value, shape (K,)."""
        found: Float64 = np.abs(self.residuals).mean(axis=0)
        return found

    @property
    def squared(self) -> Float64:
        """The mean squared error of each value, shape (K,)."""
        found: Float64 = np.square(self.residuals).mean(axis=0)
        return found

    def to_json(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return the errors as a JSON object: a number of answers, and name of a value -> its errors."""
        pairs = zip(names, self.absolute.tolist(), self.squared.tolist(), strict=True)
        return {
            "answers": len(self),
            "values": {
                name: {
                    "mean_absolute_error": absolute,
                    "mean_squared_error": squared,
                    "root_mean_squared_error": squared**0.5,
                }
                for name, absolute, squared in pairs
            },
        }

    @classmethod
    def of(cls, answers: Float32, data: TargetData) -> ValueErrors:
        """Return the errors of the answers to all rows."""
        return cls(answers.astype(np.float64) - data.targets)


@dataclass(frozen=True, eq=False)
class ValueEvaluation:
    """The errors of a model of values and of baselines.

    Attributes:
        model: Name of the file and the interpreter.
        names: Names of the K values.
        modes: Name of a mode, as in `Evaluation` -> errors of the model.
        baselines: Name -> errors of a baseline.
        sequences: Number of sequences.
        notes: The origin of the data.
    """

    model: str
    names: tuple[str, ...]
    modes: Mapping[str, ValueErrors]
    baselines: Mapping[str, ValueErrors]
    sequences: int
    notes: tuple[str, ...]

    @property
    def main(self) -> ValueErrors:
        """The errors that the verdict is about: with resets if there are several sequences."""
        return self.modes[RESET if RESET in self.modes else CARRIED]

    def verdict(self) -> str:
        """Return as sentences whether the model is better than the baselines, each error against the best of them."""
        found = []
        for index, name in enumerate(self.names):
            parts = []
            for measure, of in (("mean absolute error", "absolute"), ("mean squared error", "squared")):
                own = float(getattr(self.main, of)[index])
                best = min(self.baselines, key=lambda each: float(getattr(self.baselines[each], of)[index]))
                other = float(getattr(self.baselines[best], of)[index])
                change = f" ({100 * (own / other - 1):+.1f} %)" if other else ""
                parts.append((own < (1 - _WORTH) * other, own > (1 + _WORTH) * other,
                              f"{measure} {own:.4g} against {other:.4g} of {best}{change}"))  # fmt: skip
            better, worse = (all(part[which] for part in parts) for which in (0, 1))
            worth = (
                "the model is worth it" if better
                else "a baseline is better than the model" if worse
                else "the model is no better than a baseline in every error"
            )  # fmt: skip
            found.append(f"{name}: {worth}: {', '.join(part[2] for part in parts)}")
        alone = self.modes.get(MEMORYLESS)
        if alone is not None and (alone.squared < (1 - _WORTH) * self.main.squared).all():
            found.append("without memory the errors are smaller: the state does harm on these data")
        return "; ".join(found)

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as a JSON object."""
        return {
            "model": self.model,
            "sequences": self.sequences,
            "notes": list(self.notes),
            "modes": {name: errors.to_json(self.names) for name, errors in self.modes.items()},
            "baselines": {name: errors.to_json(self.names) for name, errors in self.baselines.items()},
            "verdict": self.verdict(),
        }


def evaluate_values(
    model: Model, data: TargetData, progress: Callable[[str], None] = lambda _: None
) -> ValueEvaluation:
    """Evaluate a model of values on the device runtime, and two baselines on the same rows.

    The last value is the last one known at a row of the same sequence, the mean that of the training data. The first
    rows of a sequence, which have no last value, count for neither the model nor the baselines, unless there are no
    others.

    Raises:
        FeatureMismatchError, BackendError, NotFiniteError: As `Stream.run` does.
    """
    found, right = answers_by_mode(model, data, progress), data.targets
    answered, lag = main_rows(found), max(1, data.ahead)
    counted = np.zeros(len(right), bool)
    counted[answered] = True
    counted[data.positions <= lag] = False
    baselines = {}
    train = right if data.train is None else data.train
    if counted.any():
        baselines[LAST] = ValueErrors(right[np.flatnonzero(counted) - lag] - right[counted])
    else:
        counted[answered] = True
    baselines[MEAN] = ValueErrors(train.mean(axis=0) - right[counted])
    modes = {
        name: ValueErrors((answers.astype(np.float64) - right[rows])[counted[rows]])
        for name, (rows, answers) in found.items()
    }
    return ValueEvaluation(
        f"{model.file.name} on {model.backend}",
        data.names,
        modes,
        baselines,
        len(data.starts) - 1,
        (*data.notes, *silent_note(model, answered, len(right))),
    )
