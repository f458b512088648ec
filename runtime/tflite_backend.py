"""The TFLite interpreters: tflite-runtime and ai-edge-litert have one API.

The hot path writes straight into the interpreter's tensors and calls the Invoke of its C++ wrapper: a step costs
about a quarter of a microsecond more than Invoke alone, against 2.5 for set_tensor/invoke/get_tensor. The wrapper is
not a public API; where it is missing the public signature runner does the same work, slower.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from .arrays import AnyArray, Float32, Ids
from .backend import Backend, State, absorb_by_steps
from .errors import BackendError, DamagedFileError
from .manifest import Manifest
from .model_file import ModelFile
from .ports import SYMBOL
from .wired_backend import WiredBackend
from .wired_runners import tflite_runner

_MODULES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
_STEP, _ABSORB = "step", "absorb"


def open_backend(name: str, file: ModelFile, *, public: bool = False) -> Backend:
    """Load `file` into the interpreter `name`, "litert" or "tflite".

    Args:
        name: Which interpreter.
        file: A verified .tflite file.
        public: Use the public API alone, even where the wrapper can be reached.

    Raises:
        ImportError: The interpreter is not installed.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    interpreter = open_interpreter(name, file.payload)
    if file.manifest.wiring is not None:
        return WiredBackend(tflite_runner(interpreter, file), file.manifest)
    _check_signatures(interpreter, file)
    wrapper = getattr(interpreter, "_interpreter", None)
    needed = ("Invoke", "tensor", "AllocateTensors", "GetSubgraphIndexFromSignature")
    reachable = hasattr(interpreter, "_get_full_signature_list") and all(hasattr(wrapper, entry) for entry in needed)
    # tflite-runtime 2.14 runs XNNPACK in `step` alone: there `absorb` takes 1.4 to 1.7 times as long as stepping, and
    # rounds differently. With float16 weights both interpreters turn all of them to float32 anew at each symbol.
    absorbs = name != "tflite" and file.manifest.quantization != "float16" and not file.manifest.features
    if public or not reachable:
        return SignatureRunnerBackend(interpreter, file.manifest, absorbs=absorbs)
    return HeldMemoryBackend(interpreter, wrapper, file.manifest, absorbs=absorbs)


def open_interpreter(name: str, payload: bytes) -> Any:
    """Return the interpreter `name` with the graph `payload`, its tensors allocated."""
    module = import_module(_MODULES[name])
    # One thread: at one symbol a step a second thread costs 25 to 500 times more than it brings.
    interpreter = module.Interpreter(model_content=payload, num_threads=1)
    interpreter.allocate_tensors()  # before any signature runner: their answers differ otherwise
    return interpreter


def _check_signatures(interpreter: Any, file: ModelFile) -> None:
    """Compare the graph's names, dtypes and shapes with the manifest before anything is written into it."""
    inputs, outputs = file.manifest.graph_inputs(), file.manifest.graph_outputs()
    expected: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {_STEP: (inputs, outputs)}
    if not file.manifest.features:  # those are stepped
        expected[_ABSORB] = ({"symbols" if name == SYMBOL else name: kind for name, kind in inputs.items()}, outputs)
    found = interpreter.get_signature_list()
    for signature, sides in expected.items():
        if signature not in found:
            raise DamagedFileError(f"{file.name} has no signature {signature!r}. Export the model again.")
        runner = interpreter.get_signature_runner(signature)
        for details, wanted in zip((runner.get_input_details(), runner.get_output_details()), sides, strict=True):
            # The first dimension is the batch, or the time steps of `symbols`.
            actual = {n: (d["dtype"], tuple(int(size) for size in d["shape"][1:])) for n, d in details.items()}
            unknown_yet = signature == _ABSORB and wanted is outputs  # shapes that only running it tells
            if actual.keys() != wanted.keys() or (actual != wanted and not unknown_yet):
                raise DamagedFileError(
                    f"{file.name} is not as its manifest says: signature {signature!r} has {actual}, "
                    f"the manifest promises {wanted}. Export the model again."
                )


class HeldMemoryBackend:
    """Steps through memory that the interpreter owns and this object holds."""

    def __init__(self, interpreter: Any, wrapper: Any, manifest: Manifest, *, absorbs: bool) -> None:
        """Take hold of the tensors of the signature `step`. The resident state is the initial one.

        Args:
            interpreter: An allocated interpreter.
            wrapper: Its C++ wrapper.
            manifest: The manifest of the file in it.
            absorbs: The signature `absorb` is worth using.
        """
        self._interpreter = interpreter
        self._absorbs = absorbs
        self._wrapper = wrapper
        self._subgraph = wrapper.GetSubgraphIndexFromSignature(_STEP)
        wrapper.AllocateTensors(self._subgraph)
        signature = interpreter._get_full_signature_list()[_STEP]
        self._indices = {**signature["inputs"], **signature["outputs"]}
        self._tensors = {
            name: wrapper.tensor(self._interpreter, i, self._subgraph) for name, i in self._indices.items()
        }
        self._addresses = self._current_addresses()
        self._names = [(tensor.name, tensor.next) for tensor in manifest.state]
        views = {name: memoryview(array.reshape(-1)) for name, array in self._tensors.items()}
        self._symbol = views.get(SYMBOL, [0])  # a model that reads features alone has none
        self._feedback = [(views[name], views[next]) for name, next in self._names]
        self._probabilities = self._tensors[manifest.answer].reshape(-1)
        self._answer = manifest.answer
        self._others = [output.name for output in manifest.others]
        self._invoke = wrapper.Invoke
        self._absorber: Any = None
        self._last: Mapping[str, AnyArray] | None = None  # the outputs of `absorb`, which has tensors of its own
        self.write_state({tensor.name: tensor.initial_value() for tensor in manifest.state})

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        _copy_all(self._feedback)

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        self._last = None
        self._symbol[0] = id
        self._invoke(self._subgraph)

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """See `Backend.write_features`."""
        for name, array in features.items():
            self._tensors[name][...] = array

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        if not self._absorbs:
            absorb_by_steps(self, ids)
            return
        if self._absorber is None:
            self._absorber = self._interpreter.get_signature_runner(_ABSORB)
        outputs = self._absorber(symbols=ids, **{name: self._tensors[name] for name, _ in self._names})
        if self._current_addresses() != self._addresses:
            raise BackendError("The interpreter moved the tensors of `step` while it ran `absorb`.")
        _copy_all([(self._tensors[name], outputs[next]) for name, next in self._names])
        self._last = outputs

    def probabilities(self) -> Float32:
        """See `Backend.probabilities`."""
        return (self._probabilities if self._last is None else self._last[self._answer].reshape(-1)).copy()

    def others(self) -> dict[str, Float32]:
        """See `Backend.others`."""
        outputs = self._tensors if self._last is None else self._last
        return {name: outputs[name].reshape(-1).copy() for name in self._others}

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: self._tensors[name].copy() for name, _ in self._names}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        for name, _ in self._names:
            self._tensors[name][...] = state[name]

    def _current_addresses(self) -> list[int]:
        tensors = (self._wrapper.tensor(self._interpreter, i, self._subgraph) for i in self._indices.values())
        return [tensor.__array_interface__["data"][0] for tensor in tensors]


def _copy_all(pairs: list[tuple[Any, Any]]) -> None:
    """Copy each source of (target, source) pairs to its target, all of them even if Ctrl-C arrives on the way."""
    try:
        for target, source in pairs:
            target[:] = source
    except BaseException:  # a state of which half has moved would be wrong for ever
        for target, source in pairs:
            target[:] = source
        raise


class SignatureRunnerBackend:
    """Steps through the public signature runners; the resident state is plain numpy arrays."""

    def __init__(self, interpreter: Any, manifest: Manifest, *, absorbs: bool) -> None:
        """Make the two runners; arguments as for `HeldMemoryBackend`. The resident state is the initial one."""
        self._step = interpreter.get_signature_runner(_STEP)
        self._absorb = interpreter.get_signature_runner(_ABSORB) if absorbs else None
        self._symbol = SYMBOL if len(manifest.vocabulary) else None
        self._features: dict[str, AnyArray] = {}
        self._answer, self._others = manifest.answer, [output.name for output in manifest.others]
        self._names = [(tensor.name, tensor.next) for tensor in manifest.state]
        self._state = {tensor.name: tensor.initial_value() for tensor in manifest.state}
        self._outputs: dict[str, Float32] = {}

    def step(self, id: int) -> None:
        """See `Backend.step`."""
        self.peek(id)
        self._feed_back()

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        symbol = {} if self._symbol is None else {self._symbol: np.array([id], np.int32)}
        self._outputs = self._step(**symbol, **self._features, **self._state)

    def write_features(self, features: Mapping[str, AnyArray]) -> None:
        """See `Backend.write_features`."""
        self._features = {name: array[np.newaxis].copy() for name, array in features.items()}

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        if self._absorb is None:
            absorb_by_steps(self, ids)
            return
        self._outputs = self._absorb(symbols=ids, **self._state)
        self._feed_back()

    def probabilities(self) -> Float32:
        """See `Backend.probabilities`."""
        return self._outputs[self._answer].reshape(-1).copy()

    def others(self) -> dict[str, Float32]:
        """See `Backend.others`."""
        return {name: self._outputs[name].reshape(-1).copy() for name in self._others}

    def read_state(self) -> dict[str, Float32]:
        """See `Backend.read_state`."""
        return {name: array.copy() for name, array in self._state.items()}

    def write_state(self, state: State) -> None:
        """See `Backend.write_state`."""
        self._state = {name: np.array(state[name], np.float32) for name, _ in self._names}

    def _feed_back(self) -> None:
        self._state = {name: self._outputs[next] for name, next in self._names}
