"""The reference of an exported file: Keras on the whole sequence.

Nothing here uses the step rules; `whole_calls.py` has the layers. Behind layers with strides, and behind convolutions
with padding="valid", a sequence is shorter: it is what Keras makes of it, and its values are kept with the steps that
they belong to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Ids
from ...runtime.common.errors import ParityError
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.worker.messages import RunResult, State
from ..layers import Lookup
from ..layers.keras_graph import KerasLayer, KerasModel, as_given
from ..ops.rounded_ops import UNIT
from ..step_function.build import StepFunction
from ..step_function.interface import Interface
from .metrics import per_step
from .rounding import rounding_of_single_steps
from .sample_inputs import random_inputs, random_static
from .scale import scale_of
from .whole_calls import whole_calls

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
        self._answers = step_function.answers
        self._calls = whole_calls(step_function.calls)
        self._run = tf.function(self.outputs_and_state, autograph=False, reduce_retracing=True)
        self._compare_with(model)

    def carries(self, names: Iterable[str]) -> bool:
        """Tell whether the state tensors that can be let into the Keras layers and out of them are `names`."""
        static = {tensor.name for tensor in self._interface.static.values()}
        return set(names) - static == {name for names in self._state_names() for name in names}

    def begins_in(self, state: State) -> bool:
        """Tell whether `run` from the initial state of all layers begins in `state`."""
        given = {**self._own_starts(), **self._constant_starts()}
        return all(np.array_equal(array[0], given.get(name, 0.0 * array[0])) for name, array in state.items())

    def _own_starts(self) -> dict[str, AnyArray]:
        """Return the states that cells begin in by themselves, by the name of the state."""
        steps = [step for _, found in self._step_function.calls if not isinstance(found, Lookup) for step in found]
        return {
            f"{local}{number}": value
            for number, step in enumerate(step for step in steps if step.state)
            for local, value in (step.start or {}).items()
        }

    def _constant_starts(self) -> dict[str, AnyArray]:
        """Return the constants that layers are given as their initial_state, by the name of the state."""
        return {
            name: row
            for call, names in zip(self._graph.calls, self._state_names(), strict=True)
            for name, row in zip(names, call.initial, strict=False)
            if row is not None and not isinstance(row, int)
        }

    def run(self, inputs: Inputs, state: State | None, kept: Ids | None = None) -> RunResult:
        """Return the outputs for the whole sequence `inputs` of T steps from `state`, and the last state.

        Args:
            inputs: The sequence.
            state: Name -> the state before it; None, or static inputs alone: the initial state of all layers.
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
            drawn = keras_arrays(self._interface, inputs[part])
            arrays = {n: np.repeat(array[None], len(starts), 0) for n, array in drawn.items()}
            outputs, places, state = self._run(arrays, state)
            steps = len(inputs[part])
            found.append([_at_steps(*each, steps)[:, wanted] for each in zip(outputs, places, strict=True)])
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
            arrays = {number: array[:, None] for number, array in keras_arrays(self._interface, inputs[part]).items()}
            outputs, _, following = self._run(arrays, {name: array[part] for name, array in states.items()})
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

    def _result(self, answers: Sequence[AnyArray], states: Mapping[str, Any]) -> RunResult:
        named = {each.name: array for each, array in zip(self._interface.outputs, answers, strict=True)}
        main = named.pop(self._interface.outputs[0].name)
        return RunResult(main, {name: np.asarray(value) for name, value in states.items()}, None, named)

    def outputs_and_state(
        self, inputs: dict[int, Any], state: dict[str, Any] | None
    ) -> tuple[list[Any], list[Any], dict[str, Any]]:
        """Return the outputs, the indices of the steps that they belong to (None: all steps), and the last state."""
        values = dict(inputs)
        last: dict[str, Any] = {}
        steps = tf.shape(next(iter(inputs.values())))[1]
        for number, tensor in self._interface.static.items():  # once for each time step, as any other value
            last[tensor.name] = (state or {})[tensor.name]
            values[number] = tf.repeat(tf.cast(last[tensor.name], tf.float32)[:, None], steps, axis=1)
        places: dict[int, Any] = {}  # number of a value -> the steps it belongs to, if these are not all
        for call, layer, names in zip(self._graph.calls, self._calls, self._state_names(), strict=True):
            is_given = state is not None and state.keys() >= set(names)
            initial = [state[name] for name in names] if state is not None and is_given else None
            if initial is None and call.begins_with:
                initial = [values[number][:, 0] for number in call.begins_with]
            mask = None if call.mask is None else values[call.mask]
            found = (places[number] for number in call.inputs if places.get(number) is not None)
            before = next(found, None)  # all sequences that it reads belong to the same steps
            read = [
                tf.gather(values[n], before, axis=1) if before is not None and n in call.static else values[n]
                for n in call.inputs
            ]
            y, after = layer.run(read, initial, mask)
            values[call.output] = tf.identity(y)  # without the mask that Keras hangs on tensors: it is given where used
            last.update(zip(names, after, strict=True))
            if (layer.first, layer.every) != (1, 1):
                before = (tf.range(steps) if before is None else before)[layer.first - 1 :: layer.every]
            places[call.output] = before
        answers = [(each, values[each.number]) for each in self._interface.outputs]
        outputs = [tf.nn.softmax(value) if each.from_logits else value for each, value in answers]
        return outputs, [places.get(each.number) for each in self._interface.outputs], last

    def _state_names(self) -> list[list[str]]:
        """Return the names in the file of the state of each call: numbered by cell, first to last."""
        number = count()
        return [
            [f"{local}{n}" for group in layer.state for n in [next(number)] for local in group] for layer in self._calls
        ]

    def _random_starts(self, batch: int) -> tuple[dict[str, AnyArray], dict[int, AnyArray]]:
        """Return random states of the calls whose states are inputs of the model, by name and by number of input."""
        random, constants = np.random.default_rng(_SEED), self._constant_starts()
        names = dict(zip((call.output for call in self._graph.calls), self._state_names(), strict=True))
        shapes = {tensor.name: tensor.shape for tensor in self._step_function.state}
        start: dict[str, AnyArray] = {}
        inputs: dict[int, AnyArray] = {}
        for each in (each for each in self._graph.given if each.input is not None):
            for name in names[each.call]:
                zeros = np.zeros((batch, *shapes[name]), np.float32)
                start.setdefault(name, zeros + constants.get(name, np.float32(0)))
            name = names[each.call][each.index]
            start[name] = inputs[each.input.number] = random.uniform(-0.9, 0.9, start[name].shape).astype(np.float32)
        return start, inputs

    def _compare_with(self, model: KerasModel) -> None:
        """Check on a short sequence that taking the model apart has not changed it."""
        shapes = [each.shape for each in self._graph.inputs if not each.static]
        batch = next((shape[0] for shape in shapes if shape[0]), 1)
        fixed = next((shape[1] for shape in shapes if shape[1]), None)
        several = self._answers.first + _SHORT * self._answers.every
        short = max(_SHORT + sum(call.past for call in self._calls), several)
        inputs = random_inputs(self._interface, batch * (fixed or short), _SEED)
        inputs.ids[::3] = 0  # the symbol that may be masked
        words = {each.number: each.words for each in self._graph.inputs if each.words is not None}
        symbol = words.get(-1 if self._interface.symbol is None else self._interface.symbol)
        if symbol is not None and type(symbol.layer) is keras.layers.TextVectorization:
            inputs.ids[...] = np.resize(symbol.readable, len(inputs.ids))
        arrays = {
            n: array.reshape(batch, -1, *array.shape[1:]) for n, array in keras_arrays(self._interface, inputs).items()
        }
        steps = next(iter(arrays.values())).shape[1]
        static = random_static(self._interface, batch, _SEED)
        named = {number: static[tensor.name] for number, tensor in self._interface.static.items()}
        named |= {number: words[number].as_given(arrays[number]) for number in words if number in arrays}
        start, states_given = self._random_starts(batch)
        by_number = {**arrays, **named, **states_given}
        given = [by_number[number] for number in sorted(by_number)]
        with _carried_state_kept([call.layer for call in self._graph.calls]):
            made = tf.nest.flatten(model(as_given(model, given), training=False))
        names = dict(zip((call.output for call in self._graph.calls), self._state_names(), strict=True))
        gone = {each.output: names[each.call][each.index] for each in self._graph.given if each.output is not None}
        after = {gone[index]: np.asarray(value) for index, value in enumerate(made) if index in gone}
        left = [value for index, value in enumerate(made) if index not in gone]
        whole = {output.number: value for output, value in zip(self._graph.outputs, left, strict=True)}
        states = {n: np.repeat(a, len(inputs), 0) for n, a in initial_state(self._step_function.state).items()}
        states.update({name: np.repeat(array, steps, 0) for name, array in static.items()})
        rounding = rounding_of_single_steps(self._step_function, inputs, states)
        difference = 0.0
        apart_outputs, places, last = self.outputs_and_state(arrays, {**static, **start} or None)
        answering = [step for step in range(steps) if self._answers.answers_at(step + 1)]
        if any(
            found is not None and not (np.asarray(found).tolist() == answering and len(answering) == value.shape[1])
            for found, value in zip(places, apart_outputs, strict=True)
        ):
            raise ParityError(
                f"The layers of {model.name!r} answer at other steps than its step function. Nothing was written."
            )
        for each, value in zip(self._interface.outputs, apart_outputs, strict=True):
            expected = np.asarray(tf.nn.softmax(whole[each.number]) if each.from_logits else whole[each.number])
            apart = np.asarray(value)
            found = apart if expected.ndim == apart.ndim else apart[:, -1]
            scale = scale_of(apart.reshape(-1, each.size), rounding[each.name], bounded=each.activation != "linear")
            off = scale.relative(found.reshape(-1, each.size), expected.reshape(-1, each.size))
            difference = max(difference, float(per_step(off).max()))
        for name, expected in after.items():  # a state that is an output of the model
            off = scale_of(expected, UNIT).relative(np.asarray(last[name]), expected)
            difference = max(difference, float(per_step(off).max()))
        if not difference <= _SELF_TOLERANCE:
            raise ParityError(
                f"The model {model.name!r} and its own layers, called one after the other, differ by {difference:.2g} "
                f"of the range within {steps} steps (allowed {_SELF_TOLERANCE:g}). Nothing was written."
            )


def _at_steps(values: Any, places: Any, steps: int) -> AnyArray:
    """Return `values` of (N, T, ...) at the steps that they belong to, zeros at the others."""
    found = np.asarray(values)
    if places is None:
        return found
    spread = np.zeros((len(found), steps, *found.shape[2:]), found.dtype)
    spread[:, np.asarray(places)] = found
    return spread


def keras_arrays(interface: Interface, inputs: Inputs) -> dict[int, AnyArray]:
    """Return the inputs of Keras by number, (T, ...), without the batch."""
    arrays = {number: inputs.features[feature.name] for number, feature in interface.features.items()}
    if interface.symbol is not None:
        arrays[interface.symbol] = _vectors(inputs.ids, interface.symbols) if interface.one_hot else inputs.ids
    return arrays


def _vectors(ids: Ids, symbols: int) -> AnyArray:
    vectors = np.zeros((len(ids), symbols), np.float32)
    vectors[np.arange(len(ids)), ids] = 1
    return vectors


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
