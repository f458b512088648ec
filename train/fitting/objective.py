"""The part of training that knows what a network answers with: symbols, or values.

Shapes: T time steps, B batch rows, K outputs. `outputs` are those of the head of the network: logits or scaled values.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import tensorflow as tf

from ..network.built_network import BuiltNetwork
from ..network.values import ValueScaling
from ..problems.problem import Streams
from .predictions import Predictions, ValuePredictions

Tensor: TypeAlias = Any


class Objective(Protocol):
    """What a network learns to answer."""

    def measure(self, outputs: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each answer, float32 of shape (T, B), and whether it is right, 0 or 1.

        Args:
            outputs: float32 of shape (T, B, K).
            targets: See `Batches`.
            features: float32 of shape (T, B, F); None: there are none.
        """

    def arrays(self, steps: int, rows: int) -> list[Any]:
        """Return empty arrays for what `judge` returns at each step."""

    def judge(self, answers: Tensor, target: Tensor, allowed: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """Return what is known about the answers of one step.

        Args:
            answers: float32 of shape (B, K): probabilities or scaled values.
            target: The right answers.
            allowed: bool of shape (B, K): all right outputs; None: the target alone is right.
            features: float32 of shape (B, F); None: there are none.
        """

    def predictions(self, streams: Streams, judged: tuple[Tensor, ...]) -> Any:
        """Return the predictions for streams, from what `judge` returned at each step."""


class SymbolObjective:
    """Cross-entropy of symbols or labels."""

    def measure(self, outputs: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective.measure`."""
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs)
        return losses, tf.cast(tf.equal(tf.argmax(outputs, -1, tf.int32), targets), tf.float32)

    def arrays(self, steps: int, rows: int) -> list[Any]:
        """See `Objective.arrays`."""
        return [tf.TensorArray(dtype, steps, element_shape=(rows,)) for dtype in (tf.bool, tf.float32, tf.int32)]

    def judge(self, answers: Tensor, target: Tensor, allowed: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """See `Objective.judge`: whether each is right, its nats, and the most likely output."""
        best = tf.argmax(answers, -1, tf.int32)
        if allowed is None:
            hit = tf.equal(best, target)
        else:
            worst = tf.reduce_min(tf.where(allowed, answers, 1.0), -1)
            hit = worst > tf.reduce_max(tf.where(allowed, 0.0, answers), -1)
        chosen = tf.gather(answers, target, axis=1, batch_dims=1)
        return hit, -tf.math.log(tf.maximum(chosen, 1e-30)), best

    def predictions(self, streams: Streams, judged: tuple[Tensor, ...]) -> Predictions:
        """See `Objective.predictions`."""
        correct, nats, predicted = map(np.asarray, judged)
        return Predictions(streams, correct, nats, predicted)


class ValueObjective:
    """The error of values, in standard deviations."""

    def __init__(self, scaling: ValueScaling) -> None:
        """Take the scale of the values."""
        self._scaling = scaling

    def measure(self, outputs: Tensor, targets: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """See `Objective.measure`; there is no right and wrong, and all are 0."""
        scaled = (targets - self._base(features) - self._scaling.offsets) / self._scaling.deviations
        losses = tf.reduce_mean(self._scaling.losses(outputs - scaled), -1)
        return losses, tf.zeros_like(losses)

    def arrays(self, steps: int, rows: int) -> list[Any]:
        """See `Objective.arrays`."""
        return [tf.TensorArray(tf.float32, steps, element_shape=(rows, len(self._scaling.names)))]

    def judge(self, answers: Tensor, target: Tensor, allowed: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """See `Objective.judge`: the values."""
        return (self._base(features) + answers * self._scaling.deviations + self._scaling.offsets,)

    def predictions(self, streams: Streams, judged: tuple[Tensor, ...]) -> ValuePredictions:
        """See `Objective.predictions`."""
        (answers,) = map(np.asarray, judged)
        return ValuePredictions(streams, answers, self._scaling)

    def _base(self, features: Tensor) -> Tensor:
        bases = np.array(self._scaling.bases, np.int32)
        if not bases.size:
            return 0.0
        return tf.gather(features, np.maximum(bases, 0), axis=-1) * (bases >= 0).astype(np.float32)


def objective_of(network: BuiltNetwork) -> Objective:
    """Return the objective of a network."""
    return SymbolObjective() if network.values is None else ValueObjective(network.values)
