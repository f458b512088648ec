"""Batches: many streams stepped by one call of the interpreter, which reads the weights once for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..common.errors import BackendError
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.tensor_specs import STEP, SYMBOL
from .base import Backend, initial_state
from .finite import not_finite, outputs_to_check, require_finite
from .memory import as_records, copy_all
from .registry import describe_backend, open_backend
from .tflite_signature import SignatureView, supports_views

_NOTHING: Mapping[str, AnyArray] = MappingProxyType({})


def open_batch(backend_name: str, file: ModelFile, size: int) -> Batch:
    """Load `file` once more, for `size` streams at a time; their states are the initial one.

    Raises:
        NoInterpreterError, BackendError: As `open_backend`.
    """
    opened: Batch | None = None
    if file.manifest.io_mapping is None and not file.manifest.sequence:
        opened = {"litert": _tflite, "tflite": _tflite, "onnxruntime": _onnx}.get(backend_name, _none)(
            backend_name, file, size
        )
    batch = opened or SequentialBatch(open_backend(backend_name, file), backend_name, file, size)
    for name, array in initial_state(file.manifest.state).items():
        batch.state()[name][...] = array
    return batch


def _none(name: str, file: ModelFile, size: int) -> None:
    return None


def _tflite(name: str, file: ModelFile, size: int) -> Batch | None:
    from .tflite_backend import open_interpreter

    interpreter = open_interpreter(name, file.payload)
    if not supports_views(interpreter):
        return None
    # `step` is the first subgraph, the one that this resizes. It belongs to nobody else: memory that is held must not
    # be moved.
    for details in interpreter.get_input_details():
        interpreter.resize_tensor_input(details["index"], [size, *map(int, details["shape"][1:])])
    interpreter.allocate_tensors()
    return TfliteBatch(SignatureView(interpreter, STEP), name, file, size)


def _onnx(name: str, file: ModelFile, size: int) -> Batch:
    from .onnx_backend import open_interpreter

    return OnnxBatch(open_interpreter(name, file.payload), name, file, size)


class Batch(ABC):
    """B streams in lockstep, with their states resident.

    Attributes:
        size: How many streams, B.
        answers: The main output of the last step, float32 (B, K): the next one changes it.
        extra_outputs: Name -> what a further output answered in the last step, (B, size): likewise.
    """

    def __init__(self, memory: Mapping[str, AnyArray], backend_name: str, file: ModelFile, size: int) -> None:
        """Step streams of `file` through `memory`: name of an input or output -> array (B, ...)."""
        manifest = file.manifest
        self.size = size
        self.answers: Float32 = memory[manifest.answer]
        self.extra_outputs: dict[str, Float32] = {output.name: memory[output.name] for output in manifest.extra_outputs}
        self._symbol = memory[SYMBOL] if SYMBOL in memory else np.zeros(size, np.int32)
        self._features = {feature.name: memory[feature.name] for feature in manifest.features}
        self._backend_name, self._file = backend_name, file
        suspected = outputs_to_check(manifest)
        self._suspects = [memory[name] for name in suspected if name == manifest.answer or name in self.extra_outputs]
        self._suspected_states = [tensor.name for tensor in manifest.state if tensor.next in suspected]
        # The first number of a softmax tells of all of them. They are looked at as one sum: none is above 1.
        first = self.answers[:, 0] if manifest.answer not in suspected else self.answers[:0, 0]
        self._sum_of_first, self._ones = first.dot, np.ones(first.size, np.float32)

    def compute(self, ids: Ids, features: Mapping[str, AnyArray] = _NOTHING) -> None:
        """Compute the answers and the next states; the states stay.

        Args:
            ids: The symbol of each stream, int32 of shape (B,), checked.
            features: Name -> what each stream reads beside it, (B, ...), checked.

        Raises:
            BackendError: The interpreter failed.
            NotFiniteError: An answer or a next state is not finite.
        """
        try:
            self._symbol[...] = ids
            for name, array in features.items():
                self._features[name][...] = array
            self._compute()
        except Exception as error:
            raise BackendError(
                f"{describe_backend(self._backend_name)} failed on {self._file.name}: {error}. No state has moved."
            ) from error
        if not isfinite(self._sum_of_first(self._ones)):
            raise not_finite(self._file.manifest)
        if self._suspects:
            require_finite(self._suspects, self._file.manifest)
        if self._suspected_states:
            following = self.next_state()
            require_finite([following[name] for name in self._suspected_states], self._file.manifest)

    @abstractmethod
    def _compute(self) -> None:
        """Compute what `compute` does from what has been written to the inputs."""

    @abstractmethod
    def feed_back(self) -> None:
        """Let the next states become the states."""

    @abstractmethod
    def state(self) -> dict[str, Float32]:
        """Return the memory of the states, each (B, ...), to be read and written."""

    @abstractmethod
    def next_state(self) -> dict[str, Float32]:
        """Return the memory of the next states, by the names of the states, to be read."""

    def next_records(self) -> dict[str, AnyArray]:
        """Return the same as records, (B,) each; see `as_records`."""
        return {name: as_records(array) for name, array in self.next_state().items()}


class TfliteBatch(Batch):
    """A TFLite interpreter whose first dimension is `size`."""

    def __init__(self, view: SignatureView, backend_name: str, file: ModelFile, size: int) -> None:
        """Take the tensors of the resized signature `step`."""
        super().__init__(view.tensors, backend_name, file, size)
        self._view = view
        self._feedback = view.feedback([(tensor.name, tensor.next) for tensor in file.manifest.state])
        self._state = {tensor.name: view.tensors[tensor.name] for tensor in file.manifest.state}
        self._next = {tensor.name: view.tensors[tensor.next] for tensor in file.manifest.state}
        self._next_records = super().next_records()

    def _compute(self) -> None:
        self._view.compute()

    def feed_back(self) -> None:
        """See `Batch.feed_back`."""
        copy_all(self._feedback)

    def state(self) -> dict[str, Float32]:
        """See `Batch.state`."""
        return self._state

    def next_state(self) -> dict[str, Float32]:
        """See `Batch.next_state`."""
        return self._next

    def next_records(self) -> dict[str, AnyArray]:
        """See `Batch.next_records`."""
        return self._next_records


class OnnxBatch(Batch):
    """An onnxruntime session over memory for `size` streams: two sets of states that change places."""

    def __init__(self, session: Any, backend_name: str, file: ModelFile, size: int) -> None:
        """Allocate and bind the memory."""
        from .onnx_backend import bind, shortest_run

        manifest = file.manifest
        inputs, outputs = _memory_of_inputs(manifest, size), _memory_of_outputs(manifest, size)
        super().__init__({**inputs, **outputs}, backend_name, file, size)
        self._states = [_memory_of_states(manifest, size) for _ in range(2)]
        bindings = [
            bind(session, {**inputs, **before}, {**outputs, **{t.next: after[t.name] for t in manifest.state}})
            for before, after in (self._states, self._states[::-1])
        ]
        self._kept = session, bindings
        self._run, self._bindings = shortest_run(session, bindings)
        self._side = 0

    def _compute(self) -> None:
        self._run(self._bindings[self._side], None)

    def feed_back(self) -> None:
        """See `Batch.feed_back`."""
        self._side = 1 - self._side

    def state(self) -> dict[str, Float32]:
        """See `Batch.state`."""
        return self._states[self._side]

    def next_state(self) -> dict[str, Float32]:
        """See `Batch.next_state`."""
        return self._states[1 - self._side]


class SequentialBatch(Batch):
    """Any other backend, stepped once for each stream: as fast as that, but the same to use."""

    def __init__(self, backend: Backend, backend_name: str, file: ModelFile, size: int) -> None:
        """Wrap `backend`, which belongs to this batch alone."""
        manifest = file.manifest
        inputs, outputs = _memory_of_inputs(manifest, size), _memory_of_outputs(manifest, size)
        super().__init__({**inputs, **outputs}, backend_name, file, size)
        self._backend = backend
        self._states = [_memory_of_states(manifest, size) for _ in range(2)]

    def _compute(self) -> None:
        backend = self._backend
        before, after = self._states
        for row, id in enumerate(self._symbol.tolist()):
            backend.write_state({name: array[row : row + 1] for name, array in before.items()})
            if self._features:
                backend.write_features({name: array[row] for name, array in self._features.items()})
            backend.step(id)
            self.answers[row] = backend.answer()
            for name, array in backend.extra_outputs().items():
                self.extra_outputs[name][row] = array
            for name, array in backend.read_state().items():
                after[name][row] = array[0]

    def feed_back(self) -> None:
        """See `Batch.feed_back`."""
        self._states.reverse()

    def state(self) -> dict[str, Float32]:
        """See `Batch.state`."""
        return self._states[0]

    def next_state(self) -> dict[str, Float32]:
        """See `Batch.next_state`."""
        return self._states[1]


def _memory_of_inputs(manifest: Manifest, size: int) -> dict[str, AnyArray]:
    symbol = {SYMBOL: np.zeros(size, np.int32)} if len(manifest.vocabulary) else {}
    return {**symbol, **{f.name: np.zeros((size, *f.shape), f.dtype) for f in manifest.features}}


def _memory_of_outputs(manifest: Manifest, size: int) -> dict[str, Float32]:
    widths = {manifest.answer: len(manifest.output_vocabulary), **{o.name: o.size for o in manifest.extra_outputs}}
    return {name: np.zeros((size, width), np.float32) for name, width in widths.items()}


def _memory_of_states(manifest: Manifest, size: int) -> dict[str, Float32]:
    return {tensor.name: np.zeros((size, *tensor.shape), np.float32) for tensor in manifest.state}
