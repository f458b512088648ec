"""The reference of a window: Keras on each window of N time steps, from a fresh state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from ...runtime.common.arrays import AnyArray, Ids
from ...runtime.common.errors import ParityError
from ...runtime.format.tensor_specs import Inputs
from ...runtime.worker.messages import RunResult, State
from ..layers.keras_graph import KerasModel
from ..step_function.build import StepFunction
from .reference import KerasReference, keras_arrays

_NUMBERS_AT_ONCE = 1 << 21  # in the inputs of one call of Keras


def reference_of(model: KerasModel, step_function: StepFunction) -> KerasReference | WindowReference:
    """Return the reference of `step_function`, which was built from `model`."""
    return (
        KerasReference(model, step_function) if step_function.window is None else WindowReference(model, step_function)
    )


class WindowReference:
    """A Keras model on the window before each step.

    It is the model itself, as `predict` runs it. Where the rows begin in another state than that of Keras its layers
    are called one after the other, as `KerasReference` does.
    """

    def __init__(self, model: KerasModel, step_function: StepFunction) -> None:
        """Compare with `model`, from which `step_function` was built."""
        assert step_function.window is not None, "a model without a window has another reference"
        self._model, self._step_function = model, step_function
        self._length = step_function.window.length
        self._run = tf.function(self._answers, autograph=False, reduce_retracing=True)
        self._start: dict[str, AnyArray] = {}  # name -> the state of a fresh row, where it is not that of Keras
        self._layers: KerasReference | None = None

    def carries(self, names: Iterable[str]) -> bool:
        """Tell whether Keras can begin in the middle of a stream: no."""
        return False

    def begins_in(self, state: State) -> bool:
        """Tell whether Keras can begin its windows as the rows of `state` begin, and do so from now on."""
        if not any(array.any() for array in state.values()):
            return True
        try:
            self._layers = KerasReference(self._model, self._step_function)
        except (ParityError, ValueError, tf.errors.OpError):  # taken apart they do something else: valid convolutions
            return False
        self._start = {name: array[:, -1] for name, array in state.items()}
        return self._layers.carries(state)

    def run(self, inputs: Inputs, state: State | None, kept: Ids | None = None) -> RunResult:
        """Return the outputs of the windows that end in the steps `kept`, (T, K); None: in all that have one.

        The states after are not known to Keras. Of `state` the static inputs are read alone.
        """
        ends = np.arange(self._length - 1, len(inputs)) if kept is None else kept
        interface = self._step_function.interface
        width = sum(int(np.prod(feature.shape)) for feature in self._step_function.features) + (
            interface.symbols if interface.one_hot else 1
        )
        size = max(1, min(len(ends), _NUMBERS_AT_ONCE // (width * self._length)))
        found: list[list[AnyArray]] = []
        for begin in range(0, len(ends), size):
            part = ends[begin : begin + size]
            # Always as many windows, so that Keras is traced once.
            steps = np.resize(part, size)[:, None] + np.arange(1 - self._length, 1)
            arrays = keras_arrays(interface, inputs[steps.reshape(-1)])
            windows = {n: array.reshape(size, self._length, *array.shape[1:]) for n, array in arrays.items()}
            static = {n: (state or {})[tensor.name] for n, tensor in interface.static.items()}
            windows.update({number: np.repeat(array, size, axis=0) for number, array in static.items()})
            found.append([np.asarray(output)[: len(part)] for output in self._run(windows)])
        joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        named = {each.name: array for each, array in zip(interface.outputs, joined, strict=True)}
        main = named.pop(interface.outputs[0].name)
        return RunResult(main, {}, None, named)

    def _answers(self, windows: dict[int, Any]) -> list[Any]:
        """Return the outputs of each window, (B, K)."""
        interface = self._step_function.interface
        if self._layers is not None:
            size = tf.shape(next(iter(windows.values())))[0]
            start = {name: tf.repeat(array, size, axis=0) for name, array in self._start.items()}
            start.update({tensor.name: windows[number] for number, tensor in interface.static.items()})
            timed_inputs = {number: array for number, array in windows.items() if number not in interface.static}
            outputs, _, _ = self._layers.outputs_and_state(timed_inputs, start)
            return [output[:, -1] for output in outputs]
        given = [windows[each.number] for each in self._step_function.graph.inputs]
        made = tf.nest.flatten(self._model(given[0] if len(given) == 1 else given, training=False))
        whole = dict(zip((each.number for each in self._step_function.graph.outputs), made, strict=True))
        timed = {each.number for each in self._step_function.graph.outputs if each.timed}
        answers = []
        for each in interface.outputs:
            value = whole[each.number][:, -1] if each.number in timed else whole[each.number]
            answers.append(tf.nn.softmax(value) if each.from_logits else tf.reshape(value, [-1, each.size]))
        return answers
