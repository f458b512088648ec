"""From a step function to the payload of a .onnx file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import onnx

from ...runtime.common.errors import NotSteppableError
from ..ops.precision import FLOAT16, FLOAT32, INT8, rounding_of
from ..ops.tensorflow_ops import TensorFlowOps
from ..step_function.build import StepFunction
from ..step_function.tf_graph import step_graph
from .weights import store_as_half, store_as_int8

OPSET = 17  # tf2onnx refuses 19 and later
IR_VERSION = 8  # the first for opset 17; newer ones are refused by older devices


def onnx_payload(step_function: StepFunction, quantization: str = FLOAT32) -> tuple[bytes, dict[str, int]]:
    """Convert `step_function` to ONNX with weights of the precision `quantization`: the graph of one step.

    Returns:
        The payload, and the opset and IR version it requires.
    """
    model = convert_function(step_graph(step_function, TensorFlowOps(rounding_of(quantization))), "step")
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "B"
    if quantization == FLOAT16:
        store_as_half(model.graph)
    elif quantization == INT8:
        store_as_int8(model.graph)
    return finish_model(model)


def convert_function(function: Any, name: str) -> Any:
    """Return the ONNX model of a TensorFlow function with an input signature; its graph is called `name`."""
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    except Exception as error:  # whatever it runs into in a traced step
        raise NotSteppableError(
            f"The step of this model cannot be converted to ONNX: tf2onnx fails ({type(error).__name__}: {error}). "
            "Write that part with other operations, or leave this format out (--format tflite). Nothing was written."
        ) from error
    _require_operators(model.graph)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "stepcell", ""
    model.graph.name, model.graph.doc_string = name, ""
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    return model


def _require_operators(graph: Any) -> None:
    """Raise NotSteppableError if tf2onnx left operators that ONNX does not have, which it does without an error."""
    unknown = sorted({node.op_type for node in _all_nodes(graph) if not _is_of_onnx(node)})
    if unknown:
        raise NotSteppableError(
            f"The step of this model cannot be converted to ONNX: opset {OPSET} has no operator for "
            f"{', '.join(unknown)}. Write that part with other operations, or leave this format out (--format tflite). "
            "Nothing was written."
        )


def _all_nodes(graph: Any) -> Iterator[Any]:
    """Yield the nodes of a graph and of the loops and branches in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)


def _is_of_onnx(node: Any) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return False
    try:
        return not onnx.defs.get_schema(node.op_type, OPSET, "").deprecated
    except onnx.defs.SchemaError:
        return False


def finish_model(model: Any) -> tuple[bytes, dict[str, int]]:
    """Return the payload of `model`, the same bytes for the same graph, and the opset and IR version it requires."""
    _sort(model.graph)
    _rename(model.graph)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True), {"opset": OPSET, "ir_version": IR_VERSION}


def _sort(graph: Any) -> None:
    """Put the nodes into the order in which the outputs, first to last, need them.

    tf2onnx leaves nodes that do not need each other in an order that differs between processes.
    """
    node_of = {name: node for node in graph.node for name in node.output}
    ordered: dict[str, Any] = {}  # first output of a node -> the node
    waiting = [node_of[value.name] for value in reversed(graph.output)]
    while waiting:
        node = waiting[-1]
        needed = [node_of[name] for name in node.input if name in node_of and node_of[name].output[0] not in ordered]
        if needed:
            waiting += reversed(needed)
        else:
            ordered.setdefault(node.output[0], waiting.pop())
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered.values()]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename(graph: Any) -> None:
    """Give every node, inner value and weight a name that depends on its place alone.

    tf2onnx numbers them with a counter that runs on through the process, so a second export would differ.
    """
    fixed = {value.name for value in [*graph.input, *graph.output]}
    weights = {weight.name: weight for weight in graph.initializer}
    names: dict[str, str] = {"": ""}
    ordered: list[Any] = []
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        for name in node.input:
            if name in weights and name not in names:
                names[name] = f"weight_{len(ordered)}"
                ordered.append(weights[name])
        for index, name in enumerate(node.output):
            if name not in fixed:
                names[name] = f"{node.name}_{index}"
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(name, name) for name in side]
    for weight in ordered:
        weight.name = names[weight.name]
    kept = [onnx.TensorProto.FromString(weight.SerializeToString()) for weight in ordered]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
