"""From a TFLite graph to a calculation.

Tensors stored in 8 or 16 bits with a scale stand for real numbers, and that is what they are here: constants are
brought to float32 once, and nothing is rounded to 8 bits in between. So an int8 file answers as its weights say,
without the rounding of what they are multiplied with, which interpreters do at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from ...common.arrays import AnyArray
from ...format.flatbuffer import Table
from ...format.tflite_graph import Operator, Subgraph, Tensor, TfliteGraph, tensors_of
from .graph import Calculation, CalculationError, Operation, Source, unknown

Options: TypeAlias = Callable[[Table | None], Mapping[str, Any]]

# Operators whose operands are those of an operation, in the same order.
_PLAIN = {
    "ABS": "abs", "ADD": "add", "BROADCAST_TO": "broadcast", "DEQUANTIZE": "same", "DIV": "divide", "ELU": "elu",
    "EQUAL": "equal", "EXP": "exp", "EXPAND_DIMS": "expand", "GREATER": "greater", "GREATER_EQUAL": "greater_equal",
    "HARD_SWISH": "hard_swish", "LESS": "less", "LESS_EQUAL": "less_equal", "LOG": "log", "LOGICAL_AND": "and",
    "LOGICAL_NOT": "not", "LOGICAL_OR": "or", "LOGISTIC": "logistic", "LOG_SOFTMAX": "log_softmax",
    "MAXIMUM": "maximum", "MINIMUM": "minimum", "MUL": "multiply", "NEG": "negative", "NOT_EQUAL": "not_equal",
    "PAD": "pad", "PADV2": "pad", "POW": "power", "QUANTIZE": "same", "RELU": "relu", "RELU6": "relu6",
    "RELU_0_TO_1": "relu_0_to_1", "RELU_N1_TO_1": "relu_n1_to_1", "RESHAPE": "reshape", "RSQRT": "rsqrt",
    "SELECT": "select", "SELECT_V2": "select",
    "SLICE": "part", "SQRT": "sqrt", "SQUARE": "square", "SQUARED_DIFFERENCE": "squared_difference", "SUB": "subtract",
    "TANH": "tanh", "TRANSPOSE": "transpose",
}  # fmt: skip
# `ActivationFunctionType` of the schema; and the operators that may have one, with the field it stands in.
_FUSED = {0: "", 1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh"}
_MAY_BE_FUSED = {"ADD": 0, "CONCATENATION": 1, "DIV": 0, "FULLY_CONNECTED": 0, "MUL": 0, "SUB": 0}


def _number(options: Table | None, field: int, code: str = "i", default: int = 0) -> int:
    return default if options is None else options.number(field, code, default)


def _flag(options: Table | None, field: int) -> bool:
    return bool(_number(options, field, "?"))


def _plain_weights(options: Table | None) -> Mapping[str, Any]:
    if _number(options, 1, "b"):
        raise CalculationError("its FULLY_CONNECTED has weights in another order than rows")
    return {"keep": _flag(options, 2)}


def _without_batches(options: Table | None) -> Mapping[str, Any]:
    if _number(options, 1):
        raise CalculationError("its GATHER looks up in a table for each row")
    return {"axis": _number(options, 0)}


# Operators that are told more: the operation, and its options from theirs.
_TOLD: dict[str, tuple[str, Options]] = {
    "BATCH_MATMUL": ("product", lambda o: {"flip_x": _flag(o, 0), "flip_y": _flag(o, 1)}),
    "CONCATENATION": ("concatenate", lambda o: {"axis": _number(o, 0)}),
    "FULLY_CONNECTED": ("dense", _plain_weights),
    "GATHER": ("take", _without_batches),
    "GELU": ("gelu", lambda o: {"approximate": _flag(o, 0)}),
    "LEAKY_RELU": ("leaky_relu", lambda o: {"alpha": _number(o, 0, "f")}),
    "MEAN": ("mean", lambda o: {"keep": _flag(o, 0)}),
    "ONE_HOT": ("one_hot", lambda o: {"axis": _number(o, 0)}),
    "PACK": ("stack", lambda o: {"axis": _number(o, 1)}),
    "REDUCE_MAX": ("max", lambda o: {"keep": _flag(o, 0)}),
    "REDUCE_MIN": ("min", lambda o: {"keep": _flag(o, 0)}),
    "SOFTMAX": ("softmax", lambda o: {"beta": _number(o, 0, "f")}),
    "SQUEEZE": ("squeeze", lambda o: {"at": (o.numbers(0, "i") if o else ()) or None}),
    "STRIDED_SLICE": ("strided", lambda o: {"masks": [_number(o, field) for field in range(5)]}),
    "SUM": ("sum", lambda o: {"keep": _flag(o, 0)}),
    "UNPACK": ("unstack", lambda o: {"parts": _number(o, 0), "axis": _number(o, 1)}),
}
KNOWN = frozenset([*_PLAIN, *_TOLD, "CAST", "EMBEDDING_LOOKUP", "SHAPE", "SPLIT", "SPLIT_V"])


def tflite_calculation(graph: TfliteGraph, signature: str) -> Calculation:
    """Return what the signature `signature` of a graph computes; "": its first subgraph, by the names of its tensors.

    Raises:
        CalculationError: Operators are not known here, all of which are named, or used in a way that is not.
        FlatbufferError: A constant does not have the size of its tensor.
        KeyError, ValueError: As `tensors_of`.
    """
    number, inputs, outputs = tensors_of(graph, signature)
    subgraph = graph.subgraphs[number]
    strange = unknown_operators(subgraph)
    if strange:
        raise unknown(strange)
    constants: dict[str, AnyArray] = {}
    for index, tensor in enumerate(subgraph.tensors):
        content = graph.constant(tensor)
        if content is not None:
            constants[str(index)] = _real(content, tensor)
    sources = {}
    for name, index in inputs.items():
        tensor = subgraph.tensors[index]
        sizes = tuple(None if size < 0 else size for size in tensor.dynamic)
        sources[name] = Source(str(index), "quantized" if tensor.scales else tensor.type, sizes)
    operations = [each for one in subgraph.operators for each in _translate(one, subgraph, constants)]
    return Calculation(sources, {name: str(index) for name, index in outputs.items()}, constants, tuple(operations))


def unknown_operators(subgraph: Subgraph) -> list[str]:
    """Return the names of the operators of `subgraph` that are not known here."""
    return sorted({one.custom or one.name for one in subgraph.operators if one.name not in KNOWN})


def _real(content: AnyArray, tensor: Tensor) -> AnyArray:
    """Return the numbers that a constant stands for: scale (stored - zero point), along `axis` if there are several."""
    if not tensor.scales or content.dtype.kind == "f":
        return content
    along = [1] * content.ndim
    if len(tensor.scales) > 1:
        along[tensor.axis] = len(tensor.scales)
    scales = np.array(tensor.scales, np.float32).reshape(along)
    zeros = np.array(tensor.zero_points or [0], np.float32)
    shifted = content.astype(np.float32) - (zeros.reshape(along) if len(zeros) == len(tensor.scales) else zeros)
    return np.asarray(shifted * scales)


def _translate(one: Operator, subgraph: Subgraph, constants: Mapping[str, AnyArray]) -> list[Operation]:
    inputs = tuple("" if index < 0 else str(index) for index in one.inputs)
    outputs = tuple(str(index) for index in one.outputs)
    kind, options = _kind_of(one, inputs, subgraph, constants)
    if one.name in ("SPLIT", "EMBEDDING_LOOKUP"):  # their table comes behind
        inputs = tuple(reversed(inputs[:2]))[: 1 if one.name == "SPLIT" else 2]
    elif one.name == "SPLIT_V":
        inputs = inputs[:2]
    elif one.name == "RESHAPE" and len(inputs) == 1:
        raise CalculationError("its RESHAPE does not say to what shape")
    fused = _number(one.options, _MAY_BE_FUSED[one.name], "b") if one.name in _MAY_BE_FUSED else 0
    if not _FUSED.get(fused, ""):
        if fused:
            raise CalculationError(f"its {one.name} ends in the activation {fused}, which is not known")
        return [Operation(kind, inputs, outputs, options, one.name)]
    before = f"{outputs[0]} before its activation"
    return [
        Operation(kind, inputs, (before,), options, one.name),
        Operation(_FUSED[fused], (before,), outputs, origin=one.name),
    ]


def _kind_of(
    one: Operator, inputs: tuple[str, ...], subgraph: Subgraph, constants: Mapping[str, AnyArray]
) -> tuple[str, Mapping[str, Any]]:
    if one.name in _PLAIN:
        return _PLAIN[one.name], {}
    if one.name in _TOLD:
        kind, options = _TOLD[one.name]
        return kind, options(one.options)
    if one.name in ("CAST", "SHAPE"):
        result = subgraph.tensors[one.outputs[0]]
        return ("cast", {"to": result.type}) if one.name == "CAST" else ("shape", {"dtype": result.type})
    if one.name == "EMBEDDING_LOOKUP":
        return "take", {}
    axis = constants.get(inputs[2 if one.name == "SPLIT_V" else 0])
    if axis is None or axis.size != 1:
        raise CalculationError(f"its {one.name} does not say where")
    return "split", {"axis": int(axis.reshape(-1)[0]), "parts": len(one.outputs)}
