"""What stands in a .tflite file, read from its bytes: subgraphs, tensors, operators, signatures.

Field numbers are those of the TFLite schema (tensorflow/compiler/mlir/lite/schema/schema.fbs).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from .arrays import AnyArray
from .flatbuffer import FlatbufferError, Table, root_table
from .tflite_operators import CUSTOM, operator_name

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
_NOT_A_BUFFER_YET = 1  # offsets of buffers outside the flatbuffer: 0 and 1 mean that the bytes stand inside it
Indices: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        name: Its name; converters make them unique, the format does not promise it.
        type: "float32", "int8", ...
        shape: Its shape as the file has it, 1 where a dimension is dynamic.
        dynamic: Its shape with -1 where a dimension is dynamic.
        buffer: Which buffer of the file holds its constant value; an empty one holds none.
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
        inputs: Indices of tensors in the subgraph; -1: an optional one is left out.
        outputs: Indices of tensors.
        options: The table of its options, None where all have their defaults.
    """

    name: str
    version: int
    custom: str
    inputs: Indices
    outputs: Indices
    options: Table | None


@dataclass(frozen=True)
class Subgraph:
    """A graph: its tensors, which of them go in and out, and its operators in the order in which they run."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: Indices
    outputs: Indices
    operators: tuple[Operator, ...]


@dataclass(frozen=True)
class Signature:
    """A way in by name: `inputs` and `outputs` are name -> index of a tensor in the subgraph `subgraph`."""

    name: str
    subgraph: int
    inputs: dict[str, int]
    outputs: dict[str, int]


@dataclass(frozen=True)
class TfliteGraph:
    """A .tflite file taken apart.

    Attributes:
        subgraphs: The first is what a plain `invoke()` runs.
        signatures: May be empty.
        buffers: Contents of the buffers, which are parts of the file and no copies.
        operators: (operator name, name of a custom operator or "", version), each that the file declares, once.
    """

    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    buffers: tuple[memoryview, ...]
    operators: tuple[tuple[str, str, int], ...]

    def constant(self, tensor: Tensor) -> AnyArray | None:
        """Return the constant value of `tensor`, None where the file holds none.

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
    """Take a .tflite file apart.

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
    # Numbers above 126 do not fit in the old one-byte field; whichever of the two is larger counts.
    name = operator_name(max(table.number(0, "b"), table.number(3, "i")))
    return name, table.text(1) if name == CUSTOM else "", table.number(2, "i", 1)


def _read_buffer(table: Table, payload: bytes) -> memoryview:
    offset, size = table.number(1, "Q"), table.number(2, "Q")
    if offset <= _NOT_A_BUFFER_YET:
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
    for places, lowest in [((inputs, outputs), 0), *(((one.inputs, one.outputs), -1) for one in operators)]:
        wrong = [index for side in places for index in side if not lowest <= index < len(tensors)]
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
