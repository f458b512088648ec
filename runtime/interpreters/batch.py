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
from ..format.model_file import ModelFile
from ..format.tensor_specs import STEP, SYMBOL
from .base import Backend, initial_state
from .finite import not_finite, outputs_to_check, require_finite
from .memory import allocate, as_records, copy_all
from .registry import NATIVE, NUMPY, describe_backend, open_backend
from .tflite_signature import SignatureView, open_view, supports_views

_NOTHING: Mapping[str, AnyArray] = MappingProxyType({})


def open_batch(backend_name: str, file: ModelFile, size: int) -> Batch:
    """Load `file` once more, for `size` streams at a time; their states are the initial one.

    Raises:
        NoInterpreterError, BackendError: As `open_backend`.
    """
    batch = _in_one_call(backend_name, file, size)
    if batch is None:
        batch = SequentialBatch(open_backend(backend_name, file), backend_name, file, size)
    for name, array in initial_state(file.manifest.state).items():
        batch.state()[name][...] = array
    return batch


def _in_one_call(name: str, file: ModelFile, size: int) -> Batch | None:
    """Return a batch that the interpreter steps in one call; None: it cannot, or not this file."""
    if name == NATIVE:
        return NativeBatch(file, size)
    manifest = file.manifest
    special = manifest.io_mapping is not None or manifest.sequence or manifest.micro is not None
    if name == NUMPY or special:
        return None
    if name == "onnxruntime":
        from .onnx_backend import open_interpreter as open_session

        return OnnxBatch(open_session(name, file.payload), name, file, size)
    if manifest.window is not None and manifest.window.method == "recompute":
        return None  # its graph is for one stream
    from .tflite_backend import open_interpreter

    interpreter = open_interpreter(name, file.payload)
    if not supports_views(interpreter):
        return None
    # `step` is the first subgraph, the one that this resizes. The interpreter belongs to this batch alone: memory that
    # is held must not be moved.
    for details in interpreter.get_input_details():
        interpreter.resize_tensor_input(details["index"], [size, *map(int, details["shape"][1:])])
    interpreter.allocate_tensors()
    view = open_view(interpreter, STEP)
    return None if view is None else TfliteBatch(view, name, file)


class Batch(ABC):
    """B streams in lockstep, with their states resident.

    Attributes:
        size: How many streams, B.
        answers: The main output of the last step, float32 (B, K): the next one changes it.
        extra_outputs: Name -> what a further output answered in the last step, (B, size): likewise.
    """

    def __init__(
        self, memory: Mapping[str, AnyArray], states: list[dict[str, Float32]], backend_name: str, file: ModelFile
    ) -> None:
        """Step streams of `file`.

        Args:
            memory: Name of an input or output, the states left out -> array (B, ...).
            states: The states and the next states by the names of the states, (B, ...).
            backend_name: The interpreter.
            file: The file.
        """
        manifest = file.manifest
        size = self.size = len(memory[manifest.answer])
        self.answers: Float32 = memory[manifest.answer].reshape(size, -1)
        self._states, self._side = states, 0
        self._records = [{name: as_records(array) for name, array in each.items()} for each in states]
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
        """Compute the outputs from the inputs."""

    def feed_back(self) -> None:
        """Let the next states become the states."""
        self._side = 1 - self._side  # one assignment: before or after Ctrl-C

    def state(self) -> dict[str, Float32]:
        """Return the memory of the states, each (B, ...), to be read and written."""
        return self._states[self._side]

    def next_state(self) -> dict[str, Float32]:
        """Return the memory of the next states, by the names of the states, to be read."""
        return self._states[1 - self._side]

    def next_records(self) -> dict[str, AnyArray]:
        """Return the same as records, (B,) each; see `as_records`."""
        return self._records[1 - self._side]


class TfliteBatch(Batch):
    """A TFLite interpreter whose first dimension is `size`."""

    def __init__(self, view: SignatureView, backend_name: str, file: ModelFile) -> None:
        """Take the tensors of the resized signature `step`."""
        pairs = [(tensor.name, tensor.next) for tensor in file.manifest.state]
        states = [{names[0]: view.tensors[names[side]] for names in pairs} for side in range(2)]
        super().__init__(view.tensors, states, backend_name, file)
        self._view, self._feedback = view, view.feedback(pairs)

    def _compute(self) -> None:
        self._view.compute()

    def feed_back(self) -> None:
        """See `Batch.feed_back`."""
        copy_all(self._feedback)


class OnnxBatch(Batch):
    """An onnxruntime session over memory for `size` streams: two sets of states that change places."""

    def __init__(self, session: Any, backend_name: str, file: ModelFile, size: int) -> None:
        """Allocate and bind the memory."""
        from .onnx_backend import bind_both_ways

        inputs, outputs, states = allocate(file.manifest, size)
        super().__init__({**inputs, **outputs}, states, backend_name, file)
        self._kept = inputs
        self._calls = bind_both_ways(session, inputs, outputs, states, file.manifest)

    def _compute(self) -> None:
        function, arguments = self._calls[self._side]
        function(*arguments)


class NativeBatch(Batch):
    """The compiled engine, which steps one stream after the other, in one call."""

    def __init__(self, file: ModelFile, size: int) -> None:
        """Allocate the memory, and open an engine."""
        from .native_backend import open_backend as open_engine

        inputs, outputs, states = allocate(file.manifest, size)
        super().__init__({**inputs, **outputs}, states, NATIVE, file)
        self._backend = open_engine(NATIVE, file)
        pieces = self._backend.pieces
        following = [{t.next: states[1 - side][t.name] for t in file.manifest.state} for side in range(2)]
        self._pieces = [
            (pieces({**states[side], **self._features}), pieces({**outputs, **following[side]})) for side in range(2)
        ]

    def _compute(self) -> None:
        self._backend.step_rows(self._symbol, *self._pieces[self._side])


class SequentialBatch(Batch):
    """Any other backend, stepped once for each stream: as fast as that, but the same to use."""

    def __init__(self, backend: Backend, backend_name: str, file: ModelFile, size: int) -> None:
        """Wrap `backend`, which belongs to this batch alone."""
        inputs, outputs, states = allocate(file.manifest, size)
        super().__init__({**inputs, **outputs}, states, backend_name, file)
        self._backend = backend

    def _compute(self) -> None:
        backend, before, after = self._backend, self.state(), self.next_state()
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
