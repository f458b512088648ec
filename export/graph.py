"""What a Keras model does, as a list of layer calls in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import keras

KerasModel: TypeAlias = Any
KerasLayer: TypeAlias = Any


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    Attributes:
        layer: The layer, or a Keras operation that is none (`x + y` on symbolic tensors).
        inputs: Numbers of the values it reads.
        output: Number of the value it makes.
    """

    layer: KerasLayer
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True)
class Graph:
    """The calls of a model, each after those whose values it reads; value 0 is the input of the model.

    Attributes:
        calls: All calls, nested models taken apart.
        output: Number of the value that is the output of the model.
        input_shape: Shape of the input with the batch, None where it is not fixed.
        input_dtype: Its dtype as Keras names it.
    """

    calls: tuple[LayerCall, ...]
    output: int
    input_shape: tuple[int | None, ...]
    input_dtype: str


def read_graph(model: KerasModel) -> tuple[Graph | None, list[str]]:
    """Read the graph of a built Sequential or functional `model`.

    Returns:
        The graph and no problems, or None and what makes it impossible.
    """
    if not isinstance(model, (keras.Sequential, keras.Model)) or not _functional(model):
        return None, [
            f"{getattr(model, 'name', model)!r} is not a Sequential or functional model with a known input: its layers "
            "cannot be listed. Give it a keras.Input, or build the same layers as one of the two."
        ]
    problems = []
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        problems.append(
            f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; one of each can be stepped"
        )
        return None, problems
    calls: list[LayerCall] = []
    output = _append_calls(model, (0,), calls)
    source = model.inputs[0]
    return Graph(tuple(calls), output, tuple(source.shape), str(source.dtype)), []


def _functional(model: KerasModel) -> Any:
    """Return the functional model behind `model`, or None. A Sequential holds one once its input is known."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if hasattr(model, "_nodes_by_depth") else None


def _append_calls(model: KerasModel, inputs: tuple[int, ...], calls: list[LayerCall]) -> int:
    """Append the calls of `model`, given the numbers of its input values; return the number of its output."""
    functional = _functional(model)
    numbers = {id(tensor): number for tensor, number in zip(functional.inputs, inputs, strict=True)}
    by_depth = functional._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if isinstance(node.operation, keras.layers.InputLayer):
                continue
            mask = node.arguments.kwargs.get("mask")  # comes from a layer that is refused for making it
            read = tuple(numbers[id(tensor)] for tensor in node.arguments.keras_tensors if tensor is not mask)
            if isinstance(node.operation, keras.Model) and _functional(node.operation):
                number = _append_calls(node.operation, read, calls)
            else:
                number = 1 + max((call.output for call in calls), default=0)
                calls.append(LayerCall(node.operation, read, number))
            # A layer with several outputs is refused later; until then they share a number.
            numbers.update({id(tensor): number for tensor in node.outputs})
    return numbers[id(functional.outputs[0])]
