"""Evaluation as the device will do it: one symbol at a time, the state carried.

What a model answered on some streams, and every way to look at that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ..network.forward import layers_of
from ..network.initial_state import InitialState
from ..network.network import scaling_of
from ..problems.problem import Streams
from ..problems.score import Score


@dataclass(frozen=True)
class Predictions:
    """The answers to streams of shape (T, B), one symbol at a time.

    Attributes:
        streams: What was asked.
        correct: bool of shape (T, B): the answer is right.
        nats: float32 of the same shape: negative log-probability of the right answer.
        predicted: int32 of the same shape: the most likely output.
    """

    streams: Streams
    correct: AnyArray
    nats: Float32
    predicted: Ids

    def score(self) -> Score:
        """Return the figures over all answers that count."""
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
        """Return how many symbols the state had seen at each answer since it was last reset, shape (T, B), from 1."""
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
        """Return how often each target (row) was answered by each output (column), int of shape (K, K)."""
        counted = self.streams.weights > 0
        table = np.zeros((outputs, outputs), np.int64)
        np.add.at(table, (self.streams.targets[counted], self.predicted[counted]), 1)
        return table


def windows(streams: Streams, length: int, count: int, seed: int) -> Streams:
    """Return the streams in which each answer is given from nothing but the last `length` symbols before it.

    Args:
        streams: Where the symbols come from.
        length: Symbols in a window, the one to be answered the last of them.
        count: How many windows to draw, at most.
        seed: Of the draw.

    Returns:
        Streams of shape (length, at most `count`) that count at their last step alone.
    """
    steps, lanes = np.nonzero(streams.weights[length - 1 :])
    drawn = np.random.default_rng([seed, 9]).permutation(len(steps))[:count]
    ends, lanes = steps[drawn] + length, lanes[drawn]
    places = ends - length + np.arange(length)[:, None]  # (length, count)
    weights = np.zeros(places.shape, np.float32)
    weights[-1] = 1
    resets = np.zeros(places.shape, bool)
    resets[0] = True
    allowed = None if streams.allowed is None else streams.allowed[places, lanes]
    numbers = None if streams.numbers is None else streams.numbers[places, lanes]
    return Streams(streams.inputs[places, lanes], streams.targets[places, lanes], weights, resets, allowed, numbers)


_WINDOWS, _WINDOW_STEPS = 2_000, 200_000  # most windows drawn for the windowed evaluation, most steps in all


class Evaluator:
    """Steps a Keras model through streams with the cells of its own layers, in one compiled loop.

    Nothing of the training arithmetic is used, so what is judged is the model that will be exported.
    """

    def __init__(self, model: keras.Model, *, xla: bool, start: InitialState | None = None) -> None:
        """Take hold of the layers of `model`, one of `Network.build`; `start` follows a reset (None: zeros)."""
        first, *self._recurrent, self._head = layers_of(model)
        self._first, self._scaled = first, scaling_of(model)
        self._start = start or InitialState(model, learned=False)
        self._run = tf.function(self._step_through, jit_compile=xla, autograph=False)

    def predict(self, streams: Streams) -> Predictions:
        """Return the answers to `streams`."""
        allowed = np.zeros((0,), bool) if streams.allowed is None else streams.allowed
        arrays = (streams.inputs, streams.targets, streams.resets, allowed)
        numbers = None if streams.numbers is None else tf.constant(streams.numbers)
        made = self._run(*(tf.constant(array) for array in arrays), numbers)
        right, nats, named = (np.asarray(array) for array in made)
        return Predictions(streams, right, nats, named)

    def score(self, streams: Streams) -> Score:
        """Judge the answers to `streams`."""
        return self.predict(streams).score()

    def score_all(
        self, evaluations: Mapping[str, Streams], window: int, seed: int
    ) -> tuple[dict[str, Score], Predictions]:
        """Judge each of `evaluations`, and `carried` in two other ways.

        Args:
            evaluations: Streams by name.
            window: Longest chunk that was learned.
            seed: Of the windows that are drawn.

        Returns:
            Scores by name; `windowed` sees the last `window` symbols from nothing before each answer, `reset` the last
            one alone. And every answer to `carried`.
        """
        answers = {name: self.predict(streams) for name, streams in evaluations.items()}
        scores = {name: given.score() for name, given in answers.items()}
        carried = evaluations["carried"]
        if window <= len(carried.inputs):
            drawn = windows(carried, window, min(_WINDOWS, max(_WINDOW_STEPS // window, 1)), seed)
            if drawn.inputs.shape[1]:
                scores["windowed"] = self.score(drawn)
        forgetful = replace(carried, resets=np.ones(carried.inputs.shape, bool))
        return {**scores, "reset": self.score(forgetful)}, answers["carried"]

    def _step_through(self, inputs: Any, targets: Any, resets: Any, allowed: Any, numbers: Any) -> tuple[Any, Any, Any]:
        steps, lanes = inputs.shape
        scaled = None if self._scaled is None else self._scaled(numbers)

        def body(t: Any, right: Any, nats: Any, named: Any, state: Any) -> tuple[Any, ...]:
            remaining = self._start.after_reset(state, tf.gather(resets, t))
            target = tf.gather(targets, t)
            x = self._first(tf.gather(inputs, t))
            x = x if scaled is None else tf.concat([x, tf.gather(scaled, t)], -1)
            following = []
            for layer in self._recurrent:
                before = [remaining.pop(0) for _ in keras.tree.flatten(layer.cell.state_size)]
                x, after = layer.cell(x, before, training=False)
                following += after
            probabilities = self._head(x)
            best = tf.argmax(probabilities, -1, tf.int32)
            if allowed.shape[0]:
                may = tf.gather(allowed, t)
                worst = tf.reduce_min(tf.where(may, probabilities, 1.0), -1)
                hit = worst > tf.reduce_max(tf.where(may, 0.0, probabilities), -1)
            else:
                hit = tf.equal(best, target)
            chosen = tf.gather(probabilities, target, axis=1, batch_dims=1)
            surprise = -tf.math.log(tf.maximum(chosen, 1e-30))
            return t + 1, right.write(t, hit), nats.write(t, surprise), named.write(t, best), following

        arrays = [tf.TensorArray(dtype, steps, element_shape=(lanes,)) for dtype in (tf.bool, tf.float32, tf.int32)]
        start = (tf.constant(0), *arrays, self._start.of(lanes))
        _, right, nats, named, _ = tf.while_loop(lambda t, *_: t < steps, body, start, maximum_iterations=steps)
        return right.stack(), nats.stack(), named.stack()
