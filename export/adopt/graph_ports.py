"""The inputs and outputs of a graph that stepcell did not make."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.common.errors import AdoptionError
from ...runtime.doctor.compatibility import file_incompatibilities
from ...runtime.format.flatbuffer import FlatbufferError
from ...runtime.format.io_mapping import TensorSpec
from ...runtime.format.model_file import TFLITE
from ...runtime.format.onnx_graph import OnnxGraph, OnnxGraphError, OnnxValue, read_onnx_graph
from ...runtime.format.tflite_graph import TfliteGraph, likely_signature, read_tflite_graph, tensors_of


@dataclass(frozen=True)
class GraphPorts:
    """A graph as it is seen from outside.

    Attributes:
        graph: The graph.
        signature: Whose names these are; "": those of the tensors.
        inputs: Name -> port; an open dimension counts as 1.
        outputs: Name -> port; its shape is () where the file does not say.
    """

    graph: TfliteGraph | OnnxGraph
    signature: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    def describe(self) -> str:
        """Return inputs and outputs in a few words."""
        return (
            f"inputs: {', '.join(port.describe() for port in self.inputs.values())}; "
            f"outputs: {', '.join(port.describe() for port in self.outputs.values())}"
        )


def read_ports(payload: bytes, format: str, name: str, signature: str | None) -> GraphPorts:
    """Read the inputs and outputs of a graph.

    Args:
        payload: The bytes of the file.
        format: "tflite" or "onnx".
        name: Its name, for messages.
        signature: Which TFLite signature; None: `step`, `serving_default`, or the only one.

    Raises:
        AdoptionError: The graph cannot be read, needs operators that no device has, hides its state, or has no such
            signature.
    """
    try:
        ports = _tflite_ports(payload, signature) if format == TFLITE else _onnx_ports(payload)
    except (FlatbufferError, OnnxGraphError) as error:
        raise AdoptionError(f"{name} is damaged: {error}. Copy it again.") from error
    except ValueError as error:
        raise AdoptionError(f"{name} cannot be adopted: {error}.") from error
    incompatibilities = file_incompatibilities(ports.graph)
    if incompatibilities:
        raise AdoptionError(f"{name} cannot be adopted: {'; '.join(incompatibilities)}.")
    return ports


def _tflite_ports(payload: bytes, signature: str | None) -> GraphPorts:
    graph = read_tflite_graph(payload)
    names = [each.name for each in graph.signatures]
    if signature is None:
        signature = likely_signature(names)
        if signature is None:
            raise ValueError(f"it has the signatures {', '.join(names)}: say which one is a step with --signature")
    elif signature not in names:
        raise ValueError(f"it has no signature {signature!r}, but {', '.join(map(repr, names)) or 'none at all'}")
    subgraph, inputs, outputs = tensors_of(graph, signature)
    tensors = graph.subgraphs[subgraph].tensors
    sides = [
        {name: TensorSpec(name, tensors[index].type, tensors[index].shape) for name, index in side.items()}
        for side in (inputs, outputs)
    ]
    return GraphPorts(graph, signature, *sides)


def _onnx_ports(payload: bytes) -> GraphPorts:
    graph = read_onnx_graph(payload)
    inputs = {value.name: TensorSpec(value.name, value.type, _shape(value)) for value in graph.inputs}
    outputs = {
        value.name: TensorSpec(
            value.name, value.type, _shape(value) if value.shape and type(value.shape[-1]) is int else ()
        )
        for value in graph.outputs
    }
    return GraphPorts(graph, "", inputs, outputs)


def _shape(value: OnnxValue) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) and size > 0 else 1 for size in value.shape or ())


def adoption_error(name: str, problems: list[str]) -> AdoptionError:
    """Return the error that lists all `problems` of the file `name`."""
    listed = [f"  - {problem}" for problem in problems]
    return AdoptionError("\n".join([f"{name} cannot be adopted:", *listed, "Nothing was written."]))
