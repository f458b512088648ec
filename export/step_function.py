"""The step function: a Keras model taken apart into one step with its state as argument and result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ..runtime.errors import NotSteppableError
from ..runtime.manifest import Cell, StateTensor
from .arithmetic import Arithmetic, NumpyArithmetic, Value, Weights
from .graph import Graph, KerasModel, LayerCall, read_graph
from .step_rules import CannotStepError, LayerStep, Lookup, rule_for

# (arithmetic, symbol ids (B,), state) -> (output (B, K), next state); the state by its names in the file.
Advance: TypeAlias = Callable[[Arithmetic, Value, Mapping[str, Value]], tuple[Value, dict[str, Value]]]

# A lookup is folded into the layer after it (one row instead of a matrix product at each step) unless the table would
# make the file this much larger than the two matrices it replaces.
_LARGEST_GROWTH = 2**20 // 4  # float32 numbers: 1 MiB


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


@dataclass(frozen=True)
class _Stage:
    """One layer of the step function: where its input comes from and where its state goes."""

    source: int
    output: int
    table: Weights | None  # where given, the input is the row of the symbol
    layer: LayerStep
    names: Mapping[str, str]  # local name of a state tensor -> name in the file

    def run(self, a: Arithmetic, ids: Value, values: Mapping[int, Value], state: Mapping[str, Value]) -> Value:
        x = values[self.source] if self.table is None else a.gather(self.table, ids)
        if self.layer.kernel is not None:
            x = a.matmul(x, self.layer.kernel)
        if self.layer.bias is not None:
            x = x + a.constant(self.layer.bias)
        return self.layer.apply(a, x, {local: state[name] for local, name in self.names.items()})


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
    steps: list[tuple[LayerCall, LayerStep | Lookup]] = []
    for call in graph.calls if graph else ():
        try:
            steps.append((call, _rule_result(call)))
        except CannotStepError as error:
            problems.append(f"{call.layer.name} ({type(call.layer).__name__}): {error}")
    if graph is not None:
        problems += _input_problems(graph, steps, one_hot)
        output, from_logits = _output_activation(graph, problems)
        if not problems and not any(isinstance(s, LayerStep) and s.state for _, s in steps):
            problems.append("the model has no recurrent layer, so there is no state to step")
    if problems or graph is None:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise NotSteppableError(
            f"The model {name or getattr(model, 'name', '')!r} cannot be stepped one symbol at a time:\n{listed}\n"
            "Nothing was converted."
        )
    first = Lookup(np.eye(graph.input_shape[-1] or 0, dtype=np.float32)) if one_hot else _first_lookup(steps)
    stages, state, cells = _plan(graph, steps, first if one_hot else None)

    def advance(a: Arithmetic, ids: Value, state: Mapping[str, Value]) -> tuple[Value, dict[str, Value]]:
        values: dict[int, Value] = {}
        following: dict[str, Value] = {}
        for stage in stages:
            values[stage.output], moved = stage.run(a, ids, values, state)
            following.update({stage.names[local]: value for local, value in moved.items()})
        answer = values[graph.output]
        return (a.activation("softmax", answer) if from_logits else answer), following

    return StepFunction(
        symbols=first.table.shape[0],
        outputs=int(model.outputs[0].shape[-1]),
        output=output,
        from_logits=from_logits,
        state=tuple(state),
        cells=tuple(cells),
        advance=advance,
    )


def _rule_result(call: LayerCall) -> LayerStep | Lookup:
    rule = rule_for(call.layer)
    if rule is None:
        raise CannotStepError("it has no step rule; export a model without it")
    if len(call.inputs) != 1:
        raise CannotStepError(
            "it has several inputs (or a given initial_state); export a model where each layer has one"
        )
    if getattr(call.layer, "compute_dtype", "float32") not in ("float32", "float64"):
        raise CannotStepError(
            f"it computes in {call.layer.compute_dtype}; load the model with the dtype policy float32"
        )
    if getattr(call.layer, "lora_enabled", False) or getattr(call.layer, "quantization_mode", None):
        raise CannotStepError(
            "it is quantized or has LoRA weights beside its own; export the float32 model it came from"
        )
    if getattr(call.layer, "return_state", False):
        raise CannotStepError(
            "it returns its state; stepcell makes the state explicit by itself: set return_state=False"
        )
    return rule(call.layer)


def _input_problems(graph: Graph, steps: list[tuple[LayerCall, LayerStep | Lookup]], one_hot: bool) -> list[str]:
    """Say what is wrong with the way symbols enter the model."""
    reads_ids = [isinstance(step, Lookup) for call, step in steps if call.inputs == (0,)]
    misplaced = [
        f"{call.layer.name} ({type(call.layer).__name__}): it reads the output of another layer as symbol ids"
        for call, step in steps
        if isinstance(step, Lookup) and call.inputs != (0,)
    ]
    rank = len(graph.input_shape)
    if one_hot:
        if rank != 3 or graph.input_shape[-1] is None or any(reads_ids):
            return [
                *misplaced,
                f"one-hot input has the shape (batch, time steps, symbols), this model's is {graph.input_shape}",
            ]
        return misplaced
    if reads_ids and not any(reads_ids):
        return [
            *misplaced,
            f"its input {graph.input_shape} is vectors and not symbol ids; if they are one-hot symbols, say so "
            "(--one-hot); float features cannot be stepped in this version",
        ]
    return misplaced


def _output_activation(graph: Graph, problems: list[str]) -> tuple[str, bool]:
    """Return what the outputs are, and whether the softmax is still to be applied; append what is wrong."""
    last = next((call.layer for call in graph.calls if call.output == graph.output), None)
    name = getattr(getattr(last, "activation", None), "__name__", None)
    if name in ("softmax", "sigmoid") and not hasattr(last, "recurrent_activation"):
        return name, False
    if name == "linear" and getattr(last, "units", 0) > 1 and not hasattr(last, "return_sequences"):
        return "softmax", True
    problems.append(
        f"it ends in {getattr(last, 'name', 'its input')!r}, whose output is no probabilities; "
        "end it in a Dense layer with softmax or sigmoid, or with logits of 2 symbols and more"
    )
    return "", False


def _first_lookup(steps: list[tuple[LayerCall, LayerStep | Lookup]]) -> Lookup:
    return next(step for call, step in steps if isinstance(step, Lookup))


def _plan(
    graph: Graph, steps: list[tuple[LayerCall, LayerStep | Lookup]], input_lookup: Lookup | None
) -> tuple[list[_Stage], list[StateTensor], list[Cell]]:
    """Order the stages, fold lookups and name the state tensors by the number of their recurrent layer."""
    lookups: dict[int, Weights] = {} if input_lookup is None else {0: input_lookup.table}
    stages: list[_Stage] = []
    state: list[StateTensor] = []
    cells: list[Cell] = []
    stateful = 0
    for call, step in steps:
        if isinstance(step, Lookup):
            lookups[call.output] = step.table
            continue
        (source,) = call.inputs
        table = lookups.get(source)
        if table is not None:
            table, step = _fold(table, step)
            if not step.state and step.kernel is None and call.output != graph.output:
                # A layer without a state sees nothing but the symbol, so it is a lookup itself.
                answer, _ = step.apply(NumpyArithmetic(), table.astype(np.float64), {})
                lookups[call.output] = answer.astype(np.float32)
                continue
        names = {local: f"{local}{stateful}" for local in step.state or ()}
        stateful += bool(step.state)
        state += [StateTensor(names[local], shape) for local, shape in (step.state or {}).items()]
        cells += [step.cell] if step.cell else []
        stages.append(_Stage(source, call.output, table, step, names))
    return stages, state, cells


def _fold(table: Weights, step: LayerStep) -> tuple[Weights, LayerStep]:
    """Return the table of x @ kernel + bias for all symbols x, and the step without kernel and bias.

    Where that table would be too large the step keeps its kernel.
    """
    if step.kernel is None:
        return table, step
    growth = table.shape[0] * step.kernel.shape[1] - table.size - step.kernel.size
    if growth > _LARGEST_GROWTH:
        return table, step
    folded = table.astype(np.float64) @ step.kernel
    if step.bias is not None:
        folded = folded + step.bias
    return folded.astype(np.float32), replace(step, kernel=None, bias=None)
