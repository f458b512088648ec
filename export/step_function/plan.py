"""The plan of a step: its nodes in order, the lookups folded into them, and the names of the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeAlias

import numpy as np

from ...runtime.format.manifest import Cell, StateTensor
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes
from ..layers import LayerStep, Lookup
from ..layers.keras_graph import Graph, LayerCall
from ..ops import NumpyOps, Ops, Value, Weights
from .clock import Clock, composed

Steps: TypeAlias = Sequence[tuple[LayerCall, "Lookup | tuple[LayerStep, ...]"]]


@dataclass(frozen=True)
class Table:
    """The rows that the ids of an input stand for.

    Attributes:
        rows: float32 of shape (V, ...), one for each id.
        input: Number of the input that holds the ids.
    """

    rows: Weights
    input: int


Source: TypeAlias = "int | Table"  # the number of a value, or a table of which the row of the id is read

# A lookup is folded into the layer after it (one row instead of a matrix product at each step) unless the table would
# make the file this much larger than the two matrices it replaces.
_LARGEST_GROWTH = 2**20 // 4  # float32 numbers: 1 MiB


@dataclass(frozen=True)
class Node:
    """One layer of the step function: where its inputs come from and where its state goes.

    Attributes:
        sources: Its inputs.
        output: Number of the value it makes.
        layer: The computation.
        names: Local name of a state tensor -> name in the file.
        mask: The value that masks its steps, or None.
        rate: The steps at which its inputs are there; at the others its state stays.
    """

    sources: tuple[Source, ...]
    output: int
    layer: LayerStep
    names: Mapping[str, str]
    mask: Source | None = None
    rate: AnswerTimes = EVERY_STEP

    def run(
        self, a: Ops, values: Mapping[int, Value], state: Mapping[str, Value], tick: Value | None = None
    ) -> tuple[Value, dict[str, Value]]:
        """Return the output and the next state, by its names in the file.

        Args:
            a: The arithmetic.
            values: The values made so far by number, inputs among them.
            state: The state by its names in the file.
            tick: (B, 1), 1 where its inputs are there; None: always.
        """
        return self.step(a, *self.read(a, values), state, tick)

    def read(self, a: Ops, values: Mapping[int, Value]) -> tuple[list[Value], Value | None]:
        """Return the inputs of the layer, the first one behind its kernel and bias, and the mask, (B,)."""
        given = [read_source_value(a, source, values) for source in self.sources]
        if self.layer.kernel is not None:
            given[0] = a.matmul(given[0], self.layer.kernel)
        if self.layer.bias is not None:
            given[0] = given[0] + a.constant(self.layer.bias)
        if self.mask is None or self.layer.held is None:
            return given, None
        return given, read_source_value(a, self.mask, values)

    def step(
        self,
        a: Ops,
        given: list[Value],
        mask: Value | None,
        state: Mapping[str, Value],
        tick: Value | None = None,
    ) -> tuple[Value, dict[str, Value]]:
        """Return the output and the next state, by its names in the file, for what `read` returned."""
        before = {local: state[name] for local, name in self.names.items()}
        y, after = self.layer.apply(a, given[0] if len(given) == 1 else given, before)
        if mask is not None and self.layer.held is not None:
            y = _select(a, mask, y, self.layer.held(before))
            after = {local: _select(a, mask, value, before[local]) for local, value in after.items()}
        if tick is not None:
            after = {local: _select(a, tick, value, before[local]) for local, value in after.items()}
        return y, {self.names[local]: value for local, value in after.items()}


def _select(a: Ops, mask: Value, x: Value, y: Value) -> Value:
    """Return the rows of x, (B, ...), where the mask is 1, and those of y where it is 0."""
    return a.select(a.reshape(mask, [1] * (len(x.shape) - 1)), x, y)


@dataclass(frozen=True)
class Plan:
    """All nodes in order, the state tensors, the recurrent cells, and the clock, if some steps do not answer."""

    nodes: tuple[Node, ...]
    state: tuple[StateTensor, ...]
    cells: tuple[Cell, ...]
    clock: Clock | None = None


def plan(
    graph: Graph,
    steps: Steps,
    tables: Mapping[int, Weights],
    rates: Mapping[int, AnswerTimes],
    *,
    fold: bool = True,
) -> Plan:
    """Order the nodes, fold lookups and name the state tensors by the number of the node with a state.

    Args:
        graph: The graph of the model.
        steps: The results of the step rules, call by call.
        tables: Number of an input of ids -> a row for each id: the id itself, or its one-hot vector.
        rates: Number of a value -> the steps at which it is there; missing: at all.
        fold: Fold the kernel and bias of a layer into a lookup before it.
    """
    known = {number: Table(rows, number) for number, rows in tables.items()}
    outputs = {output.number for output in graph.outputs}
    nodes: list[Node] = []
    state: list[StateTensor] = []
    cells: list[Cell] = []
    between = count(-1, -1)  # values inside of one call have negative numbers
    stateful = 0
    for call, found in steps:
        if isinstance(found, Lookup):
            (number,) = call.inputs
            known[call.output] = Table(found.table[: len(tables[number])], number)
            continue
        sources: list[Source] = [known.get(number, number) for number in (*call.inputs, *call.begins_with)]
        mask = None if call.mask is None else known.get(call.mask, call.mask)
        rate = next((rates[number] for number in call.inputs if number in rates), EVERY_STEP)
        for step in found:
            output = call.output if step is found[-1] else next(between)
            if fold and isinstance(sources[0], Table):
                sources[0], step = _fold(sources[0], step)
            read = [source for source in sources if isinstance(source, Table)]
            of_one = len(read) == len(sources) and len({table.input for table in read}) == 1
            if of_one and not step.state and step.kernel is None and output not in outputs:
                # A layer without a state sees nothing but the id, so it is a lookup itself.
                rows = [table.rows.astype(np.float64) for table in read]
                answer, _ = step.apply(NumpyOps(), rows[0] if len(rows) == 1 else rows, {})
                known[output] = Table(answer.astype(np.float32), read[0].input)
            else:
                names = {local: f"{local}{stateful}" for local in step.state or ()}
                stateful += bool(step.state)
                state += [_state_tensor(names[local], shape, (step.start or {}).get(local))
                          for local, shape in (step.state or {}).items()]  # fmt: skip
                cells += [step.cell] if step.cell else []
                nodes.append(Node(tuple(sources), output, step, names, mask, rate))
            rate = composed(rate, step.answers)
            sources = [known.get(output, output)]
    clock = Clock.of({node.rate for node in nodes if node.layer.state})
    return Plan(tuple(nodes), (*state, *(clock.state if clock else ())), tuple(cells), clock)


def read_source_value(a: Ops, source: Source, values: Mapping[int, Value]) -> Value:
    """Return the value of `source`, given the `values` made so far by number, inputs among them."""
    return values[source] if isinstance(source, int) else a.gather(source.rows, values[source.input])


def _state_tensor(name: str, shape: tuple[int, ...], start: Weights | None) -> StateTensor:
    tensor = StateTensor(name, shape)
    return tensor if start is None else tensor.starting_from(start)


def _fold(table: Table, step: LayerStep) -> tuple[Table, LayerStep]:
    """Return the table of x @ kernel + bias for all symbols x, and the step without kernel and bias.

    Where that table would be too large the step keeps its kernel.
    """
    if step.kernel is None:
        return table, step
    rows = table.rows
    size = rows.size // rows.shape[-1] * step.kernel.shape[1]
    if size - rows.size - step.kernel.size > _LARGEST_GROWTH:
        return table, step
    folded = rows.astype(np.float64) @ step.kernel
    if step.bias is not None:
        folded = folded + step.bias
    return replace(table, rows=folded.astype(np.float32)), replace(step, kernel=None, bias=None)
