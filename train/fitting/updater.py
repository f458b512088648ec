"""Updates by truncated BPTT, several per call of a compiled loop."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import Flags
from ..network.built_network import BuiltNetwork
from ..network.forward import forward
from ..problems.problem import Batches
from .checkpoint import Snapshot
from .objective import objective_of

Tensor: TypeAlias = Any


class Updater:
    """Update a network in place and carry the state of the batch rows from call to call."""

    def __init__(self, network: BuiltNetwork, *, seed: int, clip_norm: float, xla: bool) -> None:
        """Prepare to train `network`.

        Args:
            network: The network.
            seed: Of dropout, with the number of the update.
            clip_norm: Gradients are scaled down to this global norm.
            xla: Compile with XLA.
        """
        self._network, self._objective, self._seed = network, objective_of(network), seed
        self._optimizer = keras.optimizers.Adam(global_clipnorm=clip_norm)
        self._optimizer.build(network.variables)
        self._state: list[Tensor] = []
        self._run = tf.function(self._updates, jit_compile=xla, autograph=False)

    def snapshot(self) -> Snapshot:
        """Return a copy of everything that the next update depends on, beside its data."""
        optimizer = tuple(np.array(variable) for variable in self._optimizer.variables)
        return Snapshot(self._network.weights(), optimizer, tuple(np.array(tensor) for tensor in self._state))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to `snapshot`: the updates after it will be the same, bit for bit."""
        self._network.set_weights(snapshot.weights)
        for variable, value in zip(self._optimizer.variables, snapshot.optimizer, strict=True):
            variable.assign(value)
        self._state = [tf.constant(array) for array in snapshot.carried]

    def train(self, batches: Batches, first: int, learning_rate: float) -> tuple[float, float]:
        """Make an update with each of `batches`, the first with the number `first`; return mean loss and accuracy."""
        if not self._state:
            self._state = self._network.initial_state.of(batches.inputs.shape[2])
        self._optimizer.learning_rate.assign(learning_rate)
        # All data goes in as arguments: indexing it from outside would compile anew at every call under XLA.
        arrays = [tf.constant(array) for array in (batches.inputs, batches.targets, batches.weights, batches.resets)]
        features = None if batches.features is None else tf.constant(batches.features)
        kept = [tf.constant(array) for array in self._kept(batches.inputs.shape[:3], first)]
        loss, accuracy, self._state = self._run(*arrays, features, kept, self._state)
        return float(loss), float(accuracy)

    def _kept(self, shape: tuple[int, ...], first: int) -> list[Flags]:
        """Return which outputs of each recurrent layer dropout keeps, bool of shape (updates, T, B, U).

        Those of an update depend on seed and number of the update alone. They are drawn here because the random numbers
        of the compiled loop take more time than all the rest of an update.
        """
        rate = self._network.dropout
        if not rate:
            return []
        count, *rows = shape
        kept = [np.empty((count, *rows, layer.units), np.bool_) for layer in self._network.recurrent]
        for update in range(count):
            generator = np.random.Generator(np.random.SFC64([self._seed % 2**32, first + update]))
            for array in kept:
                drawn = np.frombuffer(generator.bytes(2 * array[update].size), np.uint16)
                array[update] = (drawn >= round(rate * 2**16)).reshape(array[update].shape)
        return kept

    def _updates(
        self, inputs: Tensor, targets: Tensor, weights: Tensor, resets: Tensor, features: Tensor,
        kept: list[Tensor], state: list[Tensor],
    ) -> tuple[Tensor, Tensor, list[Tensor]]:  # fmt: skip
        count = inputs.shape[0]

        def body(update: Tensor, loss: Tensor, accuracy: Tensor, state: list[Tensor]) -> tuple[Any, ...]:
            x, y, counts, begins = (tf.gather(array, update) for array in (inputs, targets, weights, resets))
            given = None if features is None else tf.gather(features, update)
            its = [tf.gather(array, update) for array in kept]
            its_loss, its_accuracy, state = self._update(x, y, counts, begins, given, its, state)
            return update + 1, loss + its_loss / count, accuracy + its_accuracy / count, state

        start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0), state)
        _, loss, accuracy, state = tf.while_loop(
            lambda update, *_: update < count, body, start, maximum_iterations=count, parallel_iterations=1
        )
        return loss, accuracy, state

    def _update(
        self, inputs: Tensor, targets: Tensor, weights: Tensor, resets: Tensor, features: Tensor,
        kept: list[Tensor], state: list[Tensor],
    ) -> tuple[Tensor, Tensor, list[Tensor]]:  # fmt: skip
        variables = self._network.variables
        with tf.GradientTape() as tape:
            keep = None
            if resets.shape.rank == 1:  # at the beginning of the chunk
                state = self._network.initial_state.after_reset(state, resets)
            else:
                keep = 1.0 - tf.cast(resets, tf.float32)
            outputs, following = forward(self._network, inputs, state, features=features, kept=kept, keep=keep)
            losses, correct = self._objective.measure(outputs, targets, features)
            total = tf.maximum(tf.reduce_sum(weights), 1.0)
            loss = tf.reduce_sum(losses * weights) / total
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], variables)
        # The state goes on, gradients do not: that is the truncation.
        return loss, tf.reduce_sum(correct * weights) / total, [tf.stop_gradient(tensor) for tensor in following]
