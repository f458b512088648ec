"""The layers of a window of N time steps, staggered: row r of N is a window that has seen N - r inputs after this step.

Each row has a state of its own. All rows get the same input, row 0 answers, and then the rows move up: row 1 becomes
row 0, and the last one begins anew. So the age of each row is a constant of the graph, and with it the time steps at
which a convolution or pooling in that row has an output.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
from keras import layers

from ...runtime.common.arrays import AnyArray
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes
from ..layers import CannotStepError, LayerStep, Lookup, apply_rule
from ..layers.keras_graph import Graph, LayerCall
from ..layers.recurrent import activation_name
from ..layers.rule import State, stateless, weights_of
from ..ops import Ops, Value, Weights

# For each row the time step, from 1, at which a value is in this step; 0: it has none. None: it has no time axis.
Times: TypeAlias = "AnyArray | None"

_IN_TRAINING = (layers.Dropout, layers.ActivityRegularization, layers.Identity, layers.GaussianNoise,
                layers.GaussianDropout, layers.AlphaDropout)  # fmt: skip

_NOTHING = 1e-12  # far below a count of 1, and not 0: a row that was masked so far has a count of 0


class Staggered:
    """Translates the calls of a graph, in order, into steps of `length` rows."""

    def __init__(self, graph: Graph, length: int) -> None:
        """Begin with the inputs of `graph`, at whose time steps all rows are."""
        self._length = length
        ages = np.arange(length, 0, -1)
        self._times: dict[int, Times] = {each.number: None if each.static else ages for each in graph.inputs}
        self._static = {each.number for each in graph.inputs if each.static}  # at all time steps
        self._flat: dict[int, AnyArray] = {}  # whole sequences in a row, for a Dense layer

    def steps_of(self, call: LayerCall) -> Lookup | tuple[LayerStep, ...]:
        """Return the result of the rule for the layer of `call`, whose inputs are those of the calls before.

        Raises:
            CannotStepError: Rows cannot do it.
        """
        self._times[call.output] = None  # also where it is refused
        if any(number in self._flat for number in call.inputs):
            return self._after_flatten(call)
        if call.is_static:
            self._static.add(call.output)
        times = self._common_times(call)
        self._times[call.output] = times if call.whole else None
        if times is None:
            return apply_rule(call)
        if call.takes_last:
            if not times[0]:
                raise CannotStepError("it takes the last of a sequence that has none in the last step of the window")
            return (stateless(lambda a, x: x),)
        if isinstance(call.layer, layers.Flatten):
            self._flat[call.output] = times
            size = prod(_known(call.input_shapes[0][2:]))
            return (stateless(lambda a, x: a.reshape(x, [size])),)
        if isinstance(call.layer, (layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D)):
            return (_hold(_pooled(call, times), times),)
        found = apply_rule(call)
        if isinstance(found, Lookup):
            return found
        made = []
        for step in found:
            made.append(replace(_hold(step, times), answers=EVERY_STEP))
            times = _made_at(step.answers, times)
        if not times.any():
            raise CannotStepError(
                f"it has no output within a window of {self._length} time steps; make the window longer"
            )
        self._times[call.output] = times if call.whole else None
        return tuple(made)

    def _common_times(self, call: LayerCall) -> Times:
        """Return the time steps of all inputs of `call`."""
        read = [*call.inputs, *([] if call.mask is None else [call.mask])]
        if any(number not in self._times for number in read):
            raise CannotStepError("it reads a layer that cannot be stepped in rows")
        given = [self._times[number] for number in read if number not in self._static]
        timed = [times for times in given if times is not None]
        if not timed:
            return None
        if len(timed) != len(given) or any(not np.array_equal(times, timed[0]) for times in timed):
            raise CannotStepError("its inputs are at different time steps")
        return timed[0]

    def _after_flatten(self, call: LayerCall) -> tuple[LayerStep, ...]:
        """Return the step of a layer behind Flatten: Dense, or one that acts in training alone."""
        number = call.inputs[0]
        if type(call.layer) in _IN_TRAINING:
            self._flat[call.output] = self._flat[number]
            return (stateless(lambda a, x: x),)
        if type(call.layer) is not layers.Dense or len(call.inputs) > 1:
            raise CannotStepError("it reads the whole window in a row; put a Dense layer behind Flatten")
        return (_hold(_dense_over_time(call, self._flat[number]), self._flat[number]),)

    def problems_of_outputs(self, graph: Graph) -> list[str]:
        """Name the outputs of `graph` that are not there in the last step of the window."""
        missing = []
        for output in graph.outputs:
            times = self._times.get(output.number)
            if output.number not in self._times or output.number in self._flat or (times is not None and not times[0]):
                missing.append(f"its output {output.name!r} is not made in the last step of the window")
        return missing


class _InRows:
    """Chooses between values of all rows."""

    def __init__(self, rows: AnyArray) -> None:
        """Choose the first value in the rows where `rows`, of shape (N,), is true."""
        self._rows = rows.astype(np.float32)
        self._shaped: dict[int, Weights] = {}  # number of axes -> the rows with as many axes behind them

    def choose(self, a: Ops, x: Value, y: Value) -> Value:
        """Return x in the chosen rows and y in the others; both are of shape (B N, ...)."""
        shape, length = _known(x.shape[1:]), len(self._rows)
        rows = self._shaped.setdefault(len(shape), self._rows.reshape(length, *[1] * len(shape)))
        x, y = (a.reshape(each, [length, *shape]) for each in (x, y))
        return a.reshape(a.select(a.constant(rows), x, y), shape)


def _known(shape: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in shape)


def _hold(step: LayerStep, times: AnyArray) -> LayerStep:
    """Keep the state of the rows that get no input in this step."""
    if times.all() or not step.state:
        return step
    got = _InRows(times > 0)

    def apply(a: Ops, x: Any, state: State) -> tuple[Value, State]:
        y, after = step.apply(a, x, state)
        kept = {name: got.choose(a, value, state[name]) for name, value in after.items()}
        return (y if step.held is None else got.choose(a, y, step.held(state))), kept

    return replace(step, apply=apply)


def _made_at(answers: AnswerTimes, times: AnyArray) -> AnyArray:
    """Return the time steps of the output of a layer that answers at the time steps `answers` of its input."""
    past = times - answers.first
    there = (times > 0) & (past >= 0) & (past % answers.every == 0)
    return np.where(there, past // answers.every + 1, 0)


def _pooled(call: LayerCall, times: AnyArray) -> LayerStep:
    """Return the average or the maximum over all time steps, so far."""
    layer, shape = call.layer, list(_known(call.input_shapes[0][2:]))
    made = [1, *shape] if layer.keepdims else shape
    if layer.data_format != "channels_last":
        raise CannotStepError(f"its data_format is {layer.data_format!r}; channels_last can be stepped")
    if isinstance(layer, layers.GlobalMaxPooling1D):
        first = _InRows(times == 1)

        def largest(a: Ops, x: Value, state: State) -> tuple[Value, State]:
            found = first.choose(a, x, a.maximum(x, state["largest"]))
            return a.reshape(found, made), {"largest": found}

        return LayerStep(largest, state={"largest": tuple(shape)})
    if call.mask is None:
        share = 1 / int(times.max())

        def average(a: Ops, x: Value, state: State) -> tuple[Value, State]:
            total = state["sum"] + x
            return a.reshape(total * share, made), {"sum": total}

        return LayerStep(average, state={"sum": tuple(shape)})

    if layer.keepdims or len(shape) != 1:
        raise CannotStepError("it averages the steps that are not masked, and more than one row of numbers")

    def mean(state: State) -> Value:
        return state["sum"] / (state["count"] + _NOTHING)  # where all steps are masked Keras has no answer either

    def masked_average(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        after = {"sum": state["sum"] + x, "count": state["count"] + 1.0}
        return mean(after), after

    return LayerStep(masked_average, state={"sum": tuple(shape), "count": (1,)}, held=mean)


def _dense_over_time(call: LayerCall, times: AnyArray) -> LayerStep:
    """Return a Dense layer on a whole sequence, which adds up the product of each time step."""
    name = activation_name(call.layer.activation)
    kernel, *bias = weights_of(call.layer)  # (T D, K)
    parts = kernel.reshape(int(times.max()), -1, kernel.shape[1])
    kernels = np.where((times > 0)[:, None, None], parts[times - 1], 0).astype(np.float32)  # (N, D, K)

    def apply(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        products = a.matmul_each(a.reshape(x, kernels.shape[:2]), kernels)
        total = state["sum"] + a.reshape(products, kernels.shape[2:])
        return a.activation(name, total + a.constant(bias[0]) if bias else total), {"sum": total}

    return LayerStep(apply, state={"sum": kernels.shape[2:]})
