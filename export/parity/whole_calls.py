"""The calls of a Keras model on whole sequences, for the reference of an exported file.

Nothing here uses the step rules. A recurrent layer is a copy of the Keras layer that returns its state; a convolution
is the Keras layer on the past inputs and the sequence joined, or on the zeros before the sequence and the sequence. The
names of the state tensors are written down here once more, so that a rule that swaps two of them is caught.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from ...runtime.format.tensor_specs import EVERY_STEP
from ..layers import LayerStep, Lookup
from ..layers.keras_graph import KerasLayer, LayerCall
from ..layers.traced import OUTPUT
from ..step_function.clock import composed
from ..step_function.plan import Steps

_L = keras.layers
# In the order in which `return_state` gives them.
_STATE_ORDER = {_L.LSTMCell: ("h", "c"), _L.GRUCell: ("h",), _L.SimpleRNNCell: ("h",)}
_RECURRENT = (_L.LSTM, _L.GRU, _L.SimpleRNN, _L.RNN)
_CONVOLUTIONS = (
    _L.Conv1D, _L.DepthwiseConv1D, _L.SeparableConv1D, _L.Conv2D, _L.DepthwiseConv2D, _L.SeparableConv2D
)  # fmt: skip
_POOLING = (_L.AveragePooling1D, _L.MaxPooling1D, _L.AveragePooling2D, _L.MaxPooling2D)
_PADDING = (_L.ZeroPadding1D, _L.ZeroPadding2D)
_CROPPING = (_L.Cropping1D, _L.Cropping2D)

# (inputs (N, T, ...), state or None for the initial one, mask (N, T) or None) -> (output (N, T, ...), last state)
Run: TypeAlias = Callable[[list[Any], "list[Any] | None", Any], tuple[Any, list[Any]]]


@dataclass(frozen=True)
class WholeCall:
    """One call of a layer on whole sequences.

    Attributes:
        run: The computation.
        state: Local names of its state tensors, one tuple for each that is numbered by itself.
        past: How many past inputs it looks at.
        first: The input, counted from 1, to which its first output belongs: the last input that this output looks at.
        every: From one output to the next, in inputs.
    """

    run: Run
    state: tuple[tuple[str, ...], ...] = ()
    past: int = 0
    first: int = 1
    every: int = 1


def whole_calls(calls: Steps) -> list[WholeCall]:
    """Return the computation of each call on sequences of any length, for all outputs if Keras returns the last too.

    Args:
        calls: The calls of a model, each with the steps that its rule made of it: they name the states of cells that
            only they know.
    """
    found = []
    zeros: dict[int, int] = {}  # number of a value -> zeros before its sequence, which the layer that reads it adds
    for call, steps in calls:
        named = () if isinstance(steps, Lookup) else steps
        found.append(_whole_call(call, named, max((zeros.get(number, 0) for number in call.inputs), default=0)))
        if call.timed and type(call.layer) in _PADDING:
            zeros[call.output] = keras.tree.flatten(call.layer.padding)[0]
    return found


def _whole_call(call: LayerCall, steps: Sequence[LayerStep], zeros: int) -> WholeCall:
    layer = call.layer
    if call.spread:  # each time step has the value already
        return WholeCall(lambda inputs, _, mask: (_reshaped(inputs[0], call.output_shape[2:]), []))
    if isinstance(layer, _L.RNN):
        known = type(layer) in _RECURRENT and all(type(cell) in _STATE_ORDER for cell in _cells(layer))
        return _recurrent(call) if known else _recurrent_of_any_cell(call, steps)
    if call.timed and type(layer) in _CONVOLUTIONS:
        return _windowed(call, (layer.kernel_size[0] - 1) * layer.dilation_rate[0], zeros)
    if call.timed and type(layer) in _POOLING:
        return _windowed(call, int(keras.tree.flatten(layer.pool_size)[0]) - 1, zeros)
    if call.timed and type(layer) is _L.ZeroPadding1D:
        return WholeCall(lambda inputs, _, mask: (inputs[0], []))
    if call.timed and type(layer) is _L.ZeroPadding2D:
        beside = _copy(call, {"padding": ((0, 0), layer.padding[1])})
        return WholeCall(lambda inputs, _, mask: (beside(inputs[0]), []))
    if call.timed and type(layer) in _CROPPING:
        cut = keras.tree.flatten(layer.cropping)[0]
        return WholeCall(lambda inputs, _, mask: (layer(inputs[0]), []), first=cut + 1, past=cut)
    if type(layer) is _L.CategoryEncoding:
        # The layer itself drops the time axis of sequences of one symbol and refuses sequences of unknown length.
        return WholeCall(lambda inputs, _, mask: (tf.one_hot(tf.cast(inputs[0], tf.int32), layer.num_tokens), []))
    times = reduce(composed, (step.answers for step in steps), EVERY_STEP)  # of a rule of one's own
    return WholeCall(lambda inputs, _, mask: (_plain(call, inputs), []), first=times.first, every=times.every)


def _plain(call: LayerCall, inputs: list[Any]) -> Any:
    """Call the layer as it is; where Keras gives it single time steps, these are a larger batch."""
    layer = call.layer
    if type(layer) is _L.Reshape and call.timed:  # it may name a number of time steps
        return _reshaped(inputs[0], call.output_shape[2:])
    outer = None if call.timed else tf.shape(inputs[0])[:2]
    given = [x if outer is None else tf.reshape(x, [-1, *x.shape[2:]]) for x in inputs]
    if call.timed and not call.whole:
        # It answers once for a sequence: here for each step as if it were the only one, as its rule does.
        outer = tf.shape(inputs[0])[:2]
        given = [tf.reshape(x, [-1, 1, *x.shape[2:]]) for x in inputs]
    options = {"training": False} if getattr(layer, "_call_has_training_arg", False) else {}
    y = call.call_with(given, **options)
    return y if outer is None else tf.reshape(y, [*tf.unstack(outer), *y.shape[1:]])


def _reshaped(x: Any, shape: Sequence[int | None]) -> Any:
    """Return x, (N, T, ...), with another `shape` of each time step."""
    return tf.reshape(x, [*tf.unstack(tf.shape(x)[:2]), *shape])


def _cells(layer: KerasLayer) -> list[KerasLayer]:
    return list(layer.cell.cells) if type(layer.cell) is _L.StackedRNNCells else [layer.cell]


def _start_of(call: LayerCall, rows: Any) -> list[Any] | None:
    """Return the constant initial_state that a layer is given, flat, for a batch of `rows`; None: it has its own."""
    if all(each is None or isinstance(each, int) for each in call.initial):
        return None
    zeros = keras.tree.flatten(call.layer.get_initial_state(1))
    given = [zero[0] if row is None else row for zero, row in zip(zeros, call.initial, strict=True)]
    return [tf.repeat(tf.cast(each, tf.float32)[None], rows, 0) for each in given]


def _recurrent_of_any_cell(call: LayerCall, steps: Sequence[LayerStep]) -> WholeCall:
    """Run the cell of a layer itself: its class may not be one that can be made again from a configuration."""
    layer = call.layer
    copy = _L.RNN(layer.cell, return_sequences=True, return_state=True, zero_output_for_mask=layer.zero_output_for_mask)
    structure = layer.get_initial_state(1)
    holds = len(steps) == 1 and OUTPUT in (steps[0].state or ()) and not layer.zero_output_for_mask
    names = tuple(tuple(name for name in step.state or () if holds or name != OUTPUT) for step in steps)

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        rows = tf.shape(inputs[0])[0]
        start = list(
            state
            or _start_of(call, rows)
            or [tf.repeat(tf.cast(each, tf.float32), rows, 0) for each in keras.tree.flatten(structure)]
        )
        before = start.pop() if holds and state is not None else None
        initial = keras.tree.pack_sequence_as(structure, start)
        y, *after = copy(inputs[0], initial_state=initial, mask=mask, training=False)
        if before is not None:  # Keras answers zeros to masked steps before the first other one
            begun = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
            y = tf.where(
                tf.reshape(begun, [*tf.unstack(tf.shape(begun)), *[1] * (len(y.shape) - 2)]), y, before[:, None]
            )
        return y, [*keras.tree.flatten(after), *([y[:, -1]] if holds else [])]

    return WholeCall(run, names)


def _recurrent(call: LayerCall) -> WholeCall:
    layer = call.layer
    explicit = {"return_sequences": True, "return_state": True, "stateful": False, "unroll": False}
    copy = _copy(call, explicit)
    stacked = type(layer.cell) is _L.StackedRNNCells
    names = tuple(_STATE_ORDER[type(cell)] for cell in _cells(layer))

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        begin = _start_of(call, tf.shape(inputs[0])[0]) if state is None else state
        remaining = iter(begin or ())
        nested = [[next(remaining) for _ in group] for group in names] if begin is not None else None
        initial = nested if stacked or nested is None else nested[0]
        y, *after = copy(inputs[0], initial_state=initial, mask=mask, training=False)
        if mask is not None and state is not None and not layer.zero_output_for_mask:
            # Keras answers zeros to masked steps before the first other one, for it knows no output before them.
            begun = tf.cumsum(tf.cast(mask, tf.int32), axis=1)[..., None] > 0
            before = state[sum(map(len, names[:-1]))]
            y = tf.where(begun, y, before[:, None])
        return y, keras.tree.flatten(after)

    return WholeCall(run, names)


def _copy(call: LayerCall, changes: Mapping[str, Any]) -> KerasLayer:
    """Return a layer with the same weights and another configuration, for sequences of any length."""
    layer = call.layer
    copy = type(layer).from_config({**layer.get_config(), **changes})
    copy.build((None, None, *call.input_shapes[0][2:]))
    copy.set_weights(layer.get_weights())
    return copy


def _windowed(call: LayerCall, length: int, zeros: int) -> WholeCall:
    """Return the call of a layer that looks at `length` past inputs, with so many zeros put before its sequence."""
    layer = call.layer
    zeros += length if layer.padding == "causal" else 0
    if length == 0:  # padding that is left is along other axes
        return WholeCall(lambda inputs, _, mask: (layer(inputs[0]), []), every=_strides(layer))
    copy = _copy(call, {"padding": "valid"})
    shape = call.input_shapes[0][2:]
    every_step = zeros == length and _strides(layer) == 1

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        x = inputs[0]
        past = state[0] if state else tf.zeros([tf.shape(x)[0], zeros, *shape])
        joined = tf.concat([past, x], axis=1)
        return copy(joined), [joined[:, tf.shape(x)[1] :]] if every_step else []

    named = (("past",),) if every_step else ()  # Keras takes no state where outputs are left out
    return WholeCall(run, named, length, length - zeros + 1, _strides(layer))


def _strides(layer: KerasLayer) -> int:
    return int(keras.tree.flatten(layer.strides)[0])
