"""Interpreters as functions from named arrays to named arrays, for graphs that stepcell did not make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import AnyArray
from .errors import DamagedFileError
from .model_file import ModelFile
from .tflite_graph import read_tflite_graph
from .tflite_interface import tensors_of
from .wired_backend import Runner
from .wiring import Port, Wiring

_ONNX_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}


def tflite_runner(interpreter: Any, file: ModelFile) -> Runner:
    """Return the function that runs an allocated TFLite interpreter.

    Raises:
        DamagedFileError: The graph does not have the ports that the manifest names.
    """
    wiring = wiring_of(file)
    graph = read_tflite_graph(file.payload)
    subgraph, inputs, outputs = tensors_of(graph, wiring.signature)
    tensors = graph.subgraphs[subgraph].tensors
    for ports, indices in ((wiring.inputs, inputs), (wiring.outputs, outputs)):
        found = {name: (tensors[index].type, tensors[index].shape) for name, index in indices.items()}
        require_ports(ports, found, file)
    if set(inputs) != {port.name for port in wiring.inputs}:
        raise DamagedFileError(f"{file.name} is not as its manifest says: the graph has the inputs {sorted(inputs)}.")
    if subgraph:  # a plain invoke() runs the first one alone
        runner = interpreter.get_signature_runner(wiring.signature)
        return lambda feed: dict(runner(**feed))
    wanted = {port.name: outputs[port.name] for port in wiring.outputs}

    def run(feed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        for name, array in feed.items():
            interpreter.set_tensor(inputs[name], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in wanted.items()}

    return run


def onnx_runner(session: Any, file: ModelFile) -> Runner:
    """Return the function that runs an onnxruntime session. Raises as `tflite_runner` does."""
    wiring = wiring_of(file)
    for ports, nodes in ((wiring.inputs, session.get_inputs()), (wiring.outputs, session.get_outputs())):
        found = {node.name: (_ONNX_TYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}
        require_ports(ports, found, file)
    wanted = list(dict.fromkeys(port.name for port in wiring.outputs))

    def run(feed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        return dict(zip(wanted, map(np.asarray, session.run(wanted, dict(feed))), strict=True))

    return run


def wiring_of(file: ModelFile) -> Wiring:
    """Return the wiring of a file that has one."""
    assert file.manifest.wiring is not None, "files without wiring have backends of their own"
    return file.manifest.wiring


def require_ports(ports: Sequence[Port], found: Mapping[str, tuple[str, Sequence[Any]]], file: ModelFile) -> None:
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
