"""The TFLite interpreters: tflite-runtime and ai-edge-litert have one API.

The hot path writes straight into the interpreter's tensors and calls the Invoke of its C++ wrapper: a step costs
about a quarter of a microsecond more than Invoke alone, against 2.5 for set_tensor/invoke/get_tensor. The wrapper is
not a public API; where it is missing the public signature runner does the same work, slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Ids
from ..common.errors import BackendError, DamagedFileError, WrongBackendError
from ..common.terminal import silence_stderr
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import ABSORB, FINISH, LOOK_UP, PREPARE, ROW, STEP, STEP_ROW, SYMBOL
from .base import ArrayBackend, Backend, initial_state
from .finite import require_finite
from .graph_runners import tflite_runner
from .in_place import InPlaceBackend, InputCache, InputSlot
from .mapped_backend import MappedBackend
from .memory import ALL, copy_all
from .tflite_signature import SignatureView, open_view
from .two_phase_backend import TwoPhaseBackend

_WIDE = 512  # numbers in a row: four for each unit of an LSTM
_MODULES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
_OPENED: set[str] = set()  # interpreters that this process has opened


def open_backend(name: str, file: ModelFile, shared: InputCache | None = None, public: bool = False) -> Backend:
    """Load `file` into the interpreter `name`, "litert" or "tflite".

    Args:
        name: Which interpreter.
        file: A verified .tflite file.
        shared: That of another backend, which has compared the signatures of the file with its manifest.
        public: Use the public API alone, even where the wrapper can be reached.

    Raises:
        ImportError: The interpreter is not installed.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    interpreter = open_interpreter(name, file.payload)
    if file.manifest.io_mapping is not None:
        return MappedBackend(tflite_runner(interpreter, file), file.manifest)
    if shared is None:  # to look at a signature allocates its tensors
        _check_signatures(interpreter, file)
    # tflite-runtime 2.14 runs XNNPACK in `step` alone: there `absorb` takes 1.4 to 1.7 times as long as stepping, and
    # rounds differently. With float16 weights both interpreters turn all of them to float32 anew at each symbol.
    absorbs = name != "tflite" and file.manifest.quantization != "float16" and not file.manifest.features
    absorbs = absorbs and file.manifest.micro is None
    # For the same reason a step from the row is the shorter one on ai-edge-litert alone.
    cut = name != "tflite" and {LOOK_UP, STEP_ROW} <= interpreter.get_signature_list().keys()
    view = None if public else open_view(interpreter, STEP_ROW if cut else STEP)
    if view is None:
        return SignatureRunnerBackend(interpreter, file.manifest, absorbs=absorbs)
    # Steps from the row are the shorter way to absorb, too, but for float32 weights of 128 units and more (5 to 8 %).
    if cut and (file.manifest.quantization != "float32" or view.tensors[ROW].size < _WIDE):
        absorbs = False
    absorber = partial(interpreter.get_signature_runner, ABSORB) if absorbs else None
    slot = input_slot(view, interpreter, shared or InputCache(file.manifest))
    return TfliteBackend(view, slot, file.manifest, absorber)


def open_two_phase_backend(name: str, file: ModelFile, shared: InputCache | None = None) -> Backend:
    """Load `file` into the interpreter `name` to be stepped in two phases; `shared` as for `open_backend`.

    Raises:
        ImportError: The interpreter is not installed.
        WrongBackendError: The file has no signatures for that, or the interpreter does not let its tensors be held.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    if file.manifest.io_mapping is not None:
        raise WrongBackendError(f"{file.name} was adopted: its graph is one step and cannot be cut in two.")
    interpreter = open_interpreter(name, file.payload)
    if shared is None:
        _check_signatures(interpreter, file)
    if shared is None and not {FINISH, PREPARE} <= interpreter.get_signature_list().keys():
        raise WrongBackendError(
            f"{file.name} has no signatures {FINISH!r} and {PREPARE!r}: nothing of its step can be done beforehand, or "
            "it was exported before there were any. Export the model again, or leave out low_latency."
        )
    finish, prepare = (open_view(interpreter, signature) for signature in (FINISH, PREPARE))
    if finish is None or prepare is None:
        raise WrongBackendError(f"{name} does not let the tensors of {file.name} be held. Leave out low_latency.")
    slot = input_slot(finish, interpreter, shared or InputCache(file.manifest))
    return TwoPhaseBackend(finish, slot, prepare, file.manifest)


def input_slot(view: SignatureView, interpreter: Any, cache: InputCache) -> InputSlot:
    """Return the input slot of a signature that reads a row of the file's table, or the symbol itself."""
    if ROW not in view.tensors:
        return InputSlot.of_ids(view.tensors, cache)
    look_up = SignatureView(interpreter, LOOK_UP)

    def row(id: int) -> AnyArray:
        look_up.tensors[SYMBOL][ALL] = id
        look_up.compute()
        return look_up.tensors[ROW].copy()

    return InputSlot(view.tensors[ROW], cache, row)


def open_interpreter(name: str, payload: bytes) -> Any:
    """Return the interpreter `name` with the graph `payload`, its tensors allocated."""
    module = import_module(_MODULES[name])
    # One thread: at one symbol a step a second thread costs 25 to 500 times more than it brings.
    with nullcontext() if name in _OPENED else silence_stderr():  # the first one says that it uses a delegate
        _OPENED.add(name)
        interpreter = module.Interpreter(model_content=payload, num_threads=1)
        interpreter.allocate_tensors()  # before any signature runner: their answers differ otherwise
    return interpreter


def _check_signatures(interpreter: Any, file: ModelFile) -> None:
    """Compare the graph's names, dtypes and shapes with the manifest before anything is written into it."""
    if file.manifest.sequence:
        raise DamagedFileError(f"{file.name} says that it holds a graph of sequences, which .tflite files never do.")
    inputs, outputs = file.manifest.graph_inputs(), file.manifest.graph_outputs()
    expected: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {STEP: (inputs, outputs)}
    if not file.manifest.features and file.manifest.micro is None:  # those are stepped
        expected[ABSORB] = ({"symbols" if name == SYMBOL else name: kind for name, kind in inputs.items()}, outputs)
    found = interpreter.get_signature_list()
    for signature, sides in expected.items():
        if signature not in found:
            raise DamagedFileError(f"{file.name} has no signature {signature!r}. Export the model again.")
        runner = interpreter.get_signature_runner(signature)
        for details, wanted in zip((runner.get_input_details(), runner.get_output_details()), sides, strict=True):
            # The first dimension is the batch, or the time steps of `symbols`.
            actual = {n: (d["dtype"], tuple(int(size) for size in d["shape"][1:])) for n, d in details.items()}
            unknown_yet = signature == ABSORB and wanted is outputs  # shapes that only running it tells
            if actual.keys() != wanted.keys() or (actual != wanted and not unknown_yet):
                raise DamagedFileError(
                    f"{file.name} is not as its manifest says: signature {signature!r} has {actual}, "
                    f"the manifest promises {wanted}. Export the model again."
                )


class TfliteBackend(InPlaceBackend):
    """Steps through memory that the interpreter owns and this object holds.

    Attributes:
        view: The signature that is stepped.
    """

    def __init__(
        self, view: SignatureView, slot: InputSlot, manifest: Manifest, absorber: Callable[[], Any] | None
    ) -> None:
        """Take the tensors of `step` or `step_row`. The resident state is the initial one.

        Args:
            view: The signature to step.
            slot: Where it reads the symbol.
            manifest: The manifest of the file.
            absorber: Makes the runner of the signature `absorb`; None: it is not worth using.
        """
        self.view = view
        self._pairs = [(tensor.name, tensor.next) for tensor in manifest.state]
        state = {name: (view.tensors[name],) for name, _ in self._pairs}
        moving = [(tensor.name, tensor.next) for tensor in manifest.state if not tensor.given]
        super().__init__(view.call, slot, view.tensors, state, view.feedback(moving), manifest)
        self._make_absorber = absorber
        self._absorber: Any = None

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        if self._make_absorber is None:
            super().absorb(ids)
            return
        if self._absorber is None:
            self._absorber = self._make_absorber()
        tensors = self.view.tensors
        outputs = self._absorber(symbols=ids, **{name: tensors[name] for name, _ in self._pairs})
        if self.view.relocated():
            raise BackendError("The interpreter moved the tensors of a step while it ran `absorb`.")
        require_finite(outputs.values(), self.manifest)
        copy_all(
            [(tensors[name], outputs[next]) for name, next in self._pairs]
            + [(tensors[name], outputs[name]) for name in (self.manifest.answer, *self._extra_outputs)]
        )


class SignatureRunnerBackend(ArrayBackend):
    """Steps through the public signature runners, for versions whose private methods differ."""

    def __init__(self, interpreter: Any, manifest: Manifest, *, absorbs: bool) -> None:
        """Make the two runners; `absorbs`: `absorb` is worth using. The resident state is the initial one."""
        super().__init__(
            manifest,
            np.zeros(manifest.output_size, np.float32),
            {feature.name: np.zeros((1, *feature.shape), feature.dtype) for feature in manifest.features},
            {output.name: np.zeros(output.size, np.float32) for output in manifest.extra_outputs},
        )
        self._step = interpreter.get_signature_runner(STEP)
        self._absorb = interpreter.get_signature_runner(ABSORB) if absorbs else None
        self._has_symbol = len(manifest.vocabulary) > 0
        self._names = [(tensor.name, tensor.next) for tensor in manifest.state]
        self._kept = [(manifest.answer, self._answer), *self._extra_outputs.items()]
        self.write_state(initial_state(manifest.state))

    def peek(self, id: int) -> None:
        """See `Backend.peek`."""
        symbol = {SYMBOL: np.array([id], np.int32)} if self._has_symbol else {}
        self._keep(self._step(**symbol, **self._features, **self._state))

    def absorb(self, ids: Ids) -> None:
        """See `Backend.absorb`."""
        if self._absorb is None:
            super().absorb(ids)
            return
        self._keep(self._absorb(symbols=ids, **self._state))
        self._state = self._next

    def _keep(self, outputs: Mapping[str, AnyArray]) -> None:
        """Keep the answers of a runner, and the next state."""
        require_finite(outputs.values(), self.manifest)
        for name, array in self._kept:
            array[...] = outputs[name][0]
        self._next = {name: outputs[next] for name, next in self._names}
