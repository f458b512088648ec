"""The predictions for streams, and their scores: of symbols or labels, and of values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ..network.values import ValueScaling
from ..problems.problem import Score, Streams
from ..problems.value_score import ValueScore, row_losses

_MOST_CONFUSED = 30  # symbols in a confusion table


@dataclass(frozen=True)
class Predictions:
    """The predictions for streams of shape (T, B), one symbol at a time.

    Attributes:
        streams: The streams.
        correct: bool of shape (T, B): the prediction is right.
        nats: float32 of the same shape: negative log-probability of the target.
        predicted: int32 of the same shape: the most likely output.
    """

    streams: Streams
    correct: AnyArray
    nats: Float32
    predicted: Ids

    def score(self) -> Score:
        """Return the figures over all predictions that count."""
        weights = self.streams.weights
        count = max(float(weights.sum()), 1.0)
        worst = float(self.nats.max(where=weights > 0, initial=0.0))
        return Score(
            float((self.correct * weights).sum()) / count,
            float((self.nats.astype(np.float64) * weights).sum()) / count,
            int((weights > 0).sum()),
            len(weights),
            exp(-worst),
        )

    def positions(self) -> AnyArray:
        """Return the number of symbols since the last reset at each prediction, shape (T, B), from 1."""
        steps = np.arange(1, len(self.streams.resets) + 1)[:, None]
        last_reset = np.maximum.accumulate(np.where(self.streams.resets, steps - 1, 0), axis=0)
        positions: AnyArray = steps - last_reset
        return positions

    def by_position(self) -> list[dict[str, float]]:
        """Return accuracy and nats by the number of symbols since the last reset, in ranges that double."""
        positions, weights = self.positions(), self.streams.weights
        rows = []
        first = 1
        while first <= positions.max():
            chosen = (positions >= first) & (positions < 2 * first) & (weights > 0)
            if chosen.any():
                row = {"from": first, "to": 2 * first - 1, "answers": int(chosen.sum())}
                accuracy, nats = float(self.correct[chosen].mean()), float(self.nats[chosen].mean())
                rows.append({**row, "accuracy": accuracy, "nats_per_symbol": nats})
            first *= 2
        return rows

    def confusion(self, outputs: int) -> AnyArray:
        """Return the number of times each output (column) was predicted for each target (row), int of shape (K, K)."""
        counted = self.streams.weights > 0
        table = np.zeros((outputs, outputs), np.int64)
        np.add.at(table, (self.streams.targets[counted], self.predicted[counted]), 1)
        return table

    def details(self, outputs: int) -> dict[str, object]:
        """Return accuracy by position, and for few `outputs` which is taken for which, as a JSON object."""
        found: dict[str, object] = {"by_position": self.by_position()}
        if outputs <= _MOST_CONFUSED:
            found["confusion"] = self.confusion(outputs).tolist()
        return found

    def beside(self, carried: Predictions, steps: AnyArray, rows: AnyArray) -> Score:
        """Return the score of windows, with the accuracy of the state carried and the error of the difference.

        Each of these W windows counts at its last step.

        Args:
            carried: Predictions with the state carried.
            steps: Step of each of the same answers there, int of shape (W,).
            rows: Their rows.
        """
        return beside_carried(self, carried.correct[steps, rows])


@dataclass(frozen=True)
class ValuePredictions:
    """The values that were answered for streams of shape (T, B), one row at a time.

    Attributes:
        streams: The streams.
        answers: float32 of shape (T, B, K).
        scaling: Their scale.
    """

    streams: Streams
    answers: Float32
    scaling: ValueScaling

    def score(self) -> ValueScore:
        """Return the errors over all answers that count."""
        counted = self.streams.weights > 0
        errors = self.answers[counted] - self.streams.targets[counted]
        return ValueScore.of(errors, self.scaling, len(self.streams.weights))

    def details(self, outputs: int) -> dict[str, object]:
        """Return nothing: there are no details beside the score."""
        return {}

    def beside(self, carried: ValuePredictions, steps: AnyArray, rows: AnyArray) -> ValueScore:
        """Return the score of windows, with the loss of the state carried; see `Predictions.beside`."""
        others = row_losses(carried.answers[steps, rows] - carried.streams.targets[steps, rows], self.scaling)
        own = row_losses(self.answers[-1] - self.streams.targets[-1], self.scaling)
        error = float((own - others).std()) / len(own) ** 0.5
        return replace(self.score(), carried_loss=float(others.mean()), standard_error=error)


def beside_carried(windowed: Predictions, carried: AnyArray) -> Score:
    """Return the score of windows, with the accuracy of the state carried and the standard error of the difference.

    Args:
        windowed: Predictions for W windows, each of which counts at its last step.
        carried: Whether each of the same answers is right with the state carried, bool of shape (W,).
    """
    gains = windowed.correct[-1].astype(np.float64) - carried
    error = float(gains.std()) / len(gains) ** 0.5
    return replace(windowed.score(), carried_accuracy=float(carried.mean()), standard_error=error)
