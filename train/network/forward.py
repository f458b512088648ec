"""The forward pass of a network over chunks of many sequences, with the state as argument and result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from .built_network import BuiltNetwork
from .cells import gru_sequence, lstm_sequence, rnn_sequence

Tensor: TypeAlias = Any


def forward(
    network: BuiltNetwork, ids: Tensor, state: list[Tensor], *, features: Tensor = None, kept: Sequence[Tensor] = (),
    keep: Tensor = None,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """Return logits (T, B, K) for `ids` of shape (T, B), and the state after the chunk; or scaled values.

    The result is that of the Keras model, computed from the same variables.

    Args:
        network: The network.
        ids: int32; not used by a network of features alone.
        state: Before the chunk: h of each recurrent layer in turn, and c for an LSTM; each (B, U).
        features: float32 of shape (T, B, F): the features, where the model has any.
        kept: For each recurrent layer the outputs that dropout keeps, bool of shape (T, B, U); (): no dropout.
        keep: float32 of shape (T, B): 0 where the state is reset before this symbol, else 1; None: no resets.
    """
    following: list[Tensor] = []
    remaining = list(state)
    begins: list[Tensor] = []
    if keep is not None:
        keep = keep[..., None]
        begins = [(1.0 - keep) * variable.value for variable in network.initial_state.variables]  # (T, B, U)
    x: Tensor = None
    for index, layer in enumerate(network.recurrent):
        h = remaining.pop(0)
        projected = _project(network, layer, ids, x, features)
        kernel = layer.cell.recurrent_kernel.value
        if isinstance(layer, keras.layers.LSTM):
            x, *after = lstm_sequence(projected, kernel, h, remaining.pop(0), keep, begins[:2])
        elif isinstance(layer, keras.layers.GRU):
            x, *after = gru_sequence(projected, kernel, layer.cell.bias.value[1], h, keep, begins[:1])
        else:
            x, *after = rnn_sequence(projected, kernel, h, keep, begins[:1])
        following += after
        begins = begins[len(after) :]
        if kept:  # between layers and not in the recurrence (Zaremba et al. 2014)
            x = tf.where(kept[index], x / (1 - network.dropout), 0.0)
    return _matmul(x, network.head.kernel.value) + network.head.bias.value, following


def _project(network: BuiltNetwork, layer: Any, ids: Tensor, x: Tensor, features: Tensor) -> Tensor:
    """Return the input's share of the gates of `layer`, (T, B, G U); x is None for the first layer."""
    kernel, bias = layer.cell.kernel.value, layer.cell.bias.value
    if isinstance(layer, keras.layers.GRU):
        bias = bias[0]  # of the input; the other is the recurrent one
    if x is not None:
        return _matmul(x, kernel) + bias
    if network.scaling is None:
        return _look_up(network.lookup, ids, kernel, bias)
    scaled = network.scaling(features)
    if network.lookup is None:
        return _matmul(scaled, kernel) + bias
    size = scaled.shape[-1]
    return _look_up(network.lookup, ids, kernel[:-size], bias) + _matmul(scaled, kernel[-size:])


def _look_up(lookup: Any, ids: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return the symbols' share of the gates, (T, B, G U)."""
    if not lookup.trainable:
        return tf.gather(kernel + bias, ids)  # the row of a symbol is its one-hot vector times the kernel
    table = lookup.embeddings.value
    if table.shape[0] <= ids.shape[0] * ids.shape[1]:
        return tf.gather(tf.matmul(table, kernel) + bias, ids)
    return _matmul(tf.gather(table, ids), kernel) + bias


def _matmul(x: Tensor, kernel: Tensor) -> Tensor:
    """Return x @ kernel for x of shape (T, B, N) as one product of matrices."""
    steps, rows, size = x.shape
    return tf.reshape(tf.matmul(tf.reshape(x, (steps * rows, size)), kernel), (steps, rows, kernel.shape[-1]))
