"""The step function: a Keras model taken apart into one step with its state as argument and result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import keras
import numpy as np

from ..runtime.errors import NotSteppableError
from ..runtime.manifest import Cell, StateTensor
from .arithmetic import Arithmetic, Value
from .graph import Graph, KerasModel, LayerCall, read_graph
from .output import output_activation
from .plan import Steps, plan
from .step_rules import CannotStepError, LayerStep, Lookup, apply_rule

# (arithmetic, symbol ids (B,), state) -> (output (B, K), next state); the state by its names in the file.
Advance: TypeAlias = Callable[[Arithmetic, Value, Mapping[str, Value]], tuple[Value, dict[str, Value]]]


@dataclass(frozen=True)
class StepFunction:
    """One step of a model, as numpy weights and a pure function.

    Attributes:
        symbols: How many symbols it reads, V.
        outputs: How many probabilities it answers with, K.
        output: "softmax" or "sigmoid".
        from_logits: The Keras model ends in logits and the softmax has been added.
        state: The state tensors in order.
        cells: The recurrent layers, first to last.
        advance: The computation.
    """

    symbols: int
    outputs: int
    output: str
    from_logits: bool
    state: tuple[StateTensor, ...]
    cells: tuple[Cell, ...]
    advance: Advance


def build_step_function(model: KerasModel, *, one_hot: bool = False, name: str | None = None) -> StepFunction:
    """Take `model` apart.

    Args:
        model: A built Sequential or functional Keras model.
        one_hot: Its input is one-hot vectors, float of shape (B, T, V), and is to be stepped by id.
        name: What to call it in messages; None: as Keras does.

    Raises:
        NotSteppableError: Something in it cannot be stepped; everything in the way is named.
    """
    graph, problems = read_graph(model)
    steps: list[tuple[LayerCall, Lookup | tuple[LayerStep, ...]]] = []
    zeros: dict[int, int] = {}  # number of a value -> zeros before its sequence
    for call in graph.calls if graph else ():
        try:
            padded = replace(call, padding=max(zeros.get(number, 0) for number in call.inputs) if call.inputs else 0)
            steps.append((call, apply_rule(padded)))
            if isinstance(call.layer, keras.layers.ZeroPadding1D):
                zeros[call.output] = call.layer.padding[0]
        except CannotStepError as error:
            problems.append(f"{call.layer.name} ({type(call.layer).__name__}): {error}")
    if graph is not None:
        problems += _input_problems(graph, steps, one_hot) if len(model.inputs) == 1 else []
        output, from_logits = output_activation(graph, problems)
        if not problems and not any(step.state for _, found in steps for step in _layer_steps(found)):
            problems.append("the model has no recurrent layer, so there is no state to step")
    if problems or graph is None:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise NotSteppableError(
            f"The model {name or getattr(model, 'name', '')!r} cannot be stepped one symbol at a time:\n{listed}\n"
            "Nothing was converted."
        )
    if one_hot:
        input_table = np.eye(graph.input_shape[-1] or 0, dtype=np.float32)
    else:
        symbols = min(len(found.table) for _, found in steps if isinstance(found, Lookup))
        input_table = np.arange(symbols, dtype=np.float32)
    planned = plan(graph, steps, input_table)

    def advance(a: Arithmetic, ids: Value, state: Mapping[str, Value]) -> tuple[Value, dict[str, Value]]:
        values: dict[int, Value] = {}
        following: dict[str, Value] = {}
        for stage in planned.stages:
            values[stage.output], moved = stage.run(a, ids, values, state)
            following.update(moved)
        answer = values[graph.output]
        return (a.activation("softmax", answer) if from_logits else answer), following

    return StepFunction(
        symbols=len(input_table),
        outputs=int(model.outputs[0].shape[-1]),
        output=output,
        from_logits=from_logits,
        state=planned.state,
        cells=planned.cells,
        advance=advance,
    )


def _layer_steps(found: Lookup | tuple[LayerStep, ...]) -> tuple[LayerStep, ...]:
    return () if isinstance(found, Lookup) else found


def _input_problems(graph: Graph, steps: Steps, one_hot: bool) -> list[str]:
    """Say what is wrong with the way symbols enter the model."""
    problems = [
        f"{call.layer.name} ({type(call.layer).__name__}): it reads the output of another layer as symbol ids"
        for call, found in steps
        if isinstance(found, Lookup) and call.inputs != (0,)
    ]
    readers = [(call, found) for call, found in steps if 0 in call.inputs]
    shape = graph.input_shape
    if one_hot:
        if len(shape) != 3 or shape[-1] is None or any(isinstance(found, Lookup) for _, found in readers):
            problems.append(f"one-hot input has the shape (batch, time steps, symbols), this model's is {shape}")
    elif readers and not any(isinstance(found, Lookup) for _, found in readers):
        problems.append(
            f"its input {shape} is vectors and not symbol ids; if they are one-hot symbols, say so "
            "(--one-hot); float features cannot be stepped in this version"
        )
    elif readers and len(shape) != 2:
        problems.append(f"its input of symbol ids has the shape {shape}; give it (batch, time steps)")
    elif readers:
        problems += [
            f"{call.layer.name} ({type(call.layer).__name__}): it reads symbol ids as if they were numbers; put an "
            "Embedding or CategoryEncoding before it"
            for call, found in readers
            if isinstance(call.layer, keras.layers.Layer) and not isinstance(found, Lookup)
        ]
    return problems
