"""Read the graph of a .onnx file from its bytes: versions, inputs, outputs, operators, attributes, weights.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..common.arrays import AnyArray
from .protobuf import Message

# `TensorProto.DataType`, by number.
TYPES = (
    "undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
    "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16",
)  # fmt: skip
_EXTERNAL = 1  # TensorProto.DataLocation
# Types with their numbers one by one in the field `int32_data`, if not as bytes in `raw_data`.
_IN_INT32 = ("int32", "uint8", "int8", "uint16", "int16", "bool", "float16")
_FLOAT, _INT, _STRING, _TENSOR, _FLOATS, _INTS = 1, 2, 3, 4, 6, 7  # AttributeProto.AttributeType
Attribute: TypeAlias = "int | float | str | tuple[int, ...] | tuple[float, ...] | OnnxTensor | None"


def type_name(number: int) -> str:
    """Return the name of a `TensorProto.DataType`."""
    return TYPES[number] if 0 <= number < len(TYPES) else f"type {number}"


@dataclass(frozen=True)
class OnnxTensor:
    """A constant.

    Attributes:
        name: Its name, unique in its graph.
        type: "float32", "int64", ...
        shape: Its shape.
        external: Its content is in another file.
        message: The message it was read from.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    external: bool
    message: Message

    def content(self) -> AnyArray:
        """Return its numbers.

        Raises:
            ValueError: They do not fill its shape, are in another file, or are of a type that numpy does not have.
        """
        if self.external or self.type not in TYPES[1:-1] or self.type == "string":
            raise ValueError(f"the weight {self.name!r} is of type {self.type}{', in another file' * self.external}")
        dtype = np.dtype(self.type).newbyteorder("<")
        raw = self.message.octets(9)
        numbers = np.frombuffer(raw[-1], dtype) if raw else self._listed(dtype)
        if min(self.shape, default=0) < 0 or numbers.size != prod(self.shape):
            raise ValueError(f"the weight {self.name!r} has shape {self.shape} and {numbers.size} elements")
        return numbers.reshape(self.shape)

    def _listed(self, dtype: Any) -> AnyArray:
        if self.type == "float32":
            return np.array(self.message.floats(4), np.float32)
        if self.type == "int64":
            return np.array(self.message.numbers(7), np.int64)
        if self.type in _IN_INT32:
            stored = np.array(self.message.numbers(5), np.int64)
            return stored.astype(np.uint16).view(np.float16) if self.type == "float16" else stored.astype(dtype)
        raise ValueError(f"the weight {self.name!r} lists its numbers as {self.type}")


def read_tensor(message: Message) -> OnnxTensor:
    """Return the constant in a `TensorProto`."""
    shape = tuple(message.numbers(1))
    return OnnxTensor(message.text(8), type_name(message.number(2)), shape, message.number(14) == _EXTERNAL, message)


def read_attribute(message: Message) -> Attribute:
    """Return the value of an `AttributeProto`; None for kinds that no operator of a step has, graphs among them."""
    kind = message.number(20)
    if kind == _FLOAT:
        return next(reversed(message.floats(2)), 0.0)
    if kind == _INT:
        return message.number(3)
    if kind == _STRING:
        return message.text(4)
    if kind == _TENSOR:
        return next((read_tensor(tensor) for tensor in reversed(message.messages(5))), None)
    if kind == _FLOATS:
        return tuple(message.floats(7))
    return tuple(message.numbers(8)) if kind == _INTS else None


_MAX_NESTED = 16  # graphs in graphs; more is no model but an attack on the stack


class OnnxGraphError(ValueError):
    """A file that is damaged or is none. The text completes a sentence: "it is damaged: ..."."""


@dataclass(frozen=True)
class OnnxValue:
    """An input or an output.

    Attributes:
        name: Its name, unique in its graph.
        type: "float32", "int64", ...
        shape: Its shape, with a name or "" for a dynamic dimension; None if the file does not say.
    """

    name: str
    type: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class OnnxNode:
    """One operator of the outermost graph; inputs and outputs are names of values, "" for one that is left out."""

    domain: str
    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class OnnxGraph:
    """The content of a .onnx file.

    Attributes:
        ir_version: Version of the file format.
        opsets: Domain -> version of its operators; "" is the domain of ONNX itself.
        inputs: Its inputs without weights.
        outputs: Its outputs.
        operators: (domain, type) of all operators, those in branches and loops and in functions of the file among them.
        functions: (domain, type) of the functions that the file itself defines.
        weights: The constants of the outermost graph.
        nodes: The operators of the outermost graph, in an order of execution.
        external: Some constants are in another file.
    """

    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    operators: frozenset[tuple[str, str]]
    functions: frozenset[tuple[str, str]]
    weights: tuple[OnnxTensor, ...]
    nodes: tuple[OnnxNode, ...]
    external: bool


def read_onnx_graph(payload: bytes) -> OnnxGraph:
    """Read a .onnx file.

    Args:
        payload: The bytes of the file, with its manifest or without.

    Raises:
        OnnxGraphError: They are damaged, or not those of a .onnx file.
    """
    try:
        return _read_model(Message(payload))
    except ValueError as error:
        raise OnnxGraphError(str(error)) from error


def _read_model(model: Message) -> OnnxGraph:
    graphs = model.messages(7)
    if not graphs:
        raise ValueError("it holds no graph")
    graph = graphs[-1]
    functions = model.messages(25)
    nodes = [node for body in (graph, *functions) for node in _all_nodes(body, 1 if body is graph else 7)]
    weights = tuple(map(read_tensor, graph.messages(5)))
    constants = {weight.name for weight in weights}
    return OnnxGraph(
        ir_version=model.number(1),
        opsets={_domain(entry.text(1)): entry.number(2) for entry in model.messages(8)},
        inputs=tuple(value for value in map(_read_value, graph.messages(11)) if value.name not in constants),
        outputs=tuple(map(_read_value, graph.messages(12))),
        operators=frozenset((_domain(node.text(7)), node.text(4)) for node in nodes),
        functions=frozenset((_domain(function.text(10)), function.text(1)) for function in functions),
        weights=weights,
        nodes=tuple(map(_read_node, graph.messages(1))),
        external=_is_external(model),
    )


def has_external_data(payload: bytes) -> bool:
    """Tell whether constants of a .onnx file are in other files, which an interpreter would read.

    Raises:
        OnnxGraphError: It is damaged.
    """
    if b"location" not in payload:  # the key of the path
        return False
    try:
        return _is_external(Message(payload))
    except ValueError as error:
        raise OnnxGraphError(str(error)) from error


def _is_external(model: Message) -> bool:
    graphs = [*model.messages(7), *(graph for info in model.messages(20) for n in (1, 2) for graph in info.messages(n))]
    bodies = [(graph, 1) for graph in graphs] + [(function, 7) for function in model.messages(25)]
    nodes = [node for body, field in bodies for node in _all_nodes(body, field)]
    attributes = [attribute for node in nodes for attribute in node.messages(5)]
    graphs += [graph for attribute in attributes for number in (6, 11) for graph in attribute.messages(number)]
    # Where tensors and sparse tensors, of values and indices, stand in each.
    places = [(graph, (5,), (15,)) for graph in graphs] + [(each, (5, 10), (22, 23)) for each in attributes]
    tensors = [tensor for message, dense, _ in places for number in dense for tensor in message.messages(number)]
    sparse = [tensor for message, _, numbers in places for number in numbers for tensor in message.messages(number)]
    tensors += [tensor for each in sparse for number in (1, 2) for tensor in each.messages(number)]
    return any(tensor.number(14) == _EXTERNAL or tensor.octets(13) for tensor in tensors)


def _all_nodes(body: Message, field: int, depth: int = 0) -> list[Message]:
    """Return the nodes in the fields `field` of a graph or function, and those of the graphs in their attributes."""
    if depth > _MAX_NESTED:
        raise ValueError("its graphs are nested too deeply")
    nodes = body.messages(field)
    inner = [
        graph
        for node in nodes
        for attribute in node.messages(5)
        for number in (6, 11)
        for graph in attribute.messages(number)
    ]
    return nodes + [node for graph in inner for node in _all_nodes(graph, 1, depth + 1)]


def _read_node(node: Message) -> OnnxNode:
    attributes = {attribute.text(1): read_attribute(attribute) for attribute in node.messages(5)}
    return OnnxNode(_domain(node.text(7)), node.text(4), tuple(node.texts(1)), tuple(node.texts(2)), attributes)


def _read_value(value: Message) -> OnnxValue:
    for type in value.messages(2):
        for tensor in type.messages(1):
            shapes = [tuple(map(_read_dimension, shape.messages(1))) for shape in tensor.messages(2)]
            return OnnxValue(value.text(1), type_name(tensor.number(1)), shapes[-1] if shapes else None)
    return OnnxValue(value.text(1), "not a tensor", None)


def _read_dimension(dimension: Message) -> int | str:
    sizes = dimension.numbers(1)
    return sizes[-1] if sizes else dimension.text(2)


def _domain(name: str) -> str:
    """Return the name of a domain; "ai.onnx" is another one for ""."""
    return "" if name == "ai.onnx" else name
