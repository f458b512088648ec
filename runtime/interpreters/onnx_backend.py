"""ONNX Runtime, stepped through io-binding over memory that this backend owns.

Each state tensor has two buffers. A step reads one and writes the other, then they change places: nothing is copied,
and a step that fails has written only to the buffer that does not count.

onnxruntime on a graph of whole sequences: many symbols in one call, or one after the other like any other file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..common.errors import DamagedFileError
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import SYMBOL
from .base import Backend, BackendBase, State, initial_state
from .finite import not_finite, outputs_to_check, require_finite, with_finite_check
from .graph_runners import onnx_runner
from .mapped_backend import MappedBackend
from .memory import BoundCall, allocate

_ONNX_TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}
_ERRORS_ONLY = 3  # log severity


def open_backend(name: str, file: ModelFile, shared: Any = None) -> Backend:
    """Load the verified .onnx `file`; `name` is "onnxruntime"; `shared` is a session that has loaded it already.

    Raises:
        ImportError: onnxruntime is not installed.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    session = open_interpreter(name, file.payload) if shared is None else shared
    if file.manifest.io_mapping is not None:
        return MappedBackend(onnx_runner(session, file), file.manifest, shared=session)
    _check_graph(session, file)
    if file.manifest.sequence:
        return OnnxSequenceBackend(session, file.manifest)
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


class OnnxRuntimeBackend(BackendBase):
    """Two sets of state buffers, and a binding of the session for each direction between them.

    The session may be shared, by threads too: everything that a step writes belongs to this object.
    """

    def __init__(self, session: Any, manifest: Manifest) -> None:
        """Allocate the buffers and bind them. The resident state is the initial one."""
        inputs, outputs, self._buffers = allocate(manifest, 1)
        super().__init__(
            manifest,
            outputs[manifest.answer].reshape(-1),
            {feature.name: inputs[feature.name] for feature in manifest.features},
            {output.name: outputs[output.name] for output in manifest.extra_outputs},
        )
        unread = np.zeros(1, np.int32)  # where a model that reads features alone is told its symbol
        self._symbol = inputs.get("symbols" if manifest.sequence else SYMBOL, unread).reshape(-1)
        self.shared = session
        self._kept = inputs
        self._calls = [
            with_finite_check(call, _written(outputs, after, manifest), manifest)
            for call, after in zip(
                bind_both_ways(session, inputs, outputs, self._buffers, manifest), self._buffers[::-1], strict=True
            )
        ]
        self._first = self._answer.data
        self._side = 0  # which buffers hold the resident state; switched by one assignment, so it is atomic
        self.write_state(initial_state(manifest.state))

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._side = 1 - self._side
        self.steps += 1

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self._symbol[0] = id
        function, arguments = self._calls[self._side]
        function(*arguments)
        if self._first[0] != self._first[0]:  # not a number
            raise not_finite(self.manifest)

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.copy() for name, array in self._buffers[self._side].items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        for name, array in self._buffers[1 - self._side].items():
            array[...] = state[name]
        self._side = 1 - self._side


def _written(outputs: Mapping[str, AnyArray], after: State, manifest: Manifest) -> list[AnyArray]:
    """Return the memory to check after a run that writes the next state to `after`."""
    memory = {**outputs, **{tensor.next: after[tensor.name] for tensor in manifest.state}}
    return [memory[name] for name in outputs_to_check(manifest)]


def bind_both_ways(
    session: Any,
    inputs: Mapping[str, AnyArray],
    outputs: Mapping[str, AnyArray],
    states: Sequence[State],
    manifest: Manifest,
) -> list[BoundCall]:
    """Return the calls that step from each of two sets of states to the other, in memory that must live as long."""
    run, calls = session.run_with_iobinding, []
    for before, after in (states, states[::-1]):
        binding = session.io_binding()
        following = {tensor.next: after[tensor.name] for tensor in manifest.state}
        sides = ((binding.bind_input, {**inputs, **before}), (binding.bind_output, {**outputs, **following}))
        for bind, arrays in sides:
            for name, array in arrays.items():
                bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        calls.append((run, (binding, None)))
    # The methods of the Python objects ask twice whether they are on a graphics card (onnxruntime 1.31): 1 of 8
    # microseconds at 50 units. So those of the objects inside are called, where there are any.
    inner = getattr(getattr(session, "_sess", None), "run_with_iobinding", None)
    held = [getattr(binding, "_iobinding", None) for _, (binding, _) in calls]
    if inner is None or None in held:
        return calls
    return [(inner, (binding, None)) for binding in held]


_MOST_AT_ONCE = 1024  # symbols in one call: a year of history must not fill the memory with its answers


class OnnxSequenceBackend(OnnxRuntimeBackend):
    """A step is a sequence of one symbol, through memory that stays bound; longer ones go through the graph at once.

    How matrices are multiplied depends on the length of a sequence, so the last digits of an answer do too.
    """

    def __init__(self, session: Any, manifest: Manifest) -> None:
        """Wrap `session`. The resident state is the initial one."""
        super().__init__(session, manifest)
        self._names = [tensor.name for tensor in manifest.state]
        self._ports = [manifest.answer, *(tensor.next for tensor in manifest.state)]

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        for _ in self._parts(ids):
            pass

    def run(self, ids: Ids) -> Float32:
        """See `Backend.run`."""
        return np.concatenate(list(self._parts(ids)))

    def _parts(self, ids: Ids) -> Iterator[Float32]:
        """Go through `ids` part by part and yield the answers to each, (T, K); the state moves at the end."""
        state: State = self.read_state()
        for first in range(0, len(ids), _MOST_AT_ONCE):
            answers, state = self._sequence(ids[first : first + _MOST_AT_ONCE], state)
            require_finite([answers, *state.values()], self.manifest)
            yield answers
        self.write_state(state)
        self._answer[:] = answers[-1]

    def _sequence(self, ids: Ids, state: State) -> tuple[Float32, dict[str, Float32]]:
        """Return the answers to `ids` from `state`, (T, K), and the state after them."""
        answers, *following = self.shared.run(self._ports, {"symbols": ids[:, None], **state})
        return answers[:, 0], dict(zip(self._names, following, strict=True))
