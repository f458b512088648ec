"""LSTM, GRU and SimpleRNN, in the layouts of Keras 3.

Gate orders: LSTM i, f, c, o; GRU z, r, h.
"""

from __future__ import annotations

import keras

from ...runtime.manifest import Cell
from ..arithmetic import ACTIVATIONS, Arithmetic, Value, Weights
from ..graph import KerasLayer
from .rule import CannotStepError, LayerStep, State, step_rule
from .weights import weights_of


@step_rule(keras.layers.LSTM)
def lstm(layer: KerasLayer) -> LayerStep:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    kernel, recurrent_kernel, bias = _weights(layer)
    gate, squash = activation_name(layer.recurrent_activation), activation_name(layer.activation)

    def apply(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        # x: (B, 4 U), the input's share of all gates
        i, f, g, o = a.split(x + a.matmul(state["h"], recurrent_kernel), 4)  # each (B, U)
        c = a.activation(gate, f) * state["c"] + a.activation(gate, i) * a.activation(squash, g)
        h = a.activation(gate, o) * a.activation(squash, c)
        return h, {"h": h, "c": c}

    units = layer.units
    return LayerStep(
        apply, kernel, bias, {"h": (units,), "c": (units,)}, Cell("lstm", units, squash, recurrent_activation=gate)
    )


@step_rule(keras.layers.GRU)
def gru(layer: KerasLayer) -> LayerStep:
    """Cho et al. 2014; with `reset_after` the variant of cuDNN, which has two biases."""
    kernel, recurrent_kernel, bias = _weights(layer)
    gate, squash = activation_name(layer.recurrent_activation), activation_name(layer.activation)
    units, reset_after = layer.units, bool(layer.reset_after)
    recurrent_bias = None
    if reset_after and bias is not None:  # shape (2, 3 U): of the input, of the state
        bias, recurrent_bias = bias[0].copy(), bias[1].copy()
    gates_kernel, new_kernel = recurrent_kernel[:, : 2 * units].copy(), recurrent_kernel[:, 2 * units :].copy()

    def after(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
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

    def before(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        h = state["h"]
        x_z, x_r, x_new = a.split(x, 3)
        h_z, h_r = a.split(a.matmul(h, gates_kernel), 2)
        z, r = a.activation(gate, x_z + h_z), a.activation(gate, x_r + h_r)
        new = a.activation(squash, x_new + a.matmul(r * h, new_kernel))
        h = new + z * (h - new)
        return h, {"h": h}

    cell = Cell("gru", units, squash, recurrent_activation=gate, reset_after=reset_after)
    return LayerStep(after if reset_after else before, kernel, bias, {"h": (units,)}, cell)


@step_rule(keras.layers.SimpleRNN)
def simple_rnn(layer: KerasLayer) -> LayerStep:
    """Elman 1990."""
    kernel, recurrent_kernel, bias = _weights(layer)
    squash = activation_name(layer.activation)

    def apply(a: Arithmetic, x: Value, state: State) -> tuple[Value, State]:
        h = a.activation(squash, x + a.matmul(state["h"], recurrent_kernel))  # (B, U)
        return h, {"h": h}

    return LayerStep(apply, kernel, bias, {"h": (layer.units,)}, Cell("rnn", layer.units, squash))


def activation_name(activation: object) -> str:
    """Return the name of a Keras activation that can be exported, or raise `CannotStepError`."""
    name = getattr(activation, "__name__", str(activation))
    if name not in ACTIVATIONS or getattr(keras.activations, name, None) is not activation:
        raise CannotStepError(f"its activation {name!r} has no step rule; these have: {', '.join(ACTIVATIONS)}")
    return name


def _weights(layer: KerasLayer) -> tuple[Weights, Weights, Weights | None]:
    if layer.go_backwards:
        raise CannotStepError("it reads the sequence from its end (go_backwards), so it looks at the future; "
                              "train it forwards")  # fmt: skip
    kernel, recurrent_kernel, *bias = weights_of(layer)
    return kernel, recurrent_kernel, bias[0] if bias else None
