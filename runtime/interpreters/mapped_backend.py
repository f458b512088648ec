"""Graphs that stepcell did not make, stepped through the mapping in their manifest.

The state is plain numpy arrays, fed in and read out at every step: about twice the time of a file of stepcell's own,
whose state stays in the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Float32
from ..common.errors import DamagedFileError
from ..format.io_mapping import IOMapping, TensorSpec
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tflite_graph import read_tflite_graph, tensors_of
from .base import ArrayBackend, initial_state
from .finite import require_finite

# Name of an input -> array of its shape, to name of an output -> array; the arrays that come out are the caller's.
Runner = Callable[[Mapping[str, AnyArray]], Mapping[str, AnyArray]]


class MappedBackend(ArrayBackend):
    """A graph behind a function, with its state beside it."""

    def __init__(self, run: Runner, manifest: Manifest, *, shared: object = None) -> None:
        """Feed `run` by the mapping of `manifest`. The resident state is the initial one."""
        assert manifest.io_mapping is not None, "files without a mapping have backends of their own"
        self._mapping: IOMapping = manifest.io_mapping
        # A graph with such a mapping reads no features, and the mapping names one output.
        super().__init__(manifest, np.zeros(self._mapping.output.size, np.float32), {}, {})
        self.shared = shared
        self._run = run
        self._symbol = np.zeros(self._mapping.symbol.shape, self._mapping.symbol.dtype)
        self._one_hot = self._mapping.symbol.dtype == "float32"
        self.write_state(initial_state(manifest.state))

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        if self._one_hot:
            self._symbol[...] = 0
            self._symbol.reshape(-1)[id] = 1
        else:
            self._symbol[...] = id
        mapping = self._mapping
        inputs = {source.name: self._state[name].reshape(source.shape) for name, (source, _) in mapping.state.items()}
        outputs = self._run({mapping.symbol.name: self._symbol, **inputs})
        following = {
            name: np.asarray(outputs[target.name], np.float32).reshape(self._state[name].shape)
            for name, (_, target) in mapping.state.items()
        }
        answer: Float32 = np.asarray(outputs[mapping.output.name], np.float32).reshape(mapping.output.size)
        self._answer[...] = softmax(answer) if mapping.logits else answer
        self._next = following
        require_finite([self._answer, *following.values()], self.manifest)


def softmax(logits: Float32) -> Float32:
    """Return the softmax of one answer, shape (K,)."""
    with np.errstate(invalid="ignore"):  # `require_finite` raises after it
        powers = np.exp(logits - logits.max())
        answer: Float32 = powers / powers.sum()
    return answer


_ONNX_TYPES = {"tensor(float)": "float32", "tensor(int32)": "int32", "tensor(int64)": "int64"}


def tflite_runner(interpreter: Any, file: ModelFile) -> Runner:
    """Return the function that runs an allocated TFLite interpreter.

    Raises:
        DamagedFileError: The graph does not have the ports that the manifest names.
    """
    mapping = io_mapping_of(file)
    graph = read_tflite_graph(file.payload)
    subgraph, inputs, outputs = tensors_of(graph, mapping.signature)
    tensors = graph.subgraphs[subgraph].tensors
    for ports, indices in ((mapping.inputs, inputs), (mapping.outputs, outputs)):
        found = {name: (tensors[index].type, tensors[index].shape) for name, index in indices.items()}
        require_ports(ports, found, file)
    if set(inputs) != {port.name for port in mapping.inputs}:
        raise DamagedFileError(f"{file.name} is not as its manifest says: the graph has the inputs {sorted(inputs)}.")
    if subgraph:  # a plain invoke() runs the first one alone
        runner = interpreter.get_signature_runner(mapping.signature)
        return lambda feed: dict(runner(**feed))
    wanted = {port.name: outputs[port.name] for port in mapping.outputs}

    def run(feed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        for name, array in feed.items():
            interpreter.set_tensor(inputs[name], array)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in wanted.items()}

    return run


def onnx_runner(session: Any, file: ModelFile) -> Runner:
    """Return the function that runs an onnxruntime session. Raises as `tflite_runner` does."""
    mapping = io_mapping_of(file)
    for ports, nodes in ((mapping.inputs, session.get_inputs()), (mapping.outputs, session.get_outputs())):
        found = {node.name: (_ONNX_TYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes}
        require_ports(ports, found, file)
    wanted = list(dict.fromkeys(port.name for port in mapping.outputs))

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
