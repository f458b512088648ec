"""Functions that run a graph which stepcell did not make, by the names of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import DamagedFileError
from ..format.io_mapping import INTEGER_TYPES, IOMapping, TensorSpec
from ..format.model_file import ModelFile
from ..format.tflite_graph import read_tflite_graph, tensors_of

# Name of an input -> array of its shape, to name of an output -> array; the arrays that come out are the caller's.
Runner = Callable[[Mapping[str, AnyArray]], Mapping[str, AnyArray]]

_ONNX_TYPES = {"tensor(float)": "float32", **{f"tensor({name})": name for name in INTEGER_TYPES}}


def tflite_runner(interpreter: Any, file: ModelFile) -> Runner:
    """Return the function that runs an allocated TFLite interpreter.

    Raises:
        DamagedFileError: The graph does not have the ports that the manifest names.
    """
    mapping = io_mapping_of(file)
    graph = read_tflite_graph(file.payload)
    subgraph, inputs, outputs = tensors_of(graph, mapping.signature)
    tensors = graph.subgraphs[subgraph].tensors
    for ports, indices in ((mapping.inputs, inputs), (mapping.read_outputs, outputs)):
        found = {name: (tensors[index].type, tensors[index].dynamic) for name, index in indices.items()}
        require_ports(ports, found, file)
    if set(inputs) != {port.name for port in mapping.inputs}:
        raise DamagedFileError(f"{file.name} is not as its manifest says: the graph has the inputs {sorted(inputs)}.")
    resized = [port for port in mapping.inputs if port.shape != tensors[inputs[port.name]].shape]
    if subgraph:  # a plain invoke() runs the first one alone
        if resized:
            names = ", ".join(port.describe() for port in resized)
            raise DamagedFileError(f"{file.name} has other shapes in its signature {mapping.signature!r} than {names}.")
        runner = interpreter.get_signature_runner(mapping.signature)
        return lambda feed: dict(runner(**feed))
    for port in resized:
        interpreter.resize_tensor_input(inputs[port.name], port.shape)
    if resized:
        interpreter.allocate_tensors()
    wanted = {port.name: outputs[port.name] for port in mapping.read_outputs}

    def run(feed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        for name, array in feed.items():
            interpreter.set_tensor(inputs[name], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in wanted.items()}

    return run


def onnx_runner(session: Any, file: ModelFile) -> Runner:
    """Return the function that runs an onnxruntime session. Raises as `tflite_runner` does."""
    mapping = io_mapping_of(file)
    for ports, nodes in ((mapping.inputs, session.get_inputs()), (mapping.read_outputs, session.get_outputs())):
        found = {node.name: (_ONNX_TYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}
        require_ports(ports, found, file)
    wanted = list(dict.fromkeys(port.name for port in mapping.read_outputs))

    def run(feed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        return dict(zip(wanted, map(np.asarray, session.run(wanted, dict(feed))), strict=True))

    return run


def io_mapping_of(file: ModelFile) -> IOMapping:
    """Return the mapping of a file that has one."""
    assert file.manifest.io_mapping is not None, "files without a mapping have backends of their own"
    return file.manifest.io_mapping


def require_ports(ports: Sequence[TensorSpec], found: Mapping[str, tuple[str, Sequence[Any]]], file: ModelFile) -> None:
    """Compare ports with what the graph has; a dimension that it leaves open fits anything."""
    for port in ports:
        dtype, shape = found.get(port.name, ("", ()))
        known = [size if isinstance(size, int) and size > 0 else None for size in shape]
        fits = not known or (
            len(known) == len(port.shape) and all(a in (None, b) for a, b in zip(known, port.shape, strict=True))
        )
        if dtype != port.dtype or not fits:
            raise DamagedFileError(
                f"{file.name} is not as its manifest says: the graph has {dict(found)}, the manifest promises "
                f"{port.describe()}. Adopt the file again."
            )
