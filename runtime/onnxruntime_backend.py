"""ONNX Runtime, stepped through io-binding over memory that this backend owns.

Each state tensor has two buffers. A step reads one and writes the other, then they change places: nothing is copied,
and a step that fails has written only to the buffer that does not count.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from .arrays import AnyArray, Float32, Ids
from .backend import Backend, State, absorb_by_steps, initial_state
from .errors import DamagedFileError
from .manifest import Manifest
from .model_file import ModelFile
from .ports import SYMBOL
from .wired_backend import WiredBackend
from .wired_runners import onnx_runner

_ONNX_TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
_ERRORS_ONLY = 3  # log severity


def open_backend(name: str, file: ModelFile) -> Backend:
    """Load the verified .onnx `file`; `name` is "onnxruntime".

    Raises:
        ImportError: onnxruntime is not installed.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    session = open_interpreter(name, file.payload)
    if file.manifest.wiring is not None:
        return WiredBackend(onnx_runner(session, file), file.manifest)
    _check_graph(session, file)
    return OnnxRuntimeBackend(session, file.manifest)


def open_interpreter(name: str, payload: bytes) -> Any:
    """Return a session for the graph `payload`; `name` is "onnxruntime"."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # as in the TFLite backend
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])


def _check_graph(session: Any, file: ModelFile) -> None:
    """Compare the graph's names, dtypes and shapes with the manifest before anything is bound to it."""
    wanted = (file.manifest.graph_inputs(), file.manifest.graph_outputs())
    for nodes, expected in zip((session.get_inputs(), session.get_outputs()), wanted, strict=True):
        found = {node.name: (_ONNX_TYPES.get(node.type), tuple(node.shape[1:])) for node in nodes}
        if found != expected:
            raise DamagedFileError(
                f"{file.name} is not as its manifest says: the graph has {found}, the manifest promises {expected}. "
                "Export the model again."
            )


class OnnxRuntimeBackend:
    """One session with two sets of state buffers, and a binding for each direction between them."""

    def __init__(self, session: Any, manifest: Manifest) -> None:
        """Allocate the buffers and bind them. The resident state is the initial one."""
        self._session = session
        self._symbol = np.zeros(1, np.int32)
        states = {tensor.name for tensor in manifest.state} | {tensor.next for tensor in manifest.state}
        inputs = _buffers(manifest.graph_inputs(), states)
        outputs = _buffers(manifest.graph_outputs(), states)
        inputs.update({SYMBOL: self._symbol} if SYMBOL in inputs else {})
        self._features = {feature.name: inputs[feature.name] for feature in manifest.features}
        self._inputs, self._outputs = inputs, outputs
        self._probabilities = outputs[manifest.answer]
        self._buffers = [initial_state(manifest.state) for _ in range(2)]
        self._bindings = [self._bind(manifest, *self._buffers), self._bind(manifest, *reversed(self._buffers))]
        self._side = 0  # which buffers hold the resident state; one assignment moves it, so nothing can tear it

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._side = 1 - self._side

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self._symbol[0] = id
        self._session.run_with_iobinding(self._bindings[self._side])

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """See `Backend.write_features`."""
        for name, array in features.items():
            self._features[name][...] = array

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`; an ONNX file holds the graph of one step."""
        absorb_by_steps(self, ids)

    def probabilities(self) -> Float32:
        """See `Backend.probabilities`."""
        return self._probabilities.reshape(-1).copy()

    def others(self) -> dict[str, Float32]:
        """See `Backend.others`."""
        return {n: a.reshape(-1).copy() for n, a in self._outputs.items() if a is not self._probabilities}

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.copy() for name, array in self._buffers[self._side].items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        for name, array in self._buffers[self._side].items():
            array[...] = state[name]

    def _bind(self, manifest: Manifest, source: State, target: State) -> Any:
        binding = self._session.io_binding()
        inputs = {**self._inputs, **source}
        outputs = {**self._outputs, **{t.next: target[t.name] for t in manifest.state}}
        for bind, arrays in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, array in arrays.items():
                bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding


def _buffers(side: Mapping[str, tuple[type, tuple[int, ...]]], but: Collection[str]) -> dict[str, AnyArray]:
    """Return memory for one side of the graph, without the tensors named in `but`."""
    return {name: np.zeros((1, *shape), dtype) for name, (dtype, shape) in side.items() if name not in but}
