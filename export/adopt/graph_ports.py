"""The inputs and outputs of a graph that stepcell did not make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...runtime.common.errors import AdoptionError
from ...runtime.common.run_worker import WorkerProcess
from ...runtime.doctor.compatibility import file_incompatibilities
from ...runtime.doctor.diagnosis import is_installed
from ...runtime.format.flatbuffer import FlatbufferError
from ...runtime.format.io_mapping import TENSOR_TYPES, TensorSpec
from ...runtime.format.model_file import ONNX, TFLITE
from ...runtime.format.onnx_graph import OnnxGraph, OnnxGraphError, OnnxValue, read_onnx_graph
from ...runtime.format.tflite_graph import Tensor, TfliteGraph, likely_signature, read_tflite_graph, tensors_of
from ...runtime.interpreters.mapped_backend import constant_of
from ...runtime.interpreters.registry import drop_numpy_fallback, interpreters_for
from ...runtime.worker.messages import pack_arrays

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class GraphPorts:
    """A graph as it is seen from outside.

    Attributes:
        graph: The graph.
        signature: Whose names these are; "": those of the tensors.
        inputs: Name -> port; an open dimension counts as 1, unless its size was given.
        outputs: Name -> port; its shape is () where the file does not say.
        open: Name of an input of which a dimension beside the first is open and was not given -> its shape in words.
    """

    graph: TfliteGraph | OnnxGraph
    signature: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    open: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """Return inputs and outputs in a few words."""
        return (
            f"inputs: {', '.join(port.describe() for port in self.inputs.values())}; "
            f"outputs: {', '.join(port.describe() for port in self.outputs.values())}"
        )


def read_ports(
    payload: bytes, format: str, name: str, signature: str | None = None, shapes: Shapes | None = None
) -> GraphPorts:
    """Read the inputs and outputs of a graph.

    Args:
        payload: The bytes of the file.
        format: "tflite" or "onnx".
        name: Its name, for messages.
        signature: Which TFLite signature; None: `step`, `serving_default`, or the only one.
        shapes: Name of an input -> its whole shape, where the file leaves a dimension open.

    Raises:
        AdoptionError: The graph cannot be read, needs operators that no device has, hides its state, has no such
            signature, or inputs of other shapes.
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
    return _with_shapes(ports, shapes or {}, name)


def with_output_shapes(
    ports: GraphPorts, path: Path, constants: Mapping[str, tuple[float, ...]], worker: WorkerProcess
) -> GraphPorts:
    """Return a graph with the shapes that its outputs have in a run, where the file leaves them open.

    Args:
        ports: The graph.
        path: Its file.
        constants: Name of an input -> its numbers; all others are zeros.
        worker: The process to run it in. If the run fails, the shapes stay as they are.
    """
    if not _has_open_outputs(ports):
        return ports
    format = ONNX if isinstance(ports.graph, OnnxGraph) else TFLITE
    fed = {
        name: constant_of(port, value if len(value := constants.get(name, (0.0,))) == port.size else value[0])
        for name, port in ports.inputs.items()
        if port.dtype in TENSOR_TYPES
    }
    for backend in drop_numpy_fallback(each for each in interpreters_for(format) if is_installed(each)):
        found = worker.request(
            "run_once", pack_arrays(fed), model=str(path), backend=backend, signature=ports.signature
        )
        if found.failure is None:
            shapes = {name: tuple(shape) for name, shape in found.value.items()}
            outputs = {name: replace(port, shape=shapes.get(name, port.shape)) for name, port in ports.outputs.items()}
            return replace(ports, outputs=outputs)
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
    sources, targets = (
        {name: _tflite_port(name, tensors[index]) for name, index in side.items()} for side in (inputs, outputs)
    )
    left_open = {
        name: _in_words(tensors[index].dynamic) for name, index in inputs.items() if -1 in tensors[index].dynamic[1:]
    }
    return GraphPorts(graph, signature, sources, targets, left_open)


def _tflite_port(name: str, tensor: Tensor) -> TensorSpec:
    quantised = tensor.type not in ("float32", "float16") and len(tensor.scales) == 1 and tensor.scales[0] != 0
    scale, zero_point = (
        (tensor.scales[0], tensor.zero_points[0] if tensor.zero_points else 0) if quantised else (0.0, 0)
    )
    return TensorSpec(name, tensor.type, tensor.shape, float(scale), zero_point)


def _onnx_ports(payload: bytes) -> GraphPorts:
    graph = read_onnx_graph(payload)
    inputs = {value.name: TensorSpec(value.name, value.type, _shape(value)) for value in graph.inputs}
    outputs = {
        value.name: TensorSpec(
            value.name, value.type, _shape(value) if value.shape and type(value.shape[-1]) is int else ()
        )
        for value in graph.outputs
    }
    left_open = {
        value.name: _in_words(value.shape or ())
        for value in graph.inputs
        if not all(map(_is_known, (value.shape or ())[1:]))
    }
    return GraphPorts(graph, "", inputs, outputs, left_open)


def _in_words(shape: Sequence[int | str]) -> str:
    """Return a shape with 1 for the batch and N for other open dimensions."""
    return ",".join(str(size) if _is_known(size) else "N" if place else "1" for place, size in enumerate(shape))


def _with_shapes(ports: GraphPorts, shapes: Shapes, name: str) -> GraphPorts:
    """Set the shapes of inputs that were given; they fit the dimensions that the file knows."""
    problems, inputs = [], dict(ports.inputs)
    for input, shape in shapes.items():
        if input not in inputs:
            problems.append(f"it has no input {input!r}, whose shape is given")
            continue
        known = _known_dimensions(ports, input)
        if known is not None and not (
            len(known) == len(shape) and all(a in (None, b) for a, b in zip(known, shape, strict=True))
        ):
            wanted = ",".join("?" if size is None else str(size) for size in known)
            problems.append(
                f"its input {input} has the shape {wanted or 'of one number'}, not {','.join(map(str, shape))}"
            )
        inputs[input] = replace(inputs[input], shape=shape)
    if problems:
        raise adoption_error(name, problems)
    return replace(ports, inputs=inputs, open={name: text for name, text in ports.open.items() if name not in shapes})


def _known_dimensions(ports: GraphPorts, input: str) -> list[int | None] | None:
    """Return the sizes of the dimensions of an input, None for an open one; None: their number is not known."""
    if isinstance(ports.graph, OnnxGraph):
        shape = next(value.shape for value in ports.graph.inputs if value.name == input)
        return None if shape is None else [size if _is_known(size) else None for size in shape]  # type: ignore[misc]
    subgraph, inputs, _ = tensors_of(ports.graph, ports.signature)
    return [None if size < 0 else size for size in ports.graph.subgraphs[subgraph].tensors[inputs[input]].dynamic]


def _has_open_outputs(ports: GraphPorts) -> bool:
    if isinstance(ports.graph, OnnxGraph):
        return any(value.shape is None or not all(map(_is_known, value.shape)) for value in ports.graph.outputs)
    subgraph, _, outputs = tensors_of(ports.graph, ports.signature)
    return any(-1 in ports.graph.subgraphs[subgraph].tensors[index].dynamic for index in outputs.values())


def _is_known(size: int | str) -> bool:
    return isinstance(size, int) and size > 0


def _shape(value: OnnxValue) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) and size > 0 else 1 for size in value.shape or ())


def adoption_error(name: str, problems: list[str]) -> AdoptionError:
    """Return the error that lists all `problems` of the file `name`."""
    listed = [f"  - {problem}" for problem in problems]
    return AdoptionError("\n".join([f"{name} cannot be adopted:", *listed, "Nothing was written."]))
