"""Read the graphs of a .tflite file from its bytes: subgraphs, tensors, operators, signatures.

Field numbers and names of operators are those of the TFLite schema (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from ..common.arrays import AnyArray
from .flatbuffer import FlatbufferError, Table, root_table

CUSTOM = "CUSTOM"
VARIABLE_OPERATORS = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")  # of state that is kept inside
_FIRST_VERSION = {"BROADCAST_TO": 2}

# Name:highest version in tflite-runtime 2.14.0:highest version in ai-edge-litert 2.3.0, in the order of their numbers;
# 0: the interpreter does not have it. Measured, by offering every version from 1 to 24 of every operator to them;
# tflite-runtime 2.14.0 is the last release, ai-edge-litert 2.3.0 was the newest. They run all lower versions too.
_TABLE = """
ADD:5:6 AVERAGE_POOL_2D:3:3 CONCATENATION:4:7 CONV_2D:7:8 DEPTHWISE_CONV_2D:7:7 DEPTH_TO_SPACE:2:2 DEQUANTIZE:5:9
EMBEDDING_LOOKUP:3:5 FLOOR:1:1 FULLY_CONNECTED:10:14 HASHTABLE_LOOKUP:1:1 L2_NORMALIZATION:2:2 L2_POOL_2D:1:1
LOCAL_RESPONSE_NORMALIZATION:1:1 LOGISTIC:3:3 LSH_PROJECTION:1:1 LSTM:4:4 MAX_POOL_2D:3:3 MUL:7:8 RELU:3:3
RELU_N1_TO_1:1:1 RELU6:3:3 RESHAPE:1:1 RESIZE_BILINEAR:4:4 RNN:3:3 SOFTMAX:3:4 SPACE_TO_DEPTH:2:2 SVDF:4:4 TANH:3:3
CONCAT_EMBEDDINGS:0:0 SKIP_GRAM:1:1 CALL:0:0 CUSTOM:0:0 EMBEDDING_LOOKUP_SPARSE:1:1 PAD:4:6
UNIDIRECTIONAL_SEQUENCE_RNN:3:3 GATHER:6:8 BATCH_TO_SPACE_ND:4:4 SPACE_TO_BATCH_ND:4:4 TRANSPOSE:6:9 MEAN:3:3 SUB:5:5
DIV:2:2 SQUEEZE:2:2 UNIDIRECTIONAL_SEQUENCE_LSTM:4:4 STRIDED_SLICE:8:8 BIDIRECTIONAL_SEQUENCE_RNN:3:3 EXP:2:2
TOPK_V2:3:3 SPLIT:4:5 LOG_SOFTMAX:2:2 DELEGATE:0:0 BIDIRECTIONAL_SEQUENCE_LSTM:3:3 CAST:5:9 PRELU:1:1 MAXIMUM:4:4
ARG_MAX:3:3 MINIMUM:4:4 LESS:3:3 NEG:1:1 PADV2:4:6 GREATER:2:2 GREATER_EQUAL:3:3 LESS_EQUAL:2:2 SELECT:4:4 SLICE:6:8
SIN:1:2 TRANSPOSE_CONV:4:5 SPARSE_TO_DENSE:3:3 TILE:3:3 EXPAND_DIMS:1:1 EQUAL:4:5 NOT_EQUAL:3:4 LOG:1:2 SUM:2:2
SQRT:1:2 RSQRT:2:3 SHAPE:1:1 POW:1:1 ARG_MIN:3:3 FAKE_QUANT:2:2 REDUCE_PROD:2:2 REDUCE_MAX:3:3 PACK:4:5 LOGICAL_OR:1:1
ONE_HOT:1:1 LOGICAL_AND:1:1 LOGICAL_NOT:1:1 UNPACK:4:6 REDUCE_MIN:3:3 FLOOR_DIV:3:3 REDUCE_ANY:1:1 SQUARE:1:1
ZEROS_LIKE:1:1 FILL:4:5 FLOOR_MOD:2:2 RANGE:2:2 RESIZE_NEAREST_NEIGHBOR:4:4 LEAKY_RELU:2:2 SQUARED_DIFFERENCE:2:2
MIRROR_PAD:3:3 ABS:5:5 SPLIT_V:2:3 UNIQUE:1:1 CEIL:1:1 REVERSE_V2:3:4 ADD_N:1:1 GATHER_ND:4:6 COS:1:2 WHERE:2:2
RANK:1:1 ELU:1:1 REVERSE_SEQUENCE:1:1 MATRIX_DIAG:1:1 QUANTIZE:3:6 MATRIX_SET_DIAG:1:1 ROUND:1:1 HARD_SWISH:1:1 IF:1:1
WHILE:1:1 NON_MAX_SUPPRESSION_V4:1:1 NON_MAX_SUPPRESSION_V5:1:1 SCATTER_ND:1:1 SELECT_V2:2:2 DENSIFY:1:1
SEGMENT_SUM:1:1 BATCH_MATMUL:4:4 PLACEHOLDER_FOR_GREATER_OP_CODES:0:0 CUMSUM:1:1 CALL_ONCE:1:1 BROADCAST_TO:3:4
RFFT2D:1:1 CONV_3D:1:1 IMAG:1:1 REAL:1:1 COMPLEX_ABS:1:1 HASHTABLE:1:1 HASHTABLE_FIND:1:1 HASHTABLE_IMPORT:1:1
HASHTABLE_SIZE:1:1 REDUCE_ALL:1:1 CONV_3D_TRANSPOSE:1:1 VAR_HANDLE:1:1 READ_VARIABLE:1:1 ASSIGN_VARIABLE:1:1
BROADCAST_ARGS:1:1 RANDOM_STANDARD_NORMAL:1:1 BUCKETIZE:1:1 RANDOM_UNIFORM:1:1 MULTINOMIAL:1:1 GELU:2:3
DYNAMIC_UPDATE_SLICE:1:6 RELU_0_TO_1:1:1 UNSORTED_SEGMENT_PROD:1:1 UNSORTED_SEGMENT_MAX:1:1 UNSORTED_SEGMENT_SUM:1:1
ATAN2:1:1 UNSORTED_SEGMENT_MIN:1:1 SIGN:2:2 BITCAST:1:1 BITWISE_XOR:1:1 RIGHT_SHIFT:1:1 STABLEHLO_LOGISTIC:0:0
STABLEHLO_ADD:0:1 STABLEHLO_DIVIDE:0:0 STABLEHLO_MULTIPLY:0:1 STABLEHLO_MAXIMUM:0:1 STABLEHLO_RESHAPE:0:0
STABLEHLO_CLAMP:0:0 STABLEHLO_CONCATENATE:0:0 STABLEHLO_BROADCAST_IN_DIM:0:0 STABLEHLO_CONVOLUTION:0:0
STABLEHLO_SLICE:0:0 STABLEHLO_CUSTOM_CALL:0:0 STABLEHLO_REDUCE:0:0 STABLEHLO_ABS:0:0 STABLEHLO_AND:0:1
STABLEHLO_COSINE:0:0 STABLEHLO_EXPONENTIAL:0:0 STABLEHLO_FLOOR:0:0 STABLEHLO_LOG:0:0 STABLEHLO_MINIMUM:0:1
STABLEHLO_NEGATE:0:0 STABLEHLO_OR:0:0 STABLEHLO_POWER:0:0 STABLEHLO_REMAINDER:0:0 STABLEHLO_RSQRT:0:0
STABLEHLO_SELECT:0:0 STABLEHLO_SUBTRACT:0:0 STABLEHLO_TANH:0:0 STABLEHLO_SCATTER:0:1 STABLEHLO_COMPARE:0:0
STABLEHLO_CONVERT:0:0 STABLEHLO_DYNAMIC_SLICE:0:0 STABLEHLO_DYNAMIC_UPDATE_SLICE:0:0 STABLEHLO_PAD:0:1
STABLEHLO_IOTA:0:0 STABLEHLO_DOT_GENERAL:0:0 STABLEHLO_REDUCE_WINDOW:0:1 STABLEHLO_SORT:0:0 STABLEHLO_WHILE:0:0
STABLEHLO_GATHER:0:1 STABLEHLO_TRANSPOSE:0:0 DILATE:0:1 STABLEHLO_RNG_BIT_GENERATOR:0:1 REDUCE_WINDOW:0:1
STABLEHLO_COMPOSITE:0:1 STABLEHLO_SHIFT_LEFT:0:1 STABLEHLO_CBRT:0:0 STABLEHLO_CASE:0:1
"""
_ROWS = tuple((name, int(tflite), int(litert)) for name, tflite, litert in (row.split(":") for row in _TABLE.split()))
NAMES = tuple(name for name, _, _ in _ROWS)
# Backend name -> operator name -> highest version.
HIGHEST_VERSIONS: dict[str, dict[str, int]] = {
    "tflite": {name: highest for name, highest, _ in _ROWS},
    "litert": {name: highest for name, _, highest in _ROWS},
}


def operator_name(number: int) -> str:
    """Return the name of the operator `number`, "operator NUMBER" for one that is not known here."""
    return NAMES[number] if 0 <= number < len(NAMES) else f"operator {number}"


def runs(backend: str, name: str, version: int) -> bool:
    """Tell whether the interpreter `backend` has version `version` of the built-in operator `name`."""
    return _FIRST_VERSION.get(name, 1) <= version <= HIGHEST_VERSIONS[backend].get(name, 0)


# `TensorType` of the schema, by number.
TYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4",
)  # fmt: skip
_NUMPY_TYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in TYPES
    if name not in ("string", "resource", "variant", "int4", "bfloat16", "int2", "uint4")
}
_NO_OFFSET = 1  # of a buffer outside the flatbuffer: 0 and 1 mean that its bytes are inside
Indices: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        name: Its name; converters make them unique, the format does not promise it.
        type: "float32", "int8", ...
        shape: Its shape as the file has it, with 1 for a dynamic dimension.
        dynamic: Its shape with -1 for a dynamic dimension.
        buffer: The index of the buffer with its constant value; an empty buffer is no value.
        variable: It keeps its value from one call to the next.
        scales: Quantisation: one scale for the whole tensor, one for each slice along `axis`, or () for none.
        zero_points: As many zero points.
        axis: The dimension that several scales belong to.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    dynamic: tuple[int, ...]
    buffer: int
    variable: bool = False
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0


@dataclass(frozen=True)
class Operator:
    """One operator of a subgraph.

    Attributes:
        name: Name of the built-in operator, or "CUSTOM".
        version: Its version.
        custom: Name of a custom operator, "" for a built-in one; those that want TensorFlow begin with "Flex".
        inputs: Indices of tensors in the subgraph; -1 for an optional one that is left out.
        outputs: Indices of tensors.
        options: The table of its options, None if all have their defaults.
    """

    name: str
    version: int
    custom: str
    inputs: Indices
    outputs: Indices
    options: Table | None


@dataclass(frozen=True)
class Subgraph:
    """A graph: its tensors, the indices of its inputs and outputs, and its operators in the order of execution."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: Indices
    outputs: Indices
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Signature:
    """A named entry point: `inputs` and `outputs` are name -> index of a tensor in the subgraph `subgraph`."""

    name: str
    subgraph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class TfliteGraph:
    """The content of a .tflite file.

    Attributes:
        subgraphs: A plain `invoke()` runs the first.
        signatures: May be empty.
        buffers: Contents of the buffers, views of the file.
        operators: (operator name, name of a custom operator or "", version), each that the file declares, once.
    """

    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    buffers: tuple[memoryview, ...]
    operators: tuple[tuple[str, str, int], ...]

    @property
    def used_operators(self) -> frozenset[str]:
        """The names of the operators that its graphs use; of a custom operator that of its own."""
        return frozenset(each.custom or each.name for graph in self.subgraphs for each in graph.operators)

    def constant(self, tensor: Tensor) -> AnyArray | None:
        """Return the constant value of `tensor`, None if the file holds none.

        Raises:
            FlatbufferError: The buffer does not have the size of the tensor.
        """
        content = self.buffers[tensor.buffer]
        dtype = _NUMPY_TYPES.get(tensor.type)
        if not content or dtype is None:
            return None
        if min(tensor.shape, default=0) < 0 or len(content) != prod(tensor.shape) * dtype.itemsize:
            raise FlatbufferError(f"the tensor {tensor.name!r} has shape {tensor.shape} and {len(content)} bytes")
        return np.frombuffer(content, dtype).reshape(tensor.shape)


def read_tflite_graph(payload: bytes) -> TfliteGraph:
    """Read a .tflite file.

    Args:
        payload: The bytes of the file; a manifest behind them does not matter.

    Raises:
        FlatbufferError: They are damaged, or not those of a .tflite file.
    """
    model = root_table(payload, b"TFL3")
    operators = tuple(_read_operator_code(table) for table in model.tables(1))
    buffers = tuple(_read_buffer(table, payload) for table in model.tables(4))
    subgraphs = tuple(_read_subgraph(table, operators, len(buffers)) for table in model.tables(2))
    if not subgraphs:
        raise FlatbufferError("it holds no graph")
    signatures = tuple(_read_signature(table, subgraphs) for table in model.tables(7))
    return TfliteGraph(subgraphs, signatures, buffers, tuple(dict.fromkeys(operators)))


def _read_operator_code(table: Table) -> tuple[str, str, int]:
    # Numbers above 126 do not fit in the old one-byte field; the larger of the two counts.
    name = operator_name(max(table.number(0, "b"), table.number(3, "i")))
    return name, table.text(1) if name == CUSTOM else "", table.number(2, "i", 1)


def _read_buffer(table: Table, payload: bytes) -> memoryview:
    offset, size = table.number(1, "Q"), table.number(2, "Q")
    if offset <= _NO_OFFSET:
        return table.octets(0)
    if offset + size > len(payload):  # files above 2 GB keep their weights behind the flatbuffer
        raise FlatbufferError(f"a buffer of {size} bytes does not fit in it")
    return memoryview(payload)[offset : offset + size]


def _read_subgraph(table: Table, codes: tuple[tuple[str, str, int], ...], buffers: int) -> Subgraph:
    tensors = tuple(_read_tensor(entry) for entry in table.tables(0))
    inputs, outputs = table.numbers(1, "i"), table.numbers(2, "i")
    operators = []
    for entry in table.tables(3):
        code = entry.number(0, "I")
        if code >= len(codes):
            raise FlatbufferError(f"an operator has code {code} of {len(codes)}")
        name, custom, version = codes[code]
        operators.append(Operator(name, version, custom, entry.numbers(1, "i"), entry.numbers(2, "i"), entry.table(4)))
    for sides, lowest in [((inputs, outputs), 0), *(((one.inputs, one.outputs), -1) for one in operators)]:
        wrong = [index for side in sides for index in side if not lowest <= index < len(tensors)]
        if wrong:
            raise FlatbufferError(f"it refers to tensor {wrong[0]} of {len(tensors)}")
    wrong = [tensor.buffer for tensor in tensors if tensor.buffer >= buffers]
    if wrong:
        raise FlatbufferError(f"it refers to buffer {wrong[0]} of {buffers}")
    return Subgraph(table.text(4), tensors, inputs, outputs, tuple(operators))


def _read_tensor(table: Table) -> Tensor:
    type = table.number(1, "b")
    shape = table.numbers(0, "i")
    quantization = table.table(4)
    return Tensor(
        name=table.text(3),
        type=TYPES[type] if 0 <= type < len(TYPES) else f"type {type}",
        shape=shape,
        dynamic=table.numbers(7, "i") or shape,
        buffer=table.number(2, "I"),
        variable=bool(table.number(5, "?")),
        scales=quantization.numbers(2, "f") if quantization else (),
        zero_points=quantization.numbers(3, "q") if quantization else (),
        axis=quantization.number(6, "i") if quantization else 0,
    )


def _read_signature(table: Table, subgraphs: tuple[Subgraph, ...]) -> Signature:
    subgraph = table.number(4, "I")
    if subgraph >= len(subgraphs):
        raise FlatbufferError(f"a signature belongs to graph {subgraph} of {len(subgraphs)}")
    inputs, outputs = ({e.text(0): e.number(1, "I") for e in table.tables(side)} for side in (0, 1))
    wrong = [i for i in (*inputs.values(), *outputs.values()) if i >= len(subgraphs[subgraph].tensors)]
    if wrong:
        raise FlatbufferError(f"a signature refers to tensor {wrong[0]}")
    return Signature(table.text(2), subgraph, inputs, outputs)


Names = dict[str, int]  # name -> index of the tensor
_USUAL = ("step", "serving_default")  # names that exporters give to signatures of one step, the likeliest first


def likely_signature(names: Sequence[str]) -> str | None:
    """Return the signature that is a step by its name; "" if there are none, None if it is ambiguous."""
    usual = [name for name in _USUAL if name in names]
    if usual or len(names) < 2:
        return (usual or list(names) or [""])[0]
    return None


def tensors_of(graph: TfliteGraph, signature: str) -> tuple[int, Names, Names]:
    """Return the subgraph of `signature` and its inputs and outputs; "": the first one, by the names of its tensors.

    Raises:
        KeyError: There is no such signature.
        ValueError: Two tensors have one name.
    """
    if signature:
        found = {each.name: each for each in graph.signatures}[signature]
        return found.subgraph, found.inputs, found.outputs
    first = graph.subgraphs[0]
    sides = []
    for indices in (first.inputs, first.outputs):
        names = {first.tensors[index].name: index for index in indices}
        if len(names) < len(set(indices)):
            raise ValueError("two of its inputs or outputs have one name")
        sides.append(names)
    return 0, sides[0], sides[1]
