"""The stages of a step: what is computed in which order, what is looked up, and how the state is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeAlias

import numpy as np

from ..runtime.manifest import Cell, StateTensor
from .arithmetic import Arithmetic, NumpyArithmetic, Value, Weights
from .graph import Graph, LayerCall
from .step_rules import LayerStep, Lookup

Steps: TypeAlias = Sequence[tuple[LayerCall, "Lookup | tuple[LayerStep, ...]"]]
Source: TypeAlias = "int | Weights"  # the number of a value, or a table of which the row of the symbol is read

# A lookup is folded into the layer after it (one row instead of a matrix product at each step) unless the table would
# make the file this much larger than the two matrices it replaces.
_LARGEST_GROWTH = 2**20 // 4  # float32 numbers: 1 MiB


@dataclass(frozen=True)
class Stage:
    """One layer of the step function: where its inputs come from and where its state goes."""

    sources: tuple[Source, ...]
    output: int
    layer: LayerStep
    names: Mapping[str, str]  # local name of a state tensor -> name in the file
    mask: Source | None = None

    def run(
        self, a: Arithmetic, ids: Value, values: Mapping[int, Value], state: Mapping[str, Value]
    ) -> tuple[Value, dict[str, Value]]:
        """Return the output and the next state, by its names in the file."""
        given = [_read(a, source, ids, values) for source in self.sources]
        x = given[0] if len(given) == 1 else given
        if self.layer.kernel is not None:
            x = a.matmul(x, self.layer.kernel)
        if self.layer.bias is not None:
            x = x + a.constant(self.layer.bias)
        before = {local: state[name] for local, name in self.names.items()}
        y, after = self.layer.apply(a, x, before)
        if self.mask is not None and self.layer.held is not None:
            mask = a.reshape(_read(a, self.mask, ids, values), [1])  # cells have states and outputs of shape (B, U)
            y = a.select(mask, y, self.layer.held(before))
            after = {local: a.select(mask, value, before[local]) for local, value in after.items()}
        return y, {self.names[local]: value for local, value in after.items()}


@dataclass(frozen=True)
class Plan:
    """All stages in order, the state tensors, and the recurrent cells."""

    stages: tuple[Stage, ...]
    state: tuple[StateTensor, ...]
    cells: tuple[Cell, ...]


def plan(graph: Graph, steps: Steps, input_table: Weights) -> Plan:
    """Order the stages, fold lookups and name the state tensors by the number of the stage with a state.

    Args:
        graph: The graph of the model.
        steps: What the step rules say, call by call.
        input_table: What the input of the model is for each symbol: its id, or its one-hot vector.
    """
    tables: dict[int, Weights] = {0: input_table}
    stages: list[Stage] = []
    state: list[StateTensor] = []
    cells: list[Cell] = []
    between = count(-1, -1)  # values inside of one call have negative numbers
    stateful = 0
    for call, found in steps:
        if isinstance(found, Lookup):
            tables[call.output] = found.table[: len(input_table)]
            continue
        sources: list[Source] = [_source(number, tables) for number in call.inputs]
        mask = None if call.mask is None else _source(call.mask, tables)
        for step in found:
            output = call.output if step is found[-1] else next(between)
            if isinstance(sources[0], np.ndarray):
                sources[0], step = _fold(sources[0], step)
            read = [source for source in sources if not isinstance(source, int)]
            if len(read) == len(sources) and not step.state and step.kernel is None and output != graph.output:
                # A layer without a state sees nothing but the symbol, so it is a lookup itself.
                rows = [table.astype(np.float64) for table in read]
                answer, _ = step.apply(NumpyArithmetic(), rows[0] if len(rows) == 1 else rows, {})
                tables[output] = answer.astype(np.float32)
            else:
                names = {local: f"{local}{stateful}" for local in step.state or ()}
                stateful += bool(step.state)
                state += [StateTensor(names[local], shape) for local, shape in (step.state or {}).items()]
                cells += [step.cell] if step.cell else []
                stages.append(Stage(tuple(sources), output, step, names, mask))
            sources = [_source(output, tables)]
    return Plan(tuple(stages), tuple(state), tuple(cells))


def _source(number: int, tables: Mapping[int, Weights]) -> Source:
    return tables.get(number, number)


def _read(a: Arithmetic, source: Source, ids: Value, values: Mapping[int, Value]) -> Value:
    return values[source] if isinstance(source, int) else a.gather(source, ids)


def _fold(table: Weights, step: LayerStep) -> tuple[Weights, LayerStep]:
    """Return the table of x @ kernel + bias for all symbols x, and the step without kernel and bias.

    Where that table would be too large the step keeps its kernel.
    """
    if step.kernel is None:
        return table, step
    size = table.size // table.shape[-1] * step.kernel.shape[1]
    if size - table.size - step.kernel.size > _LARGEST_GROWTH:
        return table, step
    folded = table.astype(np.float64) @ step.kernel
    if step.bias is not None:
        folded = folded + step.bias
    return folded.astype(np.float32), replace(step, kernel=None, bias=None)
