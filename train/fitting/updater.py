"""Makes updates: truncated BPTT, a block of updates per call of a compiled loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Float32
from ..network.forward import Forward, State
from ..network.initial_state import InitialState
from ..problems.problem import Batches


@dataclass(frozen=True)
class Snapshot:
    """Everything that an update changes.

    Attributes:
        weights: Of the model, in the order of Keras; then the start state, if it is learned.
        optimizer: Variables of the optimizer, the count of updates among them.
        carried: State of the lanes; none before the first update.
    """

    weights: tuple[Float32, ...]
    optimizer: tuple[AnyArray, ...]
    carried: tuple[Float32, ...]


class Updater:
    """Updates a model in place and carries the state of the lanes from call to call."""

    def __init__(
        self, model: keras.Model, *, seed: int, clip_norm: float, xla: bool, learn_initial_state: bool = False
    ) -> None:
        """Prepare to train `model`.

        Args:
            model: One of `Network.build`.
            seed: Dropout follows from it and from the number of the update.
            clip_norm: Gradients are scaled down to this norm, all of them together.
            xla: Compile with XLA.
            learn_initial_state: Learn the state that follows a reset; `start` has it. (It is zeros otherwise.)
        """
        self.model = model
        self.start = InitialState(model, learned=learn_initial_state)
        self._seed = seed
        self._forward = Forward(model)
        self._optimizer = keras.optimizers.Adam(global_clipnorm=clip_norm)
        self._variables = [*model.trainable_variables, *self.start.variables]
        self._optimizer.build(self._variables)
        self._state: State = []
        self._run = tf.function(self._updates, jit_compile=xla, autograph=False)

    def weights(self) -> tuple[Float32, ...]:
        """Return a copy of the weights, and of the start state if it is learned."""
        return (*self.model.get_weights(), *self.start.arrays().values())

    def set_weights(self, weights: Sequence[Float32]) -> None:
        """Put back what `weights` returned."""
        count = len(self.model.weights)
        self.model.set_weights(list(weights[:count]))
        self.start.set_arrays(weights[count:])

    def snapshot(self) -> Snapshot:
        """Return a copy of everything that the next update depends on, beside its data."""
        optimizer = tuple(np.array(variable) for variable in self._optimizer.variables)
        return Snapshot(self.weights(), optimizer, tuple(np.array(tensor) for tensor in self._state))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to `snapshot`: the updates after it will be the same, bit for bit."""
        self.set_weights(snapshot.weights)
        for variable, value in zip(self._optimizer.variables, snapshot.optimizer, strict=True):
            variable.assign(value)
        self._state = [tf.constant(array) for array in snapshot.carried]

    def train(self, batches: Batches, first: int, learning_rate: float) -> tuple[float, float]:
        """Make the updates of `batches`, the first of which has the number `first`; return mean loss and accuracy."""
        if not self._state:
            self._state = self.start.of(batches.inputs.shape[2])
        self._optimizer.learning_rate.assign(learning_rate)
        # All data goes in as arguments: indexing it from outside would compile anew at every call under XLA.
        arrays = [tf.constant(array) for array in (batches.inputs, batches.targets, batches.weights, batches.resets)]
        numbers = None if batches.numbers is None else tf.constant(batches.numbers)
        loss, accuracy, self._state = self._run(*arrays, numbers, tf.constant(first), self._state)
        return float(loss), float(accuracy)

    def _updates(
        self, inputs: Any, targets: Any, weights: Any, resets: Any, numbers: Any, first: Any, state: State
    ) -> tuple[Any, Any, State]:
        count = inputs.shape[0]

        def body(update: Any, loss: Any, accuracy: Any, state: State) -> tuple[Any, Any, Any, State]:
            x, y, counts, begins = (tf.gather(array, update) for array in (inputs, targets, weights, resets))
            beside = None if numbers is None else tf.gather(numbers, update)
            its_loss, its_accuracy, state = self._update(x, y, counts, begins, beside, first + update, state)
            return update + 1, loss + its_loss / count, accuracy + its_accuracy / count, state

        start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0), state)
        _, loss, accuracy, state = tf.while_loop(
            lambda update, *_: update < count, body, start, maximum_iterations=count, parallel_iterations=1
        )
        return loss, accuracy, state

    def _update(
        self, inputs: Any, targets: Any, weights: Any, resets: Any, numbers: Any, number: Any, state: State
    ) -> tuple[Any, Any, State]:
        variables = self._variables
        with tf.GradientTape() as tape:
            keep = None
            if resets.shape.rank == 1:  # at the beginning of the chunk
                state = self.start.after_reset(state, resets)
            else:
                keep = 1.0 - tf.cast(resets, tf.float32)
            dropout_seed = tf.stack([self._seed, number])
            start = [variable.value for variable in self.start.variables]
            logits, following = self._forward.logits(
                inputs, state, numbers=numbers, dropout_seed=dropout_seed, keep=keep, start=start
            )
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            total = tf.maximum(tf.reduce_sum(weights), 1.0)
            loss = tf.reduce_sum(losses * weights) / total
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self._optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], variables)
        right = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), targets), tf.float32)
        # The state goes on, gradients do not: that is the truncation.
        return loss, tf.reduce_sum(right * weights) / total, [tf.stop_gradient(tensor) for tensor in following]
