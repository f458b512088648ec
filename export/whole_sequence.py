"""Keras layers on whole sequences, with their state in and out: what stepping must be equal to.

Nothing here uses the step rules. A recurrent layer is a copy of the Keras layer that returns its state; a convolution
is the Keras layer on the past inputs and the sequence joined. What each state tensor is called is written down here
once more, so that a rule that swaps two of them is caught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from .graph import KerasLayer, LayerCall

_LAYERS = keras.layers
# In the order in which `return_state` gives them.
_STATE_ORDER = {_LAYERS.LSTMCell: ("h", "c"), _LAYERS.GRUCell: ("h",), _LAYERS.SimpleRNNCell: ("h",)}
_RECURRENT = (_LAYERS.LSTM, _LAYERS.GRU, _LAYERS.SimpleRNN, _LAYERS.RNN)
_CONVOLUTIONS = (_LAYERS.Conv1D, _LAYERS.DepthwiseConv1D, _LAYERS.SeparableConv1D)
_POOLING = (_LAYERS.AveragePooling1D, _LAYERS.MaxPooling1D)

# (inputs (N, T, ...), state or None for the initial one, mask (N, T) or None) -> (output (N, T, ...), last state)
Run: TypeAlias = Callable[[list[Any], "list[Any] | None", Any], tuple[Any, list[Any]]]


@dataclass(frozen=True)
class WholeCall:
    """One call of a layer on whole sequences.

    Attributes:
        run: The computation.
        state: Local names of its state tensors, one tuple for each that is numbered by itself.
        past: How many past inputs it looks at.
    """

    run: Run
    state: tuple[tuple[str, ...], ...] = ()
    past: int = 0


def whole_call(call: LayerCall) -> WholeCall:
    """Return what does `call` on sequences of any length, for every time step even where Keras answers for the last."""
    layer = call.layer
    if type(layer) in _RECURRENT:
        return _recurrent(layer)
    channels = call.input_shapes[0][-1] if call.input_shapes[0] else None
    if type(layer) in _CONVOLUTIONS:
        return _windowed(layer, (layer.kernel_size[0] - 1) * layer.dilation_rate[0], channels)
    if type(layer) in _POOLING:
        return _windowed(layer, int(keras.tree.flatten(layer.pool_size)[0]) - 1, channels)
    if type(layer) is _LAYERS.ZeroPadding1D:
        return WholeCall(lambda inputs, _, mask: (inputs[0], []))  # its zeros are in the past of the layer behind it
    if type(layer) is _LAYERS.CategoryEncoding:
        # The layer itself drops the time axis of sequences of one symbol and refuses sequences of unknown length.
        return WholeCall(lambda inputs, _, mask: (tf.one_hot(tf.cast(inputs[0], tf.int32), layer.num_tokens), []))
    return WholeCall(lambda inputs, _, mask: (_plain(call, inputs), []))


def _plain(call: LayerCall, inputs: list[Any]) -> Any:
    """Call the layer as it is; where Keras gives it single time steps, these are a larger batch."""
    layer = call.layer
    if type(layer) is _LAYERS.Reshape and call.timed:  # it may name a number of time steps
        return tf.reshape(inputs[0], [*tf.unstack(tf.shape(inputs[0])[:2]), *call.output_shape[2:]])
    outer = None if call.timed else tf.shape(inputs[0])[:2]
    given = [x if outer is None else tf.reshape(x, [-1, *x.shape[2:]]) for x in inputs]
    if not isinstance(layer, keras.layers.Layer):
        arguments = [o.constant if o.position is None else given[o.position] for o in call.operands]
        y = layer(arguments) if type(layer).__name__ == "Concatenate" else layer(*arguments)
    else:
        options = {"training": False} if layer._call_has_training_arg else {}
        y = layer(given if len(given) > 1 else given[0], **options)
    return y if outer is None else tf.reshape(y, [*tf.unstack(outer), *y.shape[1:]])


def _recurrent(layer: KerasLayer) -> WholeCall:
    explicit = {"return_sequences": True, "return_state": True, "stateful": False, "unroll": False}
    copy = type(layer).from_config({**layer.get_config(), **explicit})
    copy.build((None, None, layer.weights[0].shape[0]))
    copy.set_weights(layer.get_weights())
    stacked = type(layer.cell) is _LAYERS.StackedRNNCells
    names = tuple(_STATE_ORDER[type(cell)] for cell in (layer.cell.cells if stacked else [layer.cell]))

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        initial = None if state is None else _nested(state, names) if stacked else list(state)
        y, *after = copy(inputs[0], initial_state=initial, mask=mask, training=False)
        if mask is not None and state is not None and not layer.zero_output_for_mask:
            # Keras answers zeros to masked steps before the first other one, for it knows no output before them.
            begun = tf.cumsum(tf.cast(mask, tf.int32), axis=1)[..., None] > 0
            before = state[sum(map(len, names[:-1]))]
            y = tf.where(begun, y, before[:, None])
        return y, keras.tree.flatten(after)

    return WholeCall(run, names)


def _nested(state: Sequence[Any], names: Sequence[Sequence[str]]) -> list[Any]:
    remaining = list(state)
    return [[remaining.pop(0) for _ in group] for group in names]


def _windowed(layer: KerasLayer, length: int, channels: int | None) -> WholeCall:
    copy = type(layer).from_config({**layer.get_config(), "padding": "valid"})
    copy.build((None, None, channels))
    copy.set_weights(layer.get_weights())

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        x = inputs[0]
        past = tf.zeros([tf.shape(x)[0], length, channels]) if not state else state[0]
        joined = tf.concat([past, x], axis=1) if length else x
        return copy(joined), [joined[:, tf.shape(x)[1] :]] if length else []

    return WholeCall(run, (("past",),) if length else (), length)
