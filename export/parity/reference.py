"""The reference of an exported file: Keras on the whole sequence.

Nothing here uses the step rules. A recurrent layer is a copy of the Keras layer that returns its state; a convolution
is the Keras layer on the past inputs and the sequence joined. The names of the state tensors are written down here once
more, so that a rule that swaps two of them is caught.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Ids
from ...runtime.common.errors import ParityError
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.worker.messages import RunResult, State
from ..layers import LayerStep, Lookup
from ..layers.keras_graph import KerasLayer, KerasModel, LayerCall
from ..layers.traced import OUTPUT
from ..step_function.build import StepFunction
from .metrics import per_step
from .rounding import rounding_of_single_steps
from .sample_inputs import random_inputs
from .scale import scale_of

_L = keras.layers
# In the order in which `return_state` gives them.
_STATE_ORDER = {_L.LSTMCell: ("h", "c"), _L.GRUCell: ("h",), _L.SimpleRNNCell: ("h",)}
_RECURRENT = (_L.LSTM, _L.GRU, _L.SimpleRNN, _L.RNN)
_CONVOLUTIONS = (_L.Conv1D, _L.DepthwiseConv1D, _L.SeparableConv1D)
_POOLING = (_L.AveragePooling1D, _L.MaxPooling1D)

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


def whole_call(call: LayerCall, steps: Sequence[LayerStep] = ()) -> WholeCall:
    """Return the computation of `call` on sequences of any length, for all time steps if Keras returns the last too.

    Args:
        call: The call.
        steps: The steps that its rule made of it; they name the states of cells that only they know.
    """
    layer = call.layer
    if isinstance(layer, _L.RNN):
        known = type(layer) in _RECURRENT and all(type(cell) in _STATE_ORDER for cell in _cells(layer))
        return _recurrent(layer) if known else _recurrent_of_any_cell(layer, steps)
    channels = call.input_shapes[0][-1] if call.input_shapes[0] else None
    if type(layer) in _CONVOLUTIONS:
        return _windowed(layer, (layer.kernel_size[0] - 1) * layer.dilation_rate[0], channels)
    if type(layer) in _POOLING:
        return _windowed(layer, int(keras.tree.flatten(layer.pool_size)[0]) - 1, channels)
    if type(layer) is _L.ZeroPadding1D:
        return WholeCall(lambda inputs, _, mask: (inputs[0], []))  # its zeros are in the past of the layer behind it
    if type(layer) is _L.CategoryEncoding:
        # The layer itself drops the time axis of sequences of one symbol and refuses sequences of unknown length.
        return WholeCall(lambda inputs, _, mask: (tf.one_hot(tf.cast(inputs[0], tf.int32), layer.num_tokens), []))
    return WholeCall(lambda inputs, _, mask: (_plain(call, inputs), []))


def _plain(call: LayerCall, inputs: list[Any]) -> Any:
    """Call the layer as it is; where Keras gives it single time steps, these are a larger batch."""
    layer = call.layer
    if type(layer) is _L.Reshape and call.timed:  # it may name a number of time steps
        return tf.reshape(inputs[0], [*tf.unstack(tf.shape(inputs[0])[:2]), *call.output_shape[2:]])
    outer = None if call.timed else tf.shape(inputs[0])[:2]
    given = [x if outer is None else tf.reshape(x, [-1, *x.shape[2:]]) for x in inputs]
    if not isinstance(layer, _L.Layer):
        arguments = [o.constant if o.position is None else given[o.position] for o in call.operands]
        y = layer(arguments) if type(layer).__name__ == "Concatenate" else layer(*arguments)
    else:
        options = {"training": False} if layer._call_has_training_arg else {}
        y = layer(given if len(given) > 1 else given[0], **options)
    return y if outer is None else tf.reshape(y, [*tf.unstack(outer), *y.shape[1:]])


def _cells(layer: KerasLayer) -> list[KerasLayer]:
    return list(layer.cell.cells) if type(layer.cell) is _L.StackedRNNCells else [layer.cell]


def _recurrent_of_any_cell(layer: KerasLayer, steps: Sequence[LayerStep]) -> WholeCall:
    """Run the cell of `layer` itself: its class may not be one that can be made again from a configuration."""
    copy = _L.RNN(layer.cell, return_sequences=True, return_state=True, zero_output_for_mask=layer.zero_output_for_mask)
    structure = layer.get_initial_state(1)
    holds = len(steps) == 1 and OUTPUT in (steps[0].state or ()) and not layer.zero_output_for_mask
    names = tuple(tuple(name for name in step.state or () if holds or name != OUTPUT) for step in steps)

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        rows = tf.shape(inputs[0])[0]
        start = list(state or [tf.repeat(tf.cast(each, tf.float32), rows, 0) for each in keras.tree.flatten(structure)])
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


def _recurrent(layer: KerasLayer) -> WholeCall:
    explicit = {"return_sequences": True, "return_state": True, "stateful": False, "unroll": False}
    copy = _copy(layer, layer.weights[0].shape[0], explicit)
    stacked = type(layer.cell) is _L.StackedRNNCells
    names = tuple(_STATE_ORDER[type(cell)] for cell in _cells(layer))

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        remaining = iter(state or ())
        nested = [[next(remaining) for _ in group] for group in names] if state is not None else None
        initial = nested if stacked or nested is None else nested[0]
        y, *after = copy(inputs[0], initial_state=initial, mask=mask, training=False)
        if mask is not None and state is not None and not layer.zero_output_for_mask:
            # Keras answers zeros to masked steps before the first other one, for it knows no output before them.
            begun = tf.cumsum(tf.cast(mask, tf.int32), axis=1)[..., None] > 0
            before = state[sum(map(len, names[:-1]))]
            y = tf.where(begun, y, before[:, None])
        return y, keras.tree.flatten(after)

    return WholeCall(run, names)


def _copy(layer: KerasLayer, channels: int | None, changes: Mapping[str, Any]) -> KerasLayer:
    """Return a layer with the same weights and another configuration."""
    copy = type(layer).from_config({**layer.get_config(), **changes})
    copy.build((None, None, channels))
    copy.set_weights(layer.get_weights())
    return copy


def _windowed(layer: KerasLayer, length: int, channels: int | None) -> WholeCall:
    copy = _copy(layer, channels, {"padding": "valid"})

    def run(inputs: list[Any], state: list[Any] | None, mask: Any) -> tuple[Any, list[Any]]:
        x = inputs[0]
        past = tf.zeros([tf.shape(x)[0], length, channels]) if not state else state[0]
        joined = tf.concat([past, x], axis=1) if length else x
        return copy(joined), [joined[:, tf.shape(x)[1] :]] if length else []

    return WholeCall(run, (("past",),) if length else (), length)


_SHORT = 8  # steps of the comparison of a model with its own layers; more where there are windows
_SELF_TOLERANCE = 1e-5
_NUMBERS_AT_ONCE = 1 << 20  # in the outputs of one call of Keras
_SEED = 0


class KerasReference:
    """A Keras model on whole sequences, from any state, with the last state.

    Every layer sees the whole sequence at once, so nothing of stepcell's stepping is in it. A layer whose state Keras
    neither takes nor returns begins from its initial state.
    """

    def __init__(self, model: KerasModel, step_function: StepFunction) -> None:
        """Copy the recurrent layers of `model`, from which `step_function` was built.

        Raises:
            ParityError: The layers of the graph do not answer as `model` itself does.
        """
        self._step_function = step_function
        self._graph, self._interface = step_function.graph, step_function.interface
        self._calls = [
            whole_call(call, () if isinstance(found, Lookup) else found) for call, found in step_function.calls
        ]
        self._run = tf.function(self._whole_sequence, autograph=False, reduce_retracing=True)
        self._compare_with(model)

    def carries(self, names: Iterable[str]) -> bool:
        """Tell whether the state tensors that can be let into the Keras layers and out of them are `names`."""
        return set(names) == {name for names in self._state_names() for name in names}

    def run(self, inputs: Inputs, state: State | None, kept: Ids | None = None) -> RunResult:
        """Return the outputs for the whole sequence `inputs` of T steps from `state`, and the last state.

        Args:
            inputs: The sequence.
            state: Name -> the state before it; None: the initial state of all layers.
            kept: The steps whose outputs are wanted, all of which answer; None: all.
        """
        whole = self.run_from(inputs, [state])[0]
        return whole if kept is None else whole.part(kept, whole.states)

    def run_from(self, inputs: Inputs, starts: Sequence[State | None], kept: Ids | None = None) -> list[RunResult]:
        """Do what `run` does from each of `starts`, all of them in one batch.

        Where only the outputs of the steps `kept` are wanted, Keras gets the sequence in parts, and carries its state
        from one to the next.
        """
        given = [start for start in starts if start is not None]
        state: Any = {name: np.concatenate([start[name] for start in given]) for name in given[0]} if given else None
        found: list[list[AnyArray]] = []
        for part, wanted in self._parts(len(inputs), kept, len(starts)):
            arrays = {n: np.repeat(array[None], len(starts), 0) for n, array in self._arrays(inputs[part]).items()}
            outputs, state = self._run(arrays, state)
            found.append([np.asarray(output)[:, wanted] for output in outputs])
        outputs = [np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)]
        return [
            self._result([output[row] for output in outputs], {n: value[row : row + 1] for n, value in state.items()})
            for row in range(len(starts))
        ]

    def run_each(self, inputs: Inputs, states: State, kept: Ids | None = None) -> RunResult:
        """Return the outputs of each step of `inputs` from its own of `states`, (T, ...), and the states after.

        With `kept` the outputs of these steps alone, and the states after all of them.
        """
        found: list[list[AnyArray]] = []
        after: list[dict[str, AnyArray]] = []
        for part, wanted in self._parts(len(inputs), kept, 1):
            arrays = {number: array[:, None] for number, array in self._arrays(inputs[part]).items()}
            outputs, following = self._run(arrays, {name: array[part] for name, array in states.items()})
            found.append([np.asarray(output)[wanted, 0] for output in outputs])
            after.append({name: np.asarray(value) for name, value in following.items()})
        outputs = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        return self._result(outputs, {name: np.concatenate([each[name] for each in after]) for name in after[0]})

    def _parts(self, steps: int, kept: Ids | None, rows: int) -> Iterator[tuple[slice, AnyArray]]:
        """Yield parts of `steps` whose arrays fit into memory, `rows` at a time, and the kept steps in each of them."""
        width = sum(output.size for output in self._interface.outputs)
        width += self._interface.symbols if self._interface.one_hot else 0
        size = steps if kept is None else max(1, _NUMBERS_AT_ONCE // (width * rows))
        every = np.arange(steps) if kept is None else kept
        for begin in range(0, steps, size):
            yield slice(begin, begin + size), every[(every >= begin) & (every < begin + size)] - begin

    def _arrays(self, inputs: Inputs) -> dict[int, AnyArray]:
        """Return the inputs of Keras by number, without the batch."""
        arrays = {number: inputs.features[feature.name] for number, feature in self._interface.features.items()}
        if self._interface.symbol is not None:
            arrays[self._interface.symbol] = self._vectors(inputs.ids) if self._interface.one_hot else inputs.ids
        return arrays

    def _vectors(self, ids: Ids) -> AnyArray:
        vectors = np.zeros((len(ids), self._interface.symbols), np.float32)
        vectors[np.arange(len(ids)), ids] = 1
        return vectors

    def _result(self, answers: Sequence[AnyArray], states: Mapping[str, Any]) -> RunResult:
        named = {each.name: array for each, array in zip(self._interface.outputs, answers, strict=True)}
        main = named.pop(self._interface.outputs[0].name)
        return RunResult(main, {name: np.asarray(value) for name, value in states.items()}, None, named)

    def _whole_sequence(self, inputs: dict[int, Any], state: dict[str, Any] | None) -> tuple[list[Any], dict[str, Any]]:
        values = dict(inputs)
        last: dict[str, Any] = {}
        for call, layer, names in zip(self._graph.calls, self._calls, self._state_names(), strict=True):
            initial = None if state is None else [state[name] for name in names]
            mask = None if call.mask is None else values[call.mask]
            y, after = layer.run([values[number] for number in call.inputs], initial, mask)
            values[call.output] = tf.identity(y)  # without the mask that Keras hangs on tensors: it is given where used
            last.update(zip(names, after, strict=True))
        answers = [(each, values[each.number]) for each in self._interface.outputs]
        return [tf.nn.softmax(value) if each.from_logits else value for each, value in answers], last

    def _state_names(self) -> list[list[str]]:
        """Return the names in the file of the state of each call: numbered by cell, first to last."""
        number = count()
        return [
            [f"{local}{n}" for group in layer.state for n in [next(number)] for local in group] for layer in self._calls
        ]

    def _compare_with(self, model: KerasModel) -> None:
        """Check on a short sequence that taking the model apart has not changed it."""
        shapes = [each.shape for each in self._graph.inputs]
        batch = next((shape[0] for shape in shapes if shape[0]), 1)
        fixed = next((shape[1] for shape in shapes if shape[1]), None)
        inputs = random_inputs(
            self._interface, batch * (fixed or _SHORT + sum(call.past for call in self._calls)), _SEED
        )
        inputs.ids[::3] = 0  # the symbol that may be masked
        arrays = {n: array.reshape(batch, -1, *array.shape[1:]) for n, array in self._arrays(inputs).items()}
        steps = next(iter(arrays.values())).shape[1]
        given = [arrays[number] for number in range(len(shapes))]
        with _carried_state_kept([call.layer for call in self._graph.calls]):
            made = tf.nest.flatten(model(given[0] if len(given) == 1 else given, training=False))
        whole = {output.number: value for output, value in zip(self._graph.outputs, made, strict=True)}
        states = {n: np.repeat(a, len(inputs), 0) for n, a in initial_state(self._step_function.state).items()}
        rounding = rounding_of_single_steps(self._step_function, inputs, states)
        difference = 0.0
        for each, value in zip(self._interface.outputs, self._whole_sequence(arrays, None)[0], strict=True):
            expected = np.asarray(tf.nn.softmax(whole[each.number]) if each.from_logits else whole[each.number])
            apart = np.asarray(value)
            found = apart if expected.ndim == apart.ndim else apart[:, -1]
            scale = scale_of(apart.reshape(-1, each.size), rounding[each.name], bounded=each.activation != "linear")
            off = scale.relative(found.reshape(-1, each.size), expected.reshape(-1, each.size))
            difference = max(difference, float(per_step(off).max()))
        if not difference <= _SELF_TOLERANCE:
            raise ParityError(
                f"The model {model.name!r} and its own layers, called one after the other, differ by {difference:.2g} "
                f"of the range within {steps} steps (allowed {_SELF_TOLERANCE:g}). Nothing was written."
            )


@contextmanager
def _carried_state_kept(layers: Sequence[KerasLayer]) -> Iterator[None]:
    """Reset stateful layers inside the block, and restore the state they carry after it."""
    stateful = [layer for layer in layers if getattr(layer, "stateful", False)]
    variables = [variable for layer in stateful for variable in tf.nest.flatten(layer.states)]
    before = [np.array(variable) for variable in variables]
    for layer in stateful:
        layer.reset_state()
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
