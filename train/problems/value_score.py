"""Scores of values: how far the answers are from the right ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32
from ..network.values import ValueScaling


@dataclass(frozen=True)
class ValueScore:
    """How far answers of K values are from the right ones on some streams.

    Attributes:
        loss: Mean loss of the errors in standard deviations: the figure by which the best weights are chosen.
        absolute: Mean absolute error of each value.
        squared: Mean squared error of each value.
        answers: Number of answers that counted.
        steps: Length of the streams.
        carried_loss: Of windows: the loss on the same answers with the state carried; None: not known.
        standard_error: Of windows: that of the difference of the two losses.
    """

    loss: float
    absolute: tuple[float, ...]
    squared: tuple[float, ...]
    answers: int
    steps: int
    carried_loss: float | None = None
    standard_error: float = 0.0

    @classmethod
    def of(cls, errors: Float32, scaling: ValueScaling, steps: int) -> ValueScore:
        """Return the score of N answers that differ from the right ones by `errors`, (N, K)."""
        found = errors.astype(np.float64)
        absolute, squared = np.abs(found).mean(axis=0), np.square(found).mean(axis=0)
        loss = float(row_losses(errors, scaling).mean())
        return cls(loss, tuple(absolute.tolist()), tuple(squared.tolist()), len(errors), steps)

    def facts(self) -> dict[str, Any]:
        """Return the figures that a model file records."""
        errors = {"mean_absolute_error": self.absolute, "mean_squared_error": self.squared}
        return {name: [float(f"{error:.6g}") for error in each] for name, each in errors.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        beside = {} if self.carried_loss is None else {
            "carried_loss": self.carried_loss, "standard_error": self.standard_error,
        }  # fmt: skip
        return {"loss": self.loss, **self.facts(), "answers": self.answers, "steps": self.steps, **beside}


def row_losses(errors: Float32, scaling: ValueScaling) -> AnyArray:
    """Return the loss of each of N answers, float64 of shape (N,); `errors` are of shape (N, K)."""
    losses: AnyArray = scaling.losses(errors.astype(np.float64) / scaling.deviations).mean(axis=-1)
    return losses
