"""Evaluation as the device will do it: one symbol at a time, the state carried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .forward import layers_of
from .problem import Streams
from .score import Score


class Evaluator:
    """Steps a Keras model through streams with the cells of its own layers, in one compiled loop.

    Nothing of the training arithmetic is used, so what is judged is the model that will be exported.
    """

    def __init__(self, model: keras.Sequential, *, xla: bool) -> None:
        """Take hold of the layers of `model`, one of `Network.build`."""
        first, *self._recurrent, self._head = layers_of(model)
        self._first = first
        self._run = tf.function(self._step_through, jit_compile=xla, autograph=False)

    def score(self, streams: Streams) -> Score:
        """Judge the answers to `streams`."""
        allowed = np.zeros((0,), bool) if streams.allowed is None else streams.allowed
        arrays = (streams.inputs, streams.targets, streams.weights, streams.resets, allowed)
        right, nats = (float(total) for total in self._run(*(tf.constant(array) for array in arrays)))
        answers = int((streams.weights > 0).sum())
        count = max(float(streams.weights.sum()), 1.0)
        return Score(right / count, nats / count, answers, len(streams.inputs))

    def score_all(self, evaluations: Mapping[str, Streams]) -> dict[str, Score]:
        """Judge each of `evaluations`, and `carried` once more as `reset`: the state forgotten before each symbol."""
        scores = {name: self.score(streams) for name, streams in evaluations.items()}
        carried = evaluations["carried"]
        forgetful = replace(carried, resets=np.ones(carried.inputs.shape, bool))
        return {**scores, "reset": self.score(forgetful)}

    def _step_through(self, inputs: Any, targets: Any, weights: Any, resets: Any, allowed: Any) -> tuple[Any, Any]:
        lanes = inputs.shape[1]
        zeros = [[tf.zeros((lanes, size)) for size in _state_sizes(layer)] for layer in self._recurrent]

        def body(t: Any, right: Any, nats: Any, state: Any) -> tuple[Any, Any, Any, Any]:
            keep = 1.0 - tf.cast(tf.gather(resets, t), tf.float32)[:, None]
            target, weight = tf.gather(targets, t), tf.gather(weights, t)
            x = self._first(tf.gather(inputs, t))
            following = []
            for layer, tensors in zip(self._recurrent, state, strict=True):
                x, after = layer.cell(x, [tensor * keep for tensor in tensors], training=False)
                following.append(list(after))
            probabilities = self._head(x)
            if allowed.shape[0]:
                may = tf.gather(allowed, t)
                worst = tf.reduce_min(tf.where(may, probabilities, 1.0), -1)
                hit = tf.cast(worst > tf.reduce_max(tf.where(may, 0.0, probabilities), -1), tf.float32)
            else:
                hit = tf.cast(tf.equal(tf.argmax(probabilities, -1, tf.int32), target), tf.float32)
            chosen = tf.gather(probabilities, target, axis=1, batch_dims=1)
            right += tf.cast(tf.reduce_sum(hit * weight), tf.float64)
            nats -= tf.cast(tf.reduce_sum(tf.math.log(tf.maximum(chosen, 1e-30)) * weight), tf.float64)
            return t + 1, right, nats, following

        zero = tf.constant(0.0, tf.float64)
        steps = inputs.shape[0]
        start = (tf.constant(0), zero, zero, zeros)
        _, right, nats, _ = tf.while_loop(lambda t, *_: t < steps, body, start, maximum_iterations=steps)
        return right, nats


def _state_sizes(layer: Any) -> list[int]:
    sizes = layer.cell.state_size
    return list(sizes) if isinstance(sizes, (list, tuple)) else [sizes]
