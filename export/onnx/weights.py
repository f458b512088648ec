"""Stores the weights of an ONNX graph in fewer bytes; its inputs, outputs and state stay float32.

float16 weights are cast to float32 in the graph, which onnxruntime does once, when it loads: the same kernels, the same
speed and the same memory as float32. Computing in float16 would be neither faster nor exact on a CPU, where onnxruntime
casts around every operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ...runtime.common.arrays import AnyArray, Float32
from ..ops.precision import FEWEST_INT8, is_half

Graph: TypeAlias = Any  # onnx.GraphProto
Node: TypeAlias = Any  # onnx.NodeProto
_MIDDLE = 128  # the uint8 of a weight of 0


def store_as_half(graph: Graph) -> None:
    """Store every weight as float16 that loses nothing by it."""
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or not is_half(values):
            continue
        name = f"{weight.name}_half"
        casts.append(helper.make_node("Cast", [name], [weight.name], to=TensorProto.FLOAT))
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
    set_nodes(graph, [*casts, *graph.node])


def store_as_int8(graph: Graph) -> None:
    """Store matrices that are multiplied with, and tables that are looked up in, with 8 bits a weight.

    `x @ W` is computed in integers: x (B, M) is quantised at every step over its own range, W (M, N) once with a scale
    for each column (https://onnx.ai/onnx/operators/onnx__MatMulInteger.html). x is quantised over all B rows together,
    so rows of one batch would not be independent to the last digit; the runtime steps one row at a time.

    W is uint8 around 128 and not int8: x86 processors without VNNI add pairs of uint8 * int8 products in 16 bits,
    which saturate, and the answers would depend on the processor
    (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "U8S8").
    """
    weights = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    quantized: set[str] = set()  # inputs that have been brought to 8 bits already

    add = partial(add_weight, graph)
    nodes: list[Node] = []
    for node in graph.node:
        by_row = all(attribute.i == 0 for attribute in node.attribute if attribute.name == "axis")
        place = {"MatMul": 1, "Gather": 0 if by_row else None}.get(node.op_type)
        name = "" if place is None else node.input[place]
        matrix = weights.get(name)
        if matrix is None or matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.size < FEWEST_INT8:
            nodes.append(node)
        elif node.op_type == "MatMul":
            nodes += _integer_product(node, matrix, add, quantized)
        else:
            nodes += _integer_lookup(node, matrix, add)
    set_nodes(graph, nodes)


def _integer_product(
    node: Node, matrix: Float32, add: Callable[[str, AnyArray], str], quantized: set[str]
) -> list[Node]:
    """Return the nodes of x @ W, in the pattern that onnxruntime fuses to one kernel."""
    x, name = node.input
    integers, scales = _quantize(matrix)  # (M, N), (N,)
    out = node.output[0]
    stored = add(f"{name}_integers", (integers + _MIDDLE).astype(np.uint8))
    middle, scale = add(f"{name}_middle", np.array(_MIDDLE, np.uint8)), add(f"{name}_scale", scales)
    parts = [f"{x}_quantized", f"{x}_scale", f"{x}_zero"]
    nodes = [] if x in quantized else [helper.make_node("DynamicQuantizeLinear", [x], parts)]
    quantized.add(x)
    return [
        *nodes,
        helper.make_node("MatMulInteger", [parts[0], stored, parts[2], middle], [f"{out}_integers"]),
        helper.make_node("Cast", [f"{out}_integers"], [f"{out}_floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [parts[1], scale], [f"{out}_scale"]),
        helper.make_node("Mul", [f"{out}_floats", f"{out}_scale"], [out]),
    ]


def _integer_lookup(node: Node, table: Float32, add: Callable[[str, AnyArray], str]) -> list[Node]:
    """Return the nodes of a lookup of rows; as for products, each column of the table has a scale."""
    name, ids = node.input
    integers, scales = _quantize(table)  # (V, N), (N,)
    out = node.output[0]
    stored, scale = add(f"{name}_rows", integers.astype(np.int8)), add(f"{name}_scale", scales)
    return [
        helper.make_node("Gather", [stored, ids], [f"{out}_integers"], axis=0),
        helper.make_node("Cast", [f"{out}_integers"], [f"{out}_floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{out}_floats", scale], [out]),
    ]


def _quantize(matrix: Float32) -> tuple[Float32, Float32]:
    """Return whole numbers from -127 to 127, (M, N), and a scale per column, (N,): together nearest to `matrix`."""
    largest = np.abs(matrix).max(axis=0)
    scales = np.where(largest > 0, largest, 1) / 127
    return np.round(matrix / scales).astype(np.float32), scales.astype(np.float32)


def set_nodes(graph: Graph, nodes: Sequence[Node]) -> None:
    """Make copies of `nodes` those of `graph`."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def add_weight(graph: Graph, name: str, values: AnyArray) -> str:
    """Add `values` to `graph` under `name`, once, and return `name`."""
    if all(weight.name != name for weight in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name
