"""From an ONNX graph to a calculation.

Operators as they are from opset 13 on, and those that were told by attributes before by what they are told.
Where a file brings what it multiplies with to 8 bits at every step (DynamicQuantizeLinear), nothing is rounded here: an
int8 file answers as its weights say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from ...common.arrays import AnyArray
from ...format.onnx_graph import TYPES, Attribute, OnnxGraph, OnnxNode, OnnxTensor
from .graph import Calculation, CalculationError, Operation, Source, unknown

Attributes: TypeAlias = Mapping[str, Attribute]
Options: TypeAlias = Callable[[Any], Mapping[str, Any]]

# Operators whose operands are those of an operation, in the same order.
_PLAIN = {
    "Abs": "abs", "Add": "add", "And": "and", "Clip": "clip", "Div": "divide", "Dropout": "same", "Equal": "equal",
    "Erf": "erf", "Exp": "exp", "Expand": "broadcast", "Greater": "greater", "GreaterOrEqual": "greater_equal",
    "HardSwish": "hard_swish", "Identity": "same", "Less": "less", "LessOrEqual": "less_equal", "Log": "log",
    "MatMul": "matmul", "Max": "maximum", "Min": "minimum", "Mul": "multiply", "Neg": "negative", "Not": "not",
    "Or": "or", "Pow": "power", "Reciprocal": "reciprocal", "Relu": "relu", "Sigmoid": "logistic", "Slice": "between",
    "Sqrt": "sqrt", "Sub": "subtract", "Sum": "add", "Tanh": "tanh", "Where": "select",
}  # fmt: skip


def _reduced(a: Attributes) -> Mapping[str, Any]:
    if a.get("noop_with_empty_axes") and "axes" in a:
        raise CalculationError("a reduction says twice what it reduces over")
    return {"keep": bool(a.get("keepdims", 1)), "at": a.get("axes")}


def _constant_only(a: Attributes) -> Mapping[str, Any]:
    if a.get("mode", "constant") != "constant":
        raise CalculationError("its Pad repeats what it pads")
    return {}


# Operators that are told more: the operation, and its options from their attributes.
_TOLD: dict[str, tuple[str, Options]] = {
    "Cast": ("cast", lambda a: {"to": TYPES[a["to"]]}),
    "Concat": ("concatenate", lambda a: {"axis": a["axis"]}),
    "Elu": ("elu", lambda a: {"alpha": a.get("alpha", 1.0)}),
    "Flatten": ("flatten", lambda a: {"axis": a.get("axis", 1)}),
    "Gather": ("take", lambda a: {"axis": a.get("axis", 0)}),
    "Gelu": ("gelu", lambda a: {"approximate": a.get("approximate", "none") == "tanh"}),
    "Gemm": ("product", lambda a: {
        "flip_x": bool(a.get("transA", 0)), "flip_y": bool(a.get("transB", 0)),
        "alpha": a.get("alpha", 1.0), "beta": a.get("beta", 1.0),
    }),
    "HardSigmoid": ("hard_sigmoid", lambda a: {"alpha": a.get("alpha", 0.2), "beta": a.get("beta", 0.5)}),
    "LeakyRelu": ("leaky_relu", lambda a: {"alpha": a.get("alpha", 0.01)}),
    "LogSoftmax": ("log_softmax", lambda a: {"axis": a.get("axis", -1)}),
    "Pad": ("pad_around", _constant_only),
    "ReduceMax": ("max", _reduced),
    "ReduceMean": ("mean", _reduced),
    "ReduceMin": ("min", _reduced),
    "ReduceSum": ("sum", _reduced),
    "Reshape": ("reshape", lambda a: {"zero_keeps": not a.get("allowzero", 0)}),
    "Shape": ("shape", lambda a: {"dtype": "int64"}),
    "Softmax": ("softmax", lambda a: {"axis": a.get("axis", -1)}),
    "Squeeze": ("squeeze", lambda a: {"at": a.get("axes")}),
    "Transpose": ("transpose", lambda a: {"at": a.get("perm")}),
    "Unsqueeze": ("expand", lambda a: {"at": a.get("axes", ())}),
}  # fmt: skip
# Attributes that change what an operator does, and are not known here.
_STRANGE = {"Shape": ("start", "end"), "Cast": ("saturate",)}
_OTHERS = ("Constant", "DynamicQuantizeLinear", "MatMulInteger", "Split")
KNOWN = frozenset([*_PLAIN, *_TOLD, *_OTHERS])
_FIRST_OPSET = 13  # softmax along one axis, and most axes as inputs


def onnx_calculation(graph: OnnxGraph) -> Calculation:
    """Return what a graph computes.

    Raises:
        CalculationError: Operators are not known here, all of which are named, or used in a way that is not.
        ValueError: A constant cannot be read.
    """
    strange = unknown_operators(graph)
    if strange:
        raise unknown(strange)
    constants = {weight.name: weight.content() for weight in graph.weights}
    operations = [each for node in graph.nodes for each in _translate(node, graph, constants)]
    sources = {
        value.name: Source(
            value.name,
            value.type,
            None if value.shape is None else tuple(n if isinstance(n, int) and n > 0 else None for n in value.shape),
        )
        for value in graph.inputs
    }
    return Calculation(sources, {value.name: value.name for value in graph.outputs}, constants, tuple(operations))


def unknown_operators(graph: OnnxGraph) -> list[str]:
    """Return the operators of `graph` that are not known here."""
    return sorted(
        {f"{node.domain}.{node.type}".lstrip(".") for node in graph.nodes if node.domain or node.type not in KNOWN}
    )


def _translate(node: OnnxNode, graph: OnnxGraph, constants: dict[str, AnyArray]) -> list[Operation]:
    """Return the operations of `node`; constants that it holds are added to `constants`."""
    strange = [name for name in _STRANGE.get(node.type, ()) if name in node.attributes]
    if strange:
        raise CalculationError(f"its {node.type} has the attribute {', '.join(strange)}, which is not known here")
    if node.type in ("Softmax", "LogSoftmax") and graph.opsets.get("", 0) < _FIRST_OPSET:
        raise CalculationError(f"its {node.type} is that of opset {graph.opsets.get('', 0)}, before {_FIRST_OPSET}")
    if node.type in _PLAIN:
        outputs = node.outputs[:1] if node.type == "Dropout" else node.outputs
        inputs = node.inputs[:1] if node.type == "Dropout" else node.inputs
        return [Operation(_PLAIN[node.type], inputs, outputs, origin=node.type)]
    if node.type in _TOLD:
        kind, options = _TOLD[node.type]
        try:
            told = options(node.attributes)
        except (KeyError, IndexError, TypeError) as error:
            raise CalculationError(f"its {node.type} lacks an attribute ({error})") from error
        return [Operation(kind, node.inputs, node.outputs, told, node.type)]
    return _OTHER_KINDS[node.type](node, constants)


def _constant(node: OnnxNode, constants: dict[str, AnyArray]) -> list[Operation]:
    for name, value in node.attributes.items():
        if isinstance(value, OnnxTensor):
            constants[node.outputs[0]] = value.content()
        elif name in ("value_int", "value_ints"):
            constants[node.outputs[0]] = np.array(value, np.int64)
        elif name in ("value_float", "value_floats"):
            constants[node.outputs[0]] = np.array(value, np.float32)
    if node.outputs[0] not in constants:
        raise CalculationError("its Constant holds something else than numbers")
    return []


def _split(node: OnnxNode, constants: dict[str, AnyArray]) -> list[Operation]:
    options = {"axis": node.attributes.get("axis", 0), "parts": len(node.outputs)}
    inputs = node.inputs
    sizes = node.attributes.get("split")
    if isinstance(sizes, tuple):  # before opset 13
        name = f"parts of {node.outputs[0]}"
        constants[name] = np.array(sizes, np.int64)
        inputs = (inputs[0], name)
    return [Operation("split", inputs, node.outputs, options, node.type)]


def _dynamic_quantization(node: OnnxNode, constants: dict[str, AnyArray]) -> list[Operation]:
    """Return nothing but the number itself, as if it had been brought to whole numbers with a scale of 1."""
    quantized, scale, zero = (*node.outputs, "", "")[:3]
    constants[scale], constants[zero] = np.array(1, np.float32), np.array(0, np.float32)
    return [Operation("same", node.inputs, (quantized,), origin=node.type)]


def _integer_product(node: OnnxNode, constants: dict[str, AnyArray]) -> list[Operation]:
    """Return the product of the numbers without their zero points, in floats."""
    operations = []
    sides = []
    for place, side in enumerate(node.inputs[:2]):
        name = f"{side} of {node.outputs[0]}"
        operations.append(Operation("cast", (side,), (name,), {"to": "float32"}, node.type))
        zero = node.inputs[place + 2] if len(node.inputs) > place + 2 else ""
        if zero:
            operations.append(Operation("cast", (zero,), (f"zero of {name}",), {"to": "float32"}, node.type))
            operations.append(
                Operation("subtract", (name, f"zero of {name}"), (f"{name}, around 0",), origin=node.type)
            )
            name = f"{name}, around 0"
        sides.append(name)
    return [*operations, Operation("matmul", tuple(sides), node.outputs, origin=node.type)]


_OTHER_KINDS = {
    "Constant": _constant,
    "DynamicQuantizeLinear": _dynamic_quantization,
    "MatMulInteger": _integer_product,
    "Split": _split,
}
