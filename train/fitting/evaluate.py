"""Evaluation as on a device: one symbol at a time, with the state carried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ..network.built_network import BuiltNetwork
from ..problems.problem import Score, Streams

_WINDOWS, _WINDOW_STEPS = 2_000, 200_000  # most windows of the windowed evaluation, most steps in all of them


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


def windows(streams: Streams, length: int, count: int, seed: int) -> Streams:
    """Return streams in which each prediction sees the last `length` symbols only.

    Args:
        streams: The source of the symbols.
        length: Symbols in a window; the prediction after the last of them counts.
        count: Number of windows to draw, at most.
        seed: Of the draw.

    Returns:
        Streams of shape (length, at most `count`) that count at their last step alone.
    """
    ends, rows = _window_ends(streams, length, count, seed)
    indices = ends - length + np.arange(length)[:, None]  # (length, count)
    weights = np.zeros(indices.shape, np.float32)
    weights[-1] = 1
    resets = np.zeros(indices.shape, bool)
    resets[0] = True
    allowed = None if streams.allowed is None else streams.allowed[indices, rows]
    features = None if streams.features is None else streams.features[indices, rows]
    return Streams(streams.inputs[indices, rows], streams.targets[indices, rows], weights, resets, allowed, features)


def beside_carried(windowed: Predictions, carried: AnyArray) -> Score:
    """Return the score of windows, with the accuracy of the state carried and the standard error of the difference.

    Args:
        windowed: Predictions for W windows, each of which counts at its last step.
        carried: Whether each of the same answers is right with the state carried, bool of shape (W,).
    """
    gains = windowed.correct[-1].astype(np.float64) - carried
    error = float(gains.std()) / len(gains) ** 0.5
    return replace(windowed.score(), carried_accuracy=float(carried.mean()), standard_error=error)


def _window_ends(streams: Streams, length: int, count: int, seed: int) -> tuple[AnyArray, AnyArray]:
    """Return the step after the last one of each window that is drawn, and its row, int of shape (windows,)."""
    steps, rows = np.nonzero(streams.weights[length - 1 :])
    drawn = np.random.default_rng([seed, 9]).permutation(len(steps))[:count]
    return steps[drawn] + length, rows[drawn]


class Evaluator:
    """Step a network through streams with the cells of its own Keras layers, in one compiled loop.

    It shares no arithmetic with training: the model that is evaluated is the model that will be exported.
    """

    def __init__(self, network: BuiltNetwork, *, xla: bool) -> None:
        """Prepare to evaluate `network`; its initial state follows a reset."""
        self._network = network
        self._run = tf.function(self._step_through, jit_compile=xla, autograph=False)

    def predict(self, streams: Streams) -> Predictions:
        """Return the predictions for `streams`."""
        allowed = np.zeros((0,), bool) if streams.allowed is None else streams.allowed
        arrays = (streams.inputs, streams.targets, streams.resets, allowed)
        features = None if streams.features is None else tf.constant(streams.features)
        made = self._run(*(tf.constant(array) for array in arrays), features)
        correct, nats, predicted = (np.asarray(array) for array in made)
        return Predictions(streams, correct, nats, predicted)

    def score(self, streams: Streams) -> Score:
        """Return the score of the predictions for `streams`."""
        return self.predict(streams).score()

    def score_all(
        self, evaluations: Mapping[str, Streams], window: int, seed: int
    ) -> tuple[dict[str, Score], Predictions]:
        """Score each of `evaluations`, and `carried` in two other ways.

        Args:
            evaluations: Streams by name.
            window: Longest chunk in training.
            seed: Of the windows that are drawn.

        Returns:
            Scores by name; `windowed` sees the last `window` symbols only, and has the accuracy of `carried` on the
            same answers; `reset` sees the last symbol alone. And the predictions for `carried`.
        """
        predictions = {name: self.predict(streams) for name, streams in evaluations.items()}
        scores = {name: predicted.score() for name, predicted in predictions.items()}
        carried = evaluations["carried"]
        if window <= len(carried.inputs):
            draw = (carried, window, min(_WINDOWS, max(_WINDOW_STEPS // window, 1)), seed)
            drawn = windows(*draw)
            if drawn.inputs.shape[1]:
                ends, rows = _window_ends(*draw)
                scores["windowed"] = beside_carried(self.predict(drawn), predictions["carried"].correct[ends - 1, rows])
        memoryless = replace(carried, resets=np.ones(carried.inputs.shape, bool))
        return {**scores, "reset": self.score(memoryless)}, predictions["carried"]

    def _step_through(
        self, inputs: Any, targets: Any, resets: Any, allowed: Any, features: Any
    ) -> tuple[Any, Any, Any]:
        network, (steps, rows) = self._network, inputs.shape
        scaled = None if network.scaling is None else network.scaling(features)

        def body(t: Any, correct: Any, nats: Any, predicted: Any, state: Any) -> tuple[Any, ...]:
            remaining = network.initial_state.after_reset(state, tf.gather(resets, t))
            target = tf.gather(targets, t)
            x = network.lookup(tf.gather(inputs, t))
            x = x if scaled is None else tf.concat([x, tf.gather(scaled, t)], -1)
            following = []
            for layer in network.recurrent:
                before = [remaining.pop(0) for _ in keras.tree.flatten(layer.cell.state_size)]
                x, after = layer.cell(x, before, training=False)
                following += after
            probabilities = network.head(x)
            best = tf.argmax(probabilities, -1, tf.int32)
            if allowed.shape[0]:
                may = tf.gather(allowed, t)
                worst = tf.reduce_min(tf.where(may, probabilities, 1.0), -1)
                hit = worst > tf.reduce_max(tf.where(may, 0.0, probabilities), -1)
            else:
                hit = tf.equal(best, target)
            chosen = tf.gather(probabilities, target, axis=1, batch_dims=1)
            surprise = -tf.math.log(tf.maximum(chosen, 1e-30))
            return t + 1, correct.write(t, hit), nats.write(t, surprise), predicted.write(t, best), following

        arrays = [tf.TensorArray(dtype, steps, element_shape=(rows,)) for dtype in (tf.bool, tf.float32, tf.int32)]
        start = (tf.constant(0), *arrays, network.initial_state.of(rows))
        _, *written, _ = tf.while_loop(lambda t, *_: t < steps, body, start, maximum_iterations=steps)
        correct, nats, predicted = (array.stack() for array in written)
        return correct, nats, predicted
