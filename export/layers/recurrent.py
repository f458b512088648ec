"""LSTM, GRU and SimpleRNN, as layers or as cells of RNN, in the layouts of Keras 3, and RNN over any other cell.

The contract of a cell, a function of the built Keras cell in `_CELLS`:

- It returns a `LayerStep` with `kernel` (M, G U) and `bias` (G U,) of the input; `apply` gets x @ kernel + bias,
  (B, G U), for G gates and U units; a lookup before the cell is folded into these.
- `apply(ops, x, state)` returns the output (B, U) and the next state; it changes nothing and uses nothing but `ops`.
- `state` has the shapes without the batch by local name, "h" first; the output is "h".
- `cell` describes it for the manifest, `recurrent` has the weights inside the recurrence for graphs of sequences.

Gate orders: LSTM i, f, c, o; GRU z, r, h.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from ...runtime.format.manifest import Cell
from ..ops import ACTIVATIONS, Ops, Value, Weights
from .keras2_activation import keras_activation
from .keras_graph import KerasLayer, LayerCall
from .rule import (
    CannotStepError,
    LayerStep,
    NoRuleError,
    Recurrent,
    State,
    registered_rule,
    shapes_of,
    step_rule,
    weights_of,
)
from .traced import OUTPUT, output_shape, traced_cell


def _lstm(cell: KerasLayer) -> LayerStep:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    kernel, recurrent_kernel, bias = _weights(cell)
    gate, squash = activation_name(cell.recurrent_activation), activation_name(cell.activation)

    def apply(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        # x: (B, 4 U), the input's share of all gates
        i, f, g, o = a.split(x + a.matmul(state["h"], recurrent_kernel), 4)  # each (B, U)
        c = a.activation(gate, f) * state["c"] + a.activation(gate, i) * a.activation(squash, g)
        h = a.activation(gate, o) * a.activation(squash, c)
        return h, {"h": h, "c": c}

    units = cell.units
    return LayerStep(
        apply,
        kernel,
        bias,
        {"h": (units,), "c": (units,)},
        Cell("lstm", units, squash, recurrent_activation=gate),
        Recurrent(recurrent_kernel),
    )


def _gru(cell: KerasLayer) -> LayerStep:
    """Cho et al. 2014; with `reset_after` the variant of cuDNN, which has two biases."""
    kernel, recurrent_kernel, bias = _weights(cell)
    gate, squash = activation_name(cell.recurrent_activation), activation_name(cell.activation)
    units, reset_after = cell.units, bool(cell.reset_after)
    recurrent_bias = None
    if reset_after and bias is not None:  # shape (2, 3 U): of the input, of the state
        bias, recurrent_bias = bias[0].copy(), bias[1].copy()
    gates_kernel, new_kernel = recurrent_kernel[:, : 2 * units].copy(), recurrent_kernel[:, 2 * units :].copy()

    def after(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        h = state["h"]
        recurrent = a.matmul(h, recurrent_kernel)
        if recurrent_bias is not None:
            recurrent = recurrent + a.constant(recurrent_bias)
        x_z, x_r, x_new = a.split(x, 3)  # each (B, U)
        h_z, h_r, h_new = a.split(recurrent, 3)
        z, r = a.activation(gate, x_z + h_z), a.activation(gate, x_r + h_r)
        new = a.activation(squash, x_new + r * h_new)
        h = new + z * (h - new)
        return h, {"h": h}

    def before(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        h = state["h"]
        x_z, x_r, x_new = a.split(x, 3)
        h_z, h_r = a.split(a.matmul(h, gates_kernel), 2)
        z, r = a.activation(gate, x_z + h_z), a.activation(gate, x_r + h_r)
        new = a.activation(squash, x_new + a.matmul(r * h, new_kernel))
        h = new + z * (h - new)
        return h, {"h": h}

    described = Cell("gru", units, squash, recurrent_activation=gate, reset_after=reset_after)
    inside = Recurrent(recurrent_kernel, recurrent_bias)
    return LayerStep(after if reset_after else before, kernel, bias, {"h": (units,)}, described, inside)


def _simple_rnn(cell: KerasLayer) -> LayerStep:
    """Elman 1990."""
    kernel, recurrent_kernel, bias = _weights(cell)
    squash = activation_name(cell.activation)

    def apply(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        h = a.activation(squash, x + a.matmul(state["h"], recurrent_kernel))  # (B, U)
        return h, {"h": h}

    described = Cell("rnn", cell.units, squash)
    return LayerStep(apply, kernel, bias, {"h": (cell.units,)}, described, Recurrent(recurrent_kernel))


_CELLS: dict[type, Callable[[KerasLayer], LayerStep]] = {
    layers.LSTMCell: _lstm,
    layers.GRUCell: _gru,
    layers.SimpleRNNCell: _simple_rnn,
}


_BEGUN = "begun"


@step_rule(layers.LSTM, layers.GRU, layers.SimpleRNN, layers.RNN)
def recurrent(layer: KerasLayer, call: LayerCall) -> list[LayerStep]:
    """Step the cell of the layer; stacked cells one after the other, each with a state of its own."""
    if layer.go_backwards:
        raise CannotStepError("it reads the sequence from its end (go_backwards), so it looks at the future; "
                              "train it forwards")  # fmt: skip
    if not call.timed:
        raise CannotStepError("it reads a sequence that is made within one step and not the one that is stepped; "
                              "leave it out, or set return_sequences=True before it")  # fmt: skip
    stacked = type(layer.cell) is layers.StackedRNNCells
    cells = layer.cell.cells if stacked else [layer.cell]
    start = layer.get_initial_state(1)
    if any(each is not None for each in call.initial):
        zeros = keras.tree.flatten(start)
        given = [
            zero if row is None or isinstance(row, int) else row[None]
            for zero, row in zip(zeros, call.initial, strict=True)
        ]
        start = keras.tree.pack_sequence_as(start, given)
    (shape,) = shapes_of(call)
    steps: list[LayerStep] = []
    for cell, before in zip(cells, start if stacked else [start], strict=True):
        steps.append(_cell_step(cell, shape, before, call, zeros=bool(layer.zero_output_for_mask)))
        shape = output_shape(steps[-1], shape) if cell is not cells[-1] else shape
    if call.begins_with:
        if len(steps) > 1:
            raise CannotStepError(
                "it is several cells whose initial_state comes from static inputs; make a layer of each"
            )
        return [_beginning_with_inputs(steps[0])]
    return steps


def _beginning_with_inputs(step: LayerStep) -> LayerStep:
    """Return a step whose further inputs are its state before the first step; the state `begun` is 1 after that."""
    names = list(step.state or ())

    def apply(a: Ops, values: list[Value], state: State) -> tuple[Value, State]:
        x, *start = values
        begun = state[_BEGUN]
        before = {name: a.select(begun, state[name], first) for name, first in zip(names, start, strict=True)}
        y, after = step.apply(a, x, before)
        return y, {**after, _BEGUN: begun * 0.0 + 1.0}

    return replace(step, apply=apply, state={**(step.state or {}), _BEGUN: (1,)}, recurrent=None)


def _cell_step(cell: KerasLayer, shape: tuple[int, ...], start: Any, call: LayerCall, *, zeros: bool) -> LayerStep:
    """Return the step of one cell: by its rule, or traced."""
    own = registered_rule(cell)
    if own is not None:
        found = own.rule(cell, call)
        if not isinstance(found, LayerStep) or not found.state:
            raise CannotStepError(f"the step rule of its cell {type(cell).__name__} returns no LayerStep with a state")
        return found
    if type(cell) in _CELLS:
        with suppress(NoRuleError):  # an activation of its own: traced
            # Keras repeats the output before a masked step, which for all of these cells is h.
            step = replace(_CELLS[type(cell)](cell), held=lambda s: s["h"] * 0.0 if zeros else s["h"])
            rows = [np.array(each, np.float32)[0] for each in keras.tree.flatten(start)]
            begin = {name: row for name, row in zip(step.state or (), rows, strict=True) if row.any()}
            return replace(step, start=begin or None)
    step = traced_cell(cell, shape, start, masked=call.mask is not None)
    return replace(step, held=lambda s: s[OUTPUT] * 0.0) if zeros and step.held else step


def activation_name(activation: object) -> str:
    """Return the name of a Keras activation that can be exported, or raise `CannotStepError`."""
    name = getattr(activation, "__name__", str(activation))
    if name not in ACTIVATIONS or keras_activation(name) is not activation:
        raise NoRuleError(f"its activation {name!r} has no step rule; these have: {', '.join(ACTIVATIONS)}")
    return name


def _weights(cell: KerasLayer) -> tuple[Weights, Weights, Weights | None]:
    kernel, recurrent_kernel, *bias = weights_of(cell)
    return kernel, recurrent_kernel, bias[0] if bias else None
