"""What the numbers of an output are: probabilities, logits that still want their softmax, or values."""

from __future__ import annotations

from typing import Any

import keras

from .graph import Graph, GraphOutput, LayerCall

_LAYERS = keras.layers
_IDENTITIES = (_LAYERS.Dropout, _LAYERS.ActivityRegularization, _LAYERS.Identity, _LAYERS.GaussianNoise)
_LINEAR = (_LAYERS.Dense, _LAYERS.EinsumDense, _LAYERS.Conv1D)
_LOGITS = "logits"


def activation_of(graph: Graph, output: GraphOutput) -> str | None:
    """Return "softmax", "sigmoid", "logits", or None for any other numbers."""
    makers = {call.output: call for call in graph.calls}
    return _kind(makers.get(output.number), makers)


def _kind(call: LayerCall | None, makers: dict[int, LayerCall]) -> str | None:
    """Return "softmax", "sigmoid", "logits" or None: what the numbers that `call` makes are."""
    if call is None:
        return None
    layer: Any = call.layer
    if type(layer) in _IDENTITIES:
        return _kind(makers.get(call.inputs[0]), makers)
    if type(layer) is _LAYERS.Softmax:
        return "softmax" if layer.axis in (-1, len(call.input_shapes[0]) - 1) else None
    if type(layer) in (_LAYERS.Average, _LAYERS.Add):
        kinds = {_kind(makers.get(number), makers) for number in call.inputs}
        kind = kinds.pop() if len(kinds) == 1 else None
        # The mean of probabilities is a probability; a sum is none.
        return kind if kind == _LOGITS or type(layer) is _LAYERS.Average else None
    if type(layer) is _LAYERS.Activation or type(layer) in _LINEAR:
        name = getattr(layer.activation, "__name__", None)
        if name == "linear":
            return _LOGITS if type(layer) in _LINEAR else _kind(makers.get(call.inputs[0]), makers)
        return name if name in ("softmax", "sigmoid") else None
    return None
