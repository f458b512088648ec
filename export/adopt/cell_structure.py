"""Pairs of states that the operators of a graph show: LSTM and GRU of ONNX, and the same cells written out.

A state is followed from its input to the place where a cell takes it, and from its output back to the place where a
cell gives it. Both are a pair if these places belong together: `initial_h` and `Y_h` of one LSTM, or a sum of products
with the state (c of an LSTM, h of a GRU) and that sum. Of a cell written out h is a product with the tanh of c.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ...runtime.format.onnx_graph import OnnxGraph
from ...runtime.format.tflite_graph import TfliteGraph, tensors_of
from .graph_ports import GraphPorts

# What hands numbers on, in another shape or in part.
_VIEWS = {
    "Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather", "Concat", "Flatten",
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "STRIDED_SLICE", "SLICE", "SPLIT", "SPLIT_V", "UNPACK", "PACK",
    "CONCATENATION",
}  # fmt: skip
BY_OPERATOR = "takes the one and gives the other"  # the end of the reason
_PRODUCTS = {"MatMul", "Gemm", "FULLY_CONNECTED", "BATCH_MATMUL"}
# Operator of ONNX -> place -> position of the input, position of the output.
_CELLS = {"LSTM": {"h": (5, 1), "c": (6, 2)}, "GRU": {"h": (5, 1)}, "RNN": {"h": (5, 1)}}
T = TypeVar("T")
Value = str | int
Place = tuple[int, str]  # number of the operator, and "h" or "c"


class _Node(NamedTuple):
    kind: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def pairs_by_operator(
    ports: GraphPorts, sources: Sequence[str], targets: Sequence[str], features: Iterable[str]
) -> dict[str, tuple[str, str]]:
    """Return input -> output and the reason, for the pairs that operators show; `features` are no states."""
    nodes, inputs, outputs = _nodes_of(ports)
    producer = {value: number for number, node in enumerate(nodes) for value in node.outputs}
    origin = {inputs[name]: name for name in sources}
    taken: dict[str, set[Place]] = {name: set() for name in sources}
    given: dict[Value, Place] = {}
    sums: dict[Value, int] = {}  # value of a sum with a state in it -> number of the operator

    def made_by(value: Value, *kinds: str) -> _Node | None:
        node = nodes[producer[value]] if value in producer else None
        return node if node is not None and node.kind in kinds else None

    for number, node in enumerate(nodes):
        for place, (taker, giver) in _CELLS.get(node.kind, {}).items():
            if len(node.inputs) > taker and len(node.outputs) > giver:
                given[node.outputs[giver]] = number, place
                for name in _reached(node.inputs[taker], nodes, producer, origin):
                    taken[name].add((number, place))
        if node.kind in ("Add", "ADD"):
            factors = [f for value in node.inputs for f in (made_by(value, "Mul", "MUL") or _NOTHING).inputs]
            factors += [v for f in factors for v in (made_by(f, "Sub", "SUB") or _NOTHING).inputs]
            blended = {name for factor in factors for name in _reached(factor, nodes, producer, origin)}
            if len(blended) == 1:
                given[node.outputs[0]], sums[node.outputs[0]] = (number, "c"), number
                taken[blended.pop()].add((number, "c"))
    for node in nodes:
        if node.kind in ("Mul", "MUL") and len(node.inputs) == 2:
            for gate, bent in (node.inputs, node.inputs[::-1]):
                tanh = made_by(bent, "Tanh", "TANH")
                if tanh is not None and tanh.inputs[0] in sums:
                    cell = given[node.outputs[0]] = sums[tanh.inputs[0]], "h"
                    for name in _read_by_gate(gate, nodes, producer, origin) - set(features):
                        taken[name].add(cell)
    places = {name: _reached(outputs[name], nodes, producer, given) for name in targets}
    return _matched(ports, taken, places, nodes)


_NOTHING = _Node("", (), ())


def _read_by_gate(
    gate: Value, nodes: Sequence[_Node], producer: Mapping[Value, int], origin: Mapping[Value, str]
) -> set[str]:
    """Return the inputs that go into the products which a gate is computed from."""
    found, seen, open_ends = set[str](), set[Value](), [gate]
    while open_ends:
        value = open_ends.pop()
        if value in seen or value not in producer:
            continue
        seen.add(value)
        node = nodes[producer[value]]
        if node.kind in _PRODUCTS:
            for each in node.inputs:
                found |= _reached(each, nodes, producer, origin)
        else:
            open_ends += node.inputs
    return found


def _reached(
    value: Value, nodes: Sequence[_Node], producer: Mapping[Value, int], known: Mapping[Value, T]
) -> frozenset[T]:
    """Return the meanings of the `known` values that `value` is made of, through views alone."""
    found, seen, open_ends = set[T](), set[Value](), [value]
    while open_ends:
        one = open_ends.pop()
        if one in seen:
            continue
        seen.add(one)
        if one in known:
            found.add(known[one])
        elif one in producer and nodes[producer[one]].kind in _VIEWS:
            open_ends += nodes[producer[one]].inputs
    return frozenset(found)


def _matched(
    ports: GraphPorts, taken: Mapping[str, set[Place]], places: Mapping[str, frozenset[Place]], nodes: Sequence[_Node]
) -> dict[str, tuple[str, str]]:
    """Return the pairs of which each end has one possible other end."""
    fitting: dict[str, list[str]] = {}
    for source, wanted in taken.items():
        port = ports.inputs[source]
        fitting[source] = [
            target
            for target, found in places.items()
            if found
            and found == wanted
            and (ports.outputs[target].shape == () or ports.outputs[target].size == port.size)
        ]
    found = {}
    for source, targets in fitting.items():
        rivals = [other for other in fitting if targets and targets[0] in fitting[other]]
        if len(targets) == 1 and len(rivals) == 1:
            number, _ = next(iter(taken[source]))
            kind = nodes[number].kind
            which = f"the operator {kind}" if kind in _CELLS else "the arithmetic of a cell"
            found[source] = targets[0], f"{which} {BY_OPERATOR}"
    return found


def _nodes_of(ports: GraphPorts) -> tuple[list[_Node], dict[str, Value], dict[str, Value]]:
    """Return the operators of a graph, and name of a port -> its value in them, of inputs and of outputs."""
    if isinstance(ports.graph, OnnxGraph):
        nodes = [_Node(node.type, tuple(v for v in node.inputs), tuple(node.outputs)) for node in ports.graph.nodes]
        return _without_gaps(nodes), {n: n for n in ports.inputs}, {n: n for n in ports.outputs}
    return _tflite_nodes(ports.graph, ports.signature)


def _without_gaps(nodes: list[_Node]) -> list[_Node]:
    """Name the inputs and outputs that are left out, each otherwise: they are no value."""
    return [
        node._replace(
            inputs=tuple(value or -1 - place for place, value in enumerate(node.inputs)),
            outputs=tuple(value or f"\0{number}:{place}" for place, value in enumerate(node.outputs)),
        )
        for number, node in enumerate(nodes)
    ]


def _tflite_nodes(graph: TfliteGraph, signature: str) -> tuple[list[_Node], dict[str, Value], dict[str, Value]]:
    subgraph, inputs, outputs = tensors_of(graph, signature)
    operators = graph.subgraphs[subgraph].operators
    nodes = [_Node(each.name, each.inputs, each.outputs) for each in operators]
    return nodes, dict(inputs), dict(outputs)
