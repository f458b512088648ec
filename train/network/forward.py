"""The forward pass of a network over chunks of many sequences, fast, with the state going in and out."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from .cells import gru_sequence, lstm_sequence, rnn_sequence
from .initial_state import InitialState
from .network import scaling_of

Tensor: TypeAlias = Any
_THROUGH = (keras.layers.Embedding, keras.layers.RNN, keras.layers.Dense)
State: TypeAlias = list[Tensor]  # of each recurrent layer in turn: h, and c for an LSTM; each (B, U)


class Forward:
    """Computes what a model of `Network.build` computes, from the same Keras variables."""

    def __init__(self, model: keras.Model) -> None:
        """Take hold of the layers of `model`; `recurrent` are the recurrent ones, first to last."""
        first, *self.recurrent, self._head = layers_of(model)
        self._scaled = scaling_of(model)
        self._zeros = InitialState(model, learned=False)
        self._embedding = first if first.trainable else None
        self._dropout = next((layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)), 0.0)

    def zero_state(self, lanes: int) -> State:
        """Return the state of `lanes` sequences that have not begun."""
        return self._zeros.of(lanes)

    def logits(
        self, ids: Tensor, state: State, *, numbers: Tensor = None, dropout_seed: Tensor = None, keep: Tensor = None,
        start: State | None = None,
    ) -> tuple[Tensor, State]:  # fmt: skip
        """Return logits (T, B, K) for `ids` of shape (T, B), and the state after the chunk.

        Args:
            ids: int32.
            state: Before the chunk.
            numbers: float32 of shape (T, B, F): the features, where the model has any.
            dropout_seed: int32 of shape (2,): what dropout follows from; None: there is none.
            keep: float32 of shape (T, B): 0 where the state is forgotten before this symbol, else 1; None: nowhere.
            start: What the state then is, (1, U) each; none: zeros.
        """
        following: State = []
        remaining = list(state)
        begins = [] if keep is None else [(1.0 - keep)[..., None] * tensor for tensor in start or ()]  # (T, B, U)
        x: Tensor = None
        keep = None if keep is None else keep[..., None]
        for number, layer in enumerate(self.recurrent):
            h = remaining.pop(0)
            projected = self._project(layer, ids, x, numbers)
            recurrent_kernel = layer.cell.recurrent_kernel.value
            if isinstance(layer, keras.layers.LSTM):
                x, h, c = lstm_sequence(projected, recurrent_kernel, h, remaining.pop(0), keep, begins[:2])
                following += [h, c]
            elif isinstance(layer, keras.layers.GRU):
                x, h = gru_sequence(projected, recurrent_kernel, layer.cell.bias.value[1], h, keep, begins[:1])
                following += [h]
            else:
                x, h = rnn_sequence(projected, recurrent_kernel, h, keep, begins[:1])
                following += [h]
            begins = begins[2 if isinstance(layer, keras.layers.LSTM) else 1 :]
            if self._dropout and dropout_seed is not None:
                # Between layers and not in the recurrence (Zaremba et al. 2014), drawn anew at every step.
                drawn = tf.random.stateless_uniform(x.shape, dropout_seed + tf.constant([number << 24, 0]))
                x = tf.where(drawn >= self._dropout, x / (1 - self._dropout), 0.0)
        return _matmul(x, self._head.kernel.value) + self._head.bias.value, following

    def _project(self, layer: Any, ids: Tensor, x: Tensor, numbers: Tensor) -> Tensor:
        """Return the input's share of the gates of `layer`, (T, B, G U); x is None for the first layer."""
        kernel, bias = layer.cell.kernel.value, layer.cell.bias.value
        if isinstance(layer, keras.layers.GRU):
            bias = bias[0]  # of the input; the other is the recurrent one
        if x is not None:
            return _matmul(x, kernel) + bias
        if self._scaled is None:
            return self._looked_up(ids, kernel, bias)
        scaled = self._scaled(numbers)
        size = scaled.shape[-1]
        return self._looked_up(ids, kernel[:-size], bias) + _matmul(scaled, kernel[-size:])

    def _looked_up(self, ids: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        """Return what the symbols are worth to the gates, (T, B, G U)."""
        if self._embedding is None:
            return tf.gather(kernel + bias, ids)  # the row of a symbol is its one-hot vector times the kernel
        table = self._embedding.embeddings.value
        if table.shape[0] <= ids.shape[0] * ids.shape[1]:
            return tf.gather(tf.matmul(table, kernel) + bias, ids)
        return _matmul(tf.gather(table, ids), kernel) + bias


def _matmul(x: Tensor, kernel: Tensor) -> Tensor:
    """Return x @ kernel for x of shape (T, B, N) as one product of matrices."""
    steps, lanes, size = x.shape
    return tf.reshape(tf.matmul(tf.reshape(x, (steps * lanes, size)), kernel), (steps, lanes, kernel.shape[-1]))


def layers_of(model: keras.Model) -> list[Any]:
    """Return the layers of a model of `Network.build` that its symbols go through: lookup, recurrent layers, head."""
    return [layer for layer in model.layers if isinstance(layer, _THROUGH)]
