"""What a model answers with: probabilities, or logits that still want their softmax."""

from __future__ import annotations

from typing import Any

import keras

from .graph import Graph, LayerCall

_LAYERS = keras.layers
_IDENTITIES = (_LAYERS.Dropout, _LAYERS.ActivityRegularization, _LAYERS.Identity, _LAYERS.GaussianNoise)
_LINEAR = (_LAYERS.Dense, _LAYERS.EinsumDense, _LAYERS.Conv1D)
_LOGITS = "logits"


def output_activation(graph: Graph, problems: list[str]) -> tuple[str, bool]:
    """Return what the outputs are, and whether the softmax is still to be applied; append what is wrong."""
    makers = {call.output: call for call in graph.calls}
    last = makers.get(graph.output)
    name = _kind(last, makers)
    if len(graph.output_shape) != 1:
        problems.append(f"its output has the shape {graph.output_shape} in a step; end it in one row of probabilities")
        return "", False
    if name == _LOGITS and graph.output_shape[0] != 1:
        return "softmax", True
    if name in ("softmax", "sigmoid"):
        return name, False
    problems.append(
        f"it ends in {getattr(getattr(last, 'layer', None), 'name', 'its input')!r}, whose output is no probabilities; "
        "end it in a Dense layer with softmax or sigmoid, or with logits of 2 symbols and more"
    )
    return "", False


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
