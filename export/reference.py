"""What an exported file must answer: Keras on the whole sequence, and numpy as referee."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np
import tensorflow as tf

from ..runtime.arrays import AnyArray
from ..runtime.errors import ParityError
from ..runtime.inputs import Inputs
from ..runtime.trajectory import State, Trajectory
from .arithmetic import NumpyArithmetic
from .deviation import relative
from .graph import KerasLayer, KerasModel, read_graph
from .interface import Interface
from .precision import Rounding, as_they_are
from .step_function import StepFunction
from .typical_inputs import as_mapping, random_inputs
from .whole_sequence import whole_call

_SHORT = 8  # more where there are windows: steps for the comparison of a model with itself taken apart
_SELF_TOLERANCE = 1e-5
_SEED = 0


class KerasReference:
    """A Keras model on whole sequences, from any state, returning the last state.

    The same Keras layers with the same weights, each of which sees the whole sequence at once, so nothing of stepcell's
    stepping is in it. A layer whose state Keras does not let in and out begins from its initial state.
    """

    def __init__(self, model: KerasModel, interface: Interface) -> None:
        """Copy the recurrent layers of `model`, a steppable one with this `interface`.

        Raises:
            ParityError: The copy does not answer as `model` itself does.
        """
        graph, _ = read_graph(model)
        assert graph is not None, "the step function has been built from the same model"
        self._graph = graph
        self._interface = interface
        self._calls = [whole_call(call) for call in graph.calls]
        self._run = tf.function(self._whole_sequence, autograph=False, reduce_retracing=True)
        self._compare_with(model)

    def carries(self, names: Iterable[str]) -> bool:
        """Tell whether the state tensors that can be let into the Keras layers and out of them are `names`."""
        return set(names) == {name for names in self._state_names() for name in names}

    def run(self, inputs: Inputs, state: State | None) -> Trajectory:
        """Return the answers to the whole sequence `inputs` of T steps from `state`, and the last state.

        None is the initial state of all layers.
        """
        arrays = {number: array[None] for number, array in self._arrays(inputs).items()}
        answers, last = self._run(arrays, None if state is None else dict(state))
        return self._trajectory([np.asarray(answer)[0] for answer in answers], last)

    def run_from(self, inputs: Inputs, starts: Sequence[State]) -> list[Trajectory]:
        """Do what `run` does from each of `starts`, all of them in one batch."""
        arrays = {number: np.repeat(array[None], len(starts), 0) for number, array in self._arrays(inputs).items()}
        together = {name: np.concatenate([start[name] for start in starts]) for name in starts[0]}
        answers, last = self._run(arrays, together)
        return [
            self._trajectory(
                [np.asarray(answer)[row] for answer in answers],
                {name: value[row : row + 1] for name, value in last.items()},
            )
            for row in range(len(starts))
        ]

    def run_each(self, inputs: Inputs, states: State) -> Trajectory:
        """Return the answers to each step of `inputs` from its own of `states`, (T, ...), and the states after."""
        arrays = {number: array[:, None] for number, array in self._arrays(inputs).items()}
        answers, after = self._run(arrays, dict(states))
        return self._trajectory([np.asarray(answer)[:, 0] for answer in answers], after)

    def _arrays(self, inputs: Inputs) -> dict[int, AnyArray]:
        """Return what Keras reads, by the number of the input, without the batch."""
        arrays = {number: inputs.features[feature.name] for number, feature in self._interface.features.items()}
        if self._interface.symbol is not None:
            vectors = np.eye(self._interface.symbols, dtype=np.float32) if self._interface.one_hot else None
            arrays[self._interface.symbol] = inputs.ids if vectors is None else vectors[inputs.ids]
        return arrays

    def _trajectory(self, answers: Sequence[AnyArray], states: Mapping[str, Any]) -> Trajectory:
        named = {each.name: array for each, array in zip(self._interface.answers, answers, strict=True)}
        main = named.pop(self._interface.answers[0].name)
        return Trajectory(main, {name: np.asarray(value) for name, value in states.items()}, None, named)

    def _whole_sequence(self, inputs: dict[int, Any], state: dict[str, Any] | None) -> tuple[list[Any], dict[str, Any]]:
        values = dict(inputs)
        last: dict[str, Any] = {}
        for call, layer, names in zip(self._graph.calls, self._calls, self._state_names(), strict=True):
            initial = None if state is None else [state[name] for name in names]
            mask = None if call.mask is None else values[call.mask]
            y, after = layer.run([values[number] for number in call.inputs], initial, mask)
            values[call.output] = tf.identity(y)  # without the mask that Keras hangs on tensors: it is given where used
            last.update(zip(names, after, strict=True))
        answers = [(each, values[each.number]) for each in self._interface.answers]
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
        difference = 0.0
        for each, value in zip(self._interface.answers, self._run(arrays, None)[0], strict=True):
            expected = np.asarray(tf.nn.softmax(whole[each.number]) if each.from_logits else whole[each.number])
            apart = np.asarray(value)
            found = apart if expected.ndim == apart.ndim else apart[:, -1]
            difference = max(difference, float(np.nan_to_num(np.abs(relative(found, expected)), nan=np.inf).max()))
        if not difference <= _SELF_TOLERANCE:
            raise ParityError(
                f"The model {model.name!r} and its own layers, called one after the other, differ by {difference:.2g} "
                f"within {steps} steps (allowed {_SELF_TOLERANCE:g}). Nothing was written."
            )


def run_numpy(
    step_function: StepFunction,
    inputs: Inputs,
    starts: Sequence[State],
    dtype: type[np.floating[Any]] = np.float64,
    rounding: Rounding = as_they_are,
    recorded: int | None = None,
) -> list[Trajectory]:
    """Step `inputs` in numpy from each of `starts`.

    Returns:
        The answers, and the state after each step, or after each of the last `recorded` ones: the past inputs of a few
        convolutions over 10,000 steps would fill the memory.
    """
    arithmetic = NumpyArithmetic(dtype, rounding)
    current = {name: np.concatenate([start[name] for start in starts]).astype(dtype) for name in starts[0]}
    answers = {a.name: np.empty((len(starts), len(inputs), a.size), dtype) for a in step_function.interface.answers}
    skipped = 0 if recorded is None else max(len(inputs) - recorded, 0)
    steps = len(inputs) - skipped
    states = {name: np.empty((len(starts), steps, *array.shape[1:]), dtype) for name, array in current.items()}
    lanes = np.zeros(len(starts), int)
    for step in range(len(inputs)):
        made, current = step_function.advance(arithmetic, as_mapping(inputs[lanes + step]), current)
        for name, answer in made.items():
            answers[name][:, step] = answer
        if step >= skipped:
            for name, array in current.items():
                states[name][:, step - skipped] = array
    main = answers.pop(step_function.main.name)
    return [
        Trajectory(
            main[lane],
            {name: array[lane] for name, array in states.items()},
            None,
            {name: array[lane] for name, array in answers.items()},
        )
        for lane in range(len(starts))
    ]


@contextmanager
def _carried_state_kept(layers: Sequence[KerasLayer]) -> Iterator[None]:
    """Let stateful layers begin from zero inside, and leave the state they carry as it was."""
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
