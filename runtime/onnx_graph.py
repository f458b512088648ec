"""What stands in a .onnx file, read from its bytes: versions, inputs, outputs, operators, weights.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from dataclasses import dataclass

from .protobuf import Message

# `TensorProto.DataType`, by number.
TYPES = (
    "undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
    "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16",
)  # fmt: skip
_MOST_NESTED = 16  # graphs in graphs; more is no model but an attack on the stack
_EXTERNAL = 1  # TensorProto.DataLocation


class OnnxGraphError(ValueError):
    """The file is damaged, or is none. The text completes a sentence: "it is damaged: ..."."""


@dataclass(frozen=True)
class OnnxValue:
    """An input, an output or a weight.

    Attributes:
        name: Its name, which is unique in its graph.
        type: "float32", "int64", ...
        shape: Its shape, a name or "" where a dimension is dynamic; None where the file does not say.
    """

    name: str
    type: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class OnnxGraph:
    """A .onnx file taken apart.

    Attributes:
        ir_version: Version of the file format.
        opsets: Domain -> version of its operators; "" is the domain of ONNX itself.
        inputs: What must be given; weights are not among them.
        outputs: What it answers.
        operators: (domain, type) of all operators, those in branches and loops and in functions of the file among them.
        functions: (domain, type) of the functions that the file itself defines.
        weights: The constants of the outermost graph.
        external: Some weights stand in another file.
    """

    ir_version: int
    opsets: dict[str, int]
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    operators: frozenset[tuple[str, str]]
    functions: frozenset[tuple[str, str]]
    weights: tuple[OnnxValue, ...]
    external: bool


def read_onnx_graph(payload: bytes) -> OnnxGraph:
    """Take a .onnx file apart.

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
    tensors = graph.messages(5)
    weights = tuple(OnnxValue(t.text(8), _type_name(t.number(2)), tuple(t.numbers(1))) for t in tensors)
    constants = {weight.name for weight in weights}
    return OnnxGraph(
        ir_version=model.number(1),
        opsets={_domain(entry.text(1)): entry.number(2) for entry in model.messages(8)},
        inputs=tuple(value for value in map(_read_value, graph.messages(11)) if value.name not in constants),
        outputs=tuple(map(_read_value, graph.messages(12))),
        operators=frozenset((_domain(node.text(7)), node.text(4)) for node in nodes),
        functions=frozenset((_domain(function.text(10)), function.text(1)) for function in functions),
        weights=weights,
        external=any(tensor.number(14) == _EXTERNAL for tensor in tensors),
    )


def _all_nodes(body: Message, field: int, depth: int = 0) -> list[Message]:
    """Return the nodes in the fields `field` of a graph or function, and those of the graphs in their attributes."""
    if depth > _MOST_NESTED:
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


def _read_value(value: Message) -> OnnxValue:
    for type in value.messages(2):
        for tensor in type.messages(1):
            shapes = [tuple(map(_read_dimension, shape.messages(1))) for shape in tensor.messages(2)]
            return OnnxValue(value.text(1), _type_name(tensor.number(1)), shapes[-1] if shapes else None)
    return OnnxValue(value.text(1), "not a tensor", None)


def _read_dimension(dimension: Message) -> int | str:
    sizes = dimension.numbers(1)
    return sizes[-1] if sizes else dimension.text(2)


def _type_name(number: int) -> str:
    return TYPES[number] if 0 <= number < len(TYPES) else f"type {number}"


def _domain(name: str) -> str:
    """Return the name of a domain; "ai.onnx" is another one for ""."""
    return "" if name == "ai.onnx" else name
