"""What an exported file must answer: Keras on the whole sequence, and numpy as referee."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..runtime.arrays import Ids
from ..runtime.errors import ParityError
from ..runtime.trace import State, Trajectory
from .arithmetic import NumpyArithmetic
from .graph import KerasLayer, KerasModel, read_graph
from .precision import Rounding, as_they_are
from .step_function import StepFunction
from .whole_sequence import whole_call

_SHORT = 8  # more where there are windows: steps for the comparison of a model with itself taken apart
_SELF_TOLERANCE = 1e-5


class KerasReference:
    """A Keras model on whole sequences, from any state, returning the last state.

    The same Keras layers with the same weights, each of which sees the whole sequence at once, so nothing of stepcell's
    stepping is in it. A layer whose state Keras does not let in and out begins from its initial state.
    """

    def __init__(self, model: KerasModel, *, one_hot: bool = False, from_logits: bool = False) -> None:
        """Copy the recurrent layers of `model`, a steppable one; the options are those of its step function.

        Raises:
            ParityError: The copy does not answer as `model` itself does.
        """
        graph, _ = read_graph(model)
        assert graph is not None, "the step function has been built from the same model"
        self._graph = graph
        self._size = graph.input_shape[-1] if one_hot else None
        self._from_logits = from_logits
        self._calls = [whole_call(call) for call in graph.calls]
        self._run = tf.function(self._whole_sequence, autograph=False, reduce_retracing=True)
        self._compare_with(model)

    def carries(self, names: Iterable[str]) -> bool:
        """Tell whether the state tensors that can be let into the Keras layers and out of them are `names`."""
        return set(names) == {name for names in self._state_names() for name in names}

    def run(self, ids: Ids, state: State | None) -> Trajectory:
        """Return the answers to the whole sequence `ids`, shape (T,), from `state`, and the last state.

        None is the initial state of all layers.
        """
        answers, last = self._run(self._input(ids[None]), None if state is None else dict(state))
        return Trajectory(np.asarray(answers)[0], {name: np.asarray(value) for name, value in last.items()})

    def run_each(self, ids: Ids, states: State) -> Trajectory:
        """Return the answers to each of `ids`, shape (T,), from its own of `states`, (T, ...), and the states after."""
        answers, after = self._run(self._input(ids[:, None]), dict(states))
        return Trajectory(np.asarray(answers)[:, 0], {name: np.asarray(value) for name, value in after.items()})

    def _input(self, ids: Ids) -> Any:
        return ids if self._size is None else np.eye(self._size, dtype=np.float32)[ids]

    def _whole_sequence(self, x: Any, state: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        values = {0: x}
        last: dict[str, Any] = {}
        for call, layer, names in zip(self._graph.calls, self._calls, self._state_names(), strict=True):
            initial = None if state is None else [state[name] for name in names]
            mask = None if call.mask is None else values[call.mask]
            y, after = layer.run([values[number] for number in call.inputs], initial, mask)
            values[call.output] = tf.identity(y)  # without the mask that Keras hangs on tensors: it is given where used
            last.update(zip(names, after, strict=True))
        answer = values[self._graph.output]
        return (tf.nn.softmax(answer) if self._from_logits else answer), last

    def _state_names(self) -> list[list[str]]:
        """Return the names in the file of the state of each call: numbered by cell, first to last."""
        number = count()
        return [
            [f"{local}{n}" for group in layer.state for n in [next(number)] for local in group] for layer in self._calls
        ]

    def _compare_with(self, model: KerasModel) -> None:
        """Check on a short sequence that taking the model apart has not changed it."""
        batch, steps = (
            self._graph.input_shape[0] or 1,
            self._graph.input_shape[1] or _SHORT + sum(call.past for call in self._calls),
        )
        size = self._size or _vocabulary_size(self._graph)
        ids = np.random.default_rng(0).integers(0, size, (batch, steps), dtype=np.int32)
        ids[:, ::3] = 0  # the symbol that may be masked
        with _carried_state_kept([call.layer for call in self._graph.calls]):
            whole = np.asarray(tf.nest.flatten(model(self._input(ids), training=False))[0])
        apart = np.asarray(self._run(self._input(ids), None)[0])
        if self._from_logits:
            whole = np.asarray(tf.nn.softmax(whole))
        difference = float(np.abs(whole - (apart if whole.ndim == apart.ndim else apart[:, -1])).max())
        if not difference <= _SELF_TOLERANCE:
            raise ParityError(
                f"The model {model.name!r} and its own layers, called one after the other, differ by {difference:.2g} "
                f"within {steps} steps (allowed {_SELF_TOLERANCE:g}). Nothing was written."
            )


def run_numpy(
    step_function: StepFunction,
    ids: Ids,
    starts: Sequence[State],
    dtype: type[np.floating[Any]] = np.float64,
    rounding: Rounding = as_they_are,
    recorded: int | None = None,
) -> list[Trajectory]:
    """Step `ids`, shape (T,), in numpy from each of `starts`.

    Returns:
        The answers, and the state after each step, or after each of the last `recorded` ones: the past inputs of a few
        convolutions over 10,000 steps would fill the memory.
    """
    arithmetic = NumpyArithmetic(dtype, rounding)
    current = {name: np.concatenate([start[name] for start in starts]).astype(dtype) for name in starts[0]}
    answers = np.empty((len(starts), len(ids), step_function.outputs), dtype)
    skipped = 0 if recorded is None else max(len(ids) - recorded, 0)
    steps = len(ids) - skipped
    states = {name: np.empty((len(starts), steps, *array.shape[1:]), dtype) for name, array in current.items()}
    for step, id in enumerate(ids):
        answers[:, step], current = step_function.advance(arithmetic, np.full(len(starts), id), current)
        if step >= skipped:
            for name, array in current.items():
                states[name][:, step - skipped] = array
    return [
        Trajectory(answers[lane], {name: array[lane] for name, array in states.items()}) for lane in range(len(starts))
    ]


def _vocabulary_size(graph: Any) -> int:
    layers = [call.layer for call in graph.calls if call.inputs == (0,) and isinstance(call.layer, keras.layers.Layer)]
    return min(int(getattr(layer, "input_dim", None) or layer.num_tokens) for layer in layers)


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
