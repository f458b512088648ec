"""Evaluation as on a device: one symbol at a time, with the state carried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray
from ..network.built_network import BuiltNetwork
from ..problems.problem import Streams
from .objective import objective_of

_WINDOWS, _WINDOW_STEPS = 2_000, 200_000  # most windows of the windowed evaluation, most steps in all of them


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
        self._network, self._objective = network, objective_of(network)
        self._run = tf.function(self._step_through, jit_compile=xla, autograph=False)

    def predict(self, streams: Streams) -> Any:
        """Return the predictions for `streams`: `Predictions`, or `ValuePredictions` of a network of values."""
        allowed = np.zeros((0,), bool) if streams.allowed is None else streams.allowed
        arrays = (streams.inputs, streams.targets, streams.resets, allowed)
        features = None if streams.features is None else tf.constant(streams.features)
        return self._objective.predictions(streams, self._run(*(tf.constant(array) for array in arrays), features))

    def score(self, streams: Streams) -> Any:
        """Return the score of the predictions for `streams`."""
        return self.predict(streams).score()

    def score_all(self, evaluations: Mapping[str, Streams], window: int, seed: int) -> tuple[dict[str, Any], Any]:
        """Score each of `evaluations`, and `carried` in two other ways.

        Args:
            evaluations: Streams by name.
            window: Longest chunk in training.
            seed: Of the windows that are drawn.

        Returns:
            Scores by name; `windowed` sees the last `window` symbols only, and has the accuracy or loss of `carried`
            on the same answers; `reset` sees the last symbol alone. And the predictions for `carried`.
        """
        predictions = {name: self.predict(streams) for name, streams in evaluations.items()}
        scores = {name: predicted.score() for name, predicted in predictions.items()}
        carried = evaluations["carried"]
        if window <= len(carried.inputs):
            draw = (carried, window, min(_WINDOWS, max(_WINDOW_STEPS // window, 1)), seed)
            drawn = windows(*draw)
            if drawn.inputs.shape[1]:
                ends, rows = _window_ends(*draw)
                scores["windowed"] = self.predict(drawn).beside(predictions["carried"], ends - 1, rows)
        memoryless = replace(carried, resets=np.ones(carried.inputs.shape, bool))
        return {**scores, "reset": self.score(memoryless)}, predictions["carried"]

    def _step_through(self, inputs: Any, targets: Any, resets: Any, allowed: Any, features: Any) -> tuple[Any, ...]:
        network, objective, (steps, rows) = self._network, self._objective, inputs.shape
        scaled = None if network.scaling is None else network.scaling(features)

        def body(t: Any, state: Any, *written: Any) -> tuple[Any, ...]:
            remaining = network.initial_state.after_reset(state, tf.gather(resets, t))
            parts = [] if network.lookup is None else [network.lookup(tf.gather(inputs, t))]
            x = tf.concat([*parts, *([] if scaled is None else [tf.gather(scaled, t)])], -1)
            following = []
            for layer in network.recurrent:
                before = [remaining.pop(0) for _ in keras.tree.flatten(layer.cell.state_size)]
                x, after = layer.cell(x, before, training=False)
                following += after
            may = tf.gather(allowed, t) if allowed.shape[0] else None
            given = None if features is None else tf.gather(features, t)
            judged = objective.judge(network.head(x), tf.gather(targets, t), may, given)
            return t + 1, following, *(array.write(t, one) for array, one in zip(written, judged, strict=True))

        start = (tf.constant(0), network.initial_state.of(rows), *objective.arrays(steps, rows))
        _, _, *written = tf.while_loop(lambda t, *_: t < steps, body, start, maximum_iterations=steps)
        return tuple(array.stack() for array in written)
