"""The TFLite interpreters: tflite-runtime and ai-edge-litert have one API.

The hot path writes straight into the interpreter's tensors and calls the Invoke of its C++ wrapper: a step costs
about a quarter of a microsecond more than Invoke alone, against 2.5 for set_tensor/invoke/get_tensor. The wrapper is
not a public API; where it is missing the public signature runner does the same work, slower.
"""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import Any

import numpy as np

from ..common.errors import DamagedFileError
from ..common.terminal import silence_stderr
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import STEP, SYMBOL
from .base import ArrayBackend, Backend, initial_state
from .finite import require_finite
from .graph_runners import tflite_runner
from .in_place import InPlaceBackend
from .mapped_backend import MappedBackend
from .tflite_signature import SignatureView, open_view

_MODULES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
_OPENED: set[str] = set()  # interpreters that this process has opened


def open_backend(name: str, file: ModelFile, shared: object = None, public: bool = False) -> Backend:
    """Load `file` into the interpreter `name`, "litert" or "tflite".

    Args:
        name: Which interpreter.
        file: A verified .tflite file.
        shared: That of another backend, which has compared the signature of the file with its manifest.
        public: Use the public API alone, even where the wrapper can be reached.

    Raises:
        ImportError: The interpreter is not installed.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    interpreter = open_interpreter(name, file.payload)
    if file.manifest.io_mapping is not None:
        return MappedBackend(tflite_runner(interpreter, file), file.manifest)
    if shared is None:  # to look at the signature allocates its tensors
        _check_signature(interpreter, file)
    view = None if public else open_view(interpreter, STEP)
    if view is None:
        return SignatureRunnerBackend(interpreter, file.manifest)
    return TfliteBackend(view, file.manifest)


def open_interpreter(name: str, payload: bytes) -> Any:
    """Return the interpreter `name` with the graph `payload`, its tensors allocated."""
    module = import_module(_MODULES[name])
    # One thread: at one symbol a step a second thread costs 25 to 500 times more than it brings.
    with nullcontext() if name in _OPENED else silence_stderr():  # the first one says that it uses a delegate
        _OPENED.add(name)
        interpreter = module.Interpreter(model_content=payload, num_threads=1)
        interpreter.allocate_tensors()  # before any signature runner: their answers differ otherwise
    return interpreter


def _check_signature(interpreter: Any, file: ModelFile) -> None:
    """Compare the graph's names, dtypes and shapes with the manifest before anything is written into it."""
    if file.manifest.sequence:
        raise DamagedFileError(f"{file.name} says that it holds a graph of sequences, which .tflite files never do.")
    if STEP not in interpreter.get_signature_list():
        raise DamagedFileError(f"{file.name} has no signature {STEP!r}. Export the model again.")
    runner = interpreter.get_signature_runner(STEP)
    for details, wanted in (
        (runner.get_input_details(), file.manifest.graph_inputs()),
        (runner.get_output_details(), file.manifest.graph_outputs()),
    ):
        # The first dimension is the batch.
        actual = {n: (d["dtype"], tuple(int(size) for size in d["shape"][1:])) for n, d in details.items()}
        if actual != wanted:
            raise DamagedFileError(
                f"{file.name} is not as its manifest says: signature {STEP!r} has {actual}, "
                f"the manifest promises {wanted}. Export the model again."
            )


class TfliteBackend(InPlaceBackend):
    """Steps through memory that the interpreter owns and this object holds.

    Attributes:
        view: The signature that is stepped.
    """

    shared = True  # the signature has been compared with the manifest

    def __init__(self, view: SignatureView, manifest: Manifest) -> None:
        """Take the tensors of `step`. The resident state is the initial one."""
        self.view = view
        moving = [(tensor.name, tensor.next) for tensor in manifest.state if not tensor.given]
        super().__init__(view.call, view.tensors, view.feedback(moving), manifest)


class SignatureRunnerBackend(ArrayBackend):
    """Steps through the public signature runner, for versions whose private methods differ."""

    def __init__(self, interpreter: Any, manifest: Manifest) -> None:
        """Make the runner. The resident state is the initial one."""
        super().__init__(
            manifest,
            np.zeros(manifest.output_size, np.float32),
            {feature.name: np.zeros((1, *feature.shape), feature.dtype) for feature in manifest.features},
            {output.name: np.zeros(output.size, np.float32) for output in manifest.extra_outputs},
        )
        self._step = interpreter.get_signature_runner(STEP)
        self._has_symbol = len(manifest.vocabulary) > 0
        self._names = [(tensor.name, tensor.next) for tensor in manifest.state]
        self._kept = [(manifest.answer, self._answer), *self._extra_outputs.items()]
        self.write_state(initial_state(manifest.state))

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        symbol = {SYMBOL: np.array([id], np.int32)} if self._has_symbol else {}
        outputs = self._step(**symbol, **self._features, **self._state)
        require_finite(outputs.values(), self.manifest)
        for name, array in self._kept:
            array[...] = outputs[name][0]
        self._next = {name: outputs[next] for name, next in self._names}
