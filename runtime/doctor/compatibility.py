"""Reasons why an interpreter does not take a file, from its operators, types and versions."""

from __future__ import annotations

from ..format.onnx_graph import OnnxGraph
from ..format.tflite_graph import CUSTOM, HIGHEST_VERSIONS, VARIABLE_OPERATORS, Operator, Subgraph, TfliteGraph, runs
from ..interpreters.numpy_engine import calculation_of
from ..interpreters.registry import MICRO
from .packages import Interpreter, version_of

# Version of onnxruntime -> the newest IR version and opset it takes. 1.31: measured. 1.21, which Debian 13 has with
# ONNX 1.17: https://onnxruntime.ai/docs/reference/compatibility.html
_ONNX_LIMITS = {(1, 21): (10, 22), (1, 31): (13, 26)}
# Domains whose operators are built into onnxruntime.
_ONNX_DOMAINS = {"", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "ai.onnx.preview.training"}
_TYPES_UNKNOWN_TO_TFLITE_RUNTIME = ("bfloat16", "int2", "uint4")  # they came into the schema after 2.14
_FIRST_PER_CHANNEL = 12  # version of FULLY_CONNECTED with float input and one scale for each row of int8 weights


def incompatibilities(
    graph: TfliteGraph | OnnxGraph, interpreter: Interpreter, version: str, signature: str | None = None
) -> list[str]:
    """Return everything in `graph` that `interpreter` in `version` does not take; empty: it takes the file.

    The limits of versions that were not measured are those of the nearest older one. An interpreter loads a whole
    graph; numpy reads the step alone, which is `signature`, None for the likeliest one.
    """
    if interpreter.is_fallback:
        try:
            calculation_of(graph, signature)
        except (ValueError, KeyError, IndexError) as error:
            return [str(error)]
        return []
    if interpreter.backend == MICRO:
        return []  # the file was exported for it, and proven on it
    if isinstance(graph, TfliteGraph):
        return [*_operator_incompatibilities(graph, interpreter), *_type_incompatibilities(graph, interpreter.backend)]
    return _onnx_incompatibilities(graph, version)


def file_incompatibilities(graph: TfliteGraph | OnnxGraph) -> list[str]:
    """Return everything in `graph` that no interpreter on a device takes, or that hides its state."""
    if isinstance(graph, OnnxGraph):
        return ["some of its weights are in another file: save the model as one file"] if graph.external else []
    found = []
    flex = sorted(name for name in graph.used_operators if name.startswith("Flex"))
    if flex:
        found.append(
            f"it needs TensorFlow for {', '.join(flex)}: convert it with TFLITE_BUILTINS alone, or export the model "
            "with stepcell"
        )
    hidden = sorted(graph.used_operators.intersection(VARIABLE_OPERATORS))
    if hidden:
        found.append(
            f"it keeps its state inside ({', '.join(hidden)}), where it can be neither read nor reset: make inputs and "
            "outputs of it with stepcell adopt FILE --lift"
        )
    if any(tensor.variable for each in graph.subgraphs for tensor in each.tensors):
        found.append(
            "it keeps its state inside (variable tensors), where it can be neither read nor reset, and which cannot be "
            "lifted: export the model with the state as inputs and outputs"
        )
    return found


def _operator_incompatibilities(graph: TfliteGraph, interpreter: Interpreter) -> list[str]:
    found = []
    for name, custom, version in sorted(graph.operators):
        highest = HIGHEST_VERSIONS[interpreter.backend].get(name, 0)
        if name == CUSTOM:
            if not custom.startswith("Flex"):
                found.append(f"the custom operator {custom!r}, which it does not have")
        elif not runs(interpreter.backend, name, version):
            what = f"it has versions up to {highest}" if highest else "it does not have it"
            found.append(f"{name} version {version}: {what}")
    return found


def _type_incompatibilities(graph: TfliteGraph, backend: str) -> list[str]:
    """Return the types that tflite-runtime 2.14 loads and then cannot run."""
    if backend != "tflite":
        return []
    found = []
    types = {tensor.type for subgraph in graph.subgraphs for tensor in subgraph.tensors}
    unknown = sorted(type for type in types if type in _TYPES_UNKNOWN_TO_TFLITE_RUNTIME or type.startswith("type "))
    if unknown:
        found.append(f"tensors of type {', '.join(unknown)}, which it does not know")
    if "int4" in types:
        found.append("int4 weights, on which it crashes")
    if any(_is_garbled(operator, each) for each in graph.subgraphs for operator in each.operators):
        found.append("int8 weights with a scale for each row, which it reads as if there were one, and answers garbage")
    return found


def _is_garbled(operator: Operator, subgraph: Subgraph) -> bool:
    """Tell whether `operator` is a hybrid FULLY_CONNECTED with per-channel weights and an old version number."""
    if operator.name != "FULLY_CONNECTED" or operator.version >= _FIRST_PER_CHANNEL or len(operator.inputs) < 2:
        return False
    x, weights = (subgraph.tensors[index] for index in operator.inputs[:2])
    return x.type == "float32" and weights.type == "int8" and len(weights.scales) > 1


def _onnx_incompatibilities(graph: OnnxGraph, version: str) -> list[str]:
    known = max((each for each in _ONNX_LIMITS if each <= version_of(version)), default=min(_ONNX_LIMITS))
    ir_version, opset = _ONNX_LIMITS[known]
    found = []
    if graph.ir_version > ir_version:
        found.append(f"IR version {graph.ir_version}: it takes up to {ir_version}")
    if graph.opsets.get("", 0) > opset:
        found.append(f"opset {graph.opsets['']}: it takes up to {opset}")
    foreign = sorted(
        f"{domain}.{type}" for domain, type in graph.operators - graph.functions if domain not in _ONNX_DOMAINS
    )
    if foreign:
        found.append(f"operators that it does not have: {', '.join(foreign)}")
    return found
