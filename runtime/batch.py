"""Batches: many streams stepped by one call of the interpreter, which reads the weights once for all of them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from .arrays import AnyArray, Float32, Ids
from .backend import Backend, initial_state, open_backend
from .errors import FeatureMismatchError
from .feedback import copy_all
from .held_signature import HeldSignature, can_hold
from .manifest import Manifest
from .model_file import ModelFile
from .ports import STEP, SYMBOL

Pairs = list[tuple[AnyArray, AnyArray]]


class Batch(Protocol):
    """B streams in lockstep, with their states resident.

    Attributes:
        size: How many streams, B.
        answers: The main output of the last step, float32 (B, K): the next one changes it.
    """

    size: int
    answers: Float32

    def compute(self, ids: Ids) -> None:
        """Compute the answers to `ids`, (B,), and the next states; the states stay."""

    def feed_back(self) -> None:
        """Let the next states become the states."""

    def state(self) -> dict[str, Float32]:
        """Return the memory of the states, each (B, ...), to be read and written."""

    def next_state(self) -> dict[str, Float32]:
        """Return the memory of the next states, by the names of the states, to be read."""


def open_batch(backend_name: str, file: ModelFile, size: int) -> Batch:
    """Load `file` once more, for `size` streams at a time; their states are the initial one.

    Raises:
        FeatureMismatchError: The model reads features, which batches do not feed yet.
        NoInterpreterError, BackendError: As `open_backend`.
    """
    if file.manifest.features:
        names = ", ".join(feature.describe() for feature in file.manifest.features)
        raise FeatureMismatchError(f"{file.name} reads {names} at each step: step its streams one by one.")
    opened: Batch | None = None
    if file.manifest.wiring is None and not file.manifest.sequence:
        opened = {"litert": _tflite, "tflite": _tflite, "onnxruntime": _onnx}.get(backend_name, _none)(
            backend_name, file, size
        )
    batch = opened or OneByOne(open_backend(backend_name, file), file.manifest, size)
    for name, array in initial_state(file.manifest.state).items():
        batch.state()[name][...] = array
    return batch


def _none(name: str, file: ModelFile, size: int) -> None:
    return None


def _tflite(name: str, file: ModelFile, size: int) -> Batch | None:
    from .tflite_backend import open_interpreter

    interpreter = open_interpreter(name, file.payload)
    if not can_hold(interpreter):
        return None
    # `step` is the first subgraph, the one that this resizes. It belongs to nobody else: memory that is held must not
    # be moved.
    for details in interpreter.get_input_details():
        interpreter.resize_tensor_input(details["index"], [size, *map(int, details["shape"][1:])])
    interpreter.allocate_tensors()
    return HeldBatch(HeldSignature(interpreter, STEP), file.manifest, size)


def _onnx(name: str, file: ModelFile, size: int) -> Batch:
    from .onnxruntime_backend import open_interpreter

    return OnnxBatch(open_interpreter(name, file.payload), file.manifest, size)


class HeldBatch:
    """A TFLite interpreter whose first dimension is `size`."""

    def __init__(self, held: HeldSignature, manifest: Manifest, size: int) -> None:
        """Take the tensors of the resized signature `step`."""
        self.size = size
        self._held = held
        self._symbol = held.tensors[SYMBOL]
        self.answers: Float32 = held.tensors[manifest.answer]
        self._feedback = held.feedback([(tensor.name, tensor.next) for tensor in manifest.state])
        self._state = {tensor.name: held.tensors[tensor.name] for tensor in manifest.state}
        self._next = {tensor.name: held.tensors[tensor.next] for tensor in manifest.state}

    def compute(self, ids: Ids) -> None:
        """See `Batch.compute`."""
        self._symbol[...] = ids
        self._held.invoke(self._held.subgraph)

    def feed_back(self) -> None:
        """See `Batch.feed_back`."""
        copy_all(self._feedback)

    def state(self) -> dict[str, Float32]:
        """See `Batch.state`."""
        return self._state

    def next_state(self) -> dict[str, Float32]:
        """See `Batch.next_state`."""
        return self._next


class OnnxBatch:
    """An onnxruntime session over memory for `size` streams: two sets of states that change places."""

    def __init__(self, session: Any, manifest: Manifest, size: int) -> None:
        """Allocate and bind the memory."""
        from .onnxruntime_backend import bind, shortest_run

        self.size = size
        self._symbol = np.zeros(size, np.int32)
        self.answers: Float32 = np.zeros((size, len(manifest.output_vocabulary)), np.float32)
        self._states = [{t.name: np.zeros((size, *t.shape), np.float32) for t in manifest.state} for _ in range(2)]
        others = {o.name: np.zeros((size, o.size), np.float32) for o in manifest.others}
        bindings = [
            bind(
                session,
                {SYMBOL: self._symbol, **before},
                {manifest.answer: self.answers, **others, **{t.next: after[t.name] for t in manifest.state}},
            )
            for before, after in (self._states, self._states[::-1])
        ]
        self._kept = session, bindings, others
        self._run, self._bindings = shortest_run(session, bindings)
        self._side = 0

    def compute(self, ids: Ids) -> None:
        """See `Batch.compute`."""
        self._symbol[...] = ids
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


class OneByOne:
    """Any other backend, stepped once for each stream: as fast as that, but the same to use."""

    def __init__(self, backend: Backend, manifest: Manifest, size: int) -> None:
        """Wrap `backend`, which belongs to this batch alone."""
        self.size = size
        self._backend = backend
        self.answers: Float32 = np.zeros((size, len(manifest.output_vocabulary)), np.float32)
        self._states = [{t.name: np.zeros((size, *t.shape), np.float32) for t in manifest.state} for _ in range(2)]

    def compute(self, ids: Ids) -> None:
        """See `Batch.compute`."""
        before, after = self._states
        for row, id in enumerate(ids.tolist()):
            self._backend.write_state({name: array[row : row + 1] for name, array in before.items()})
            self._backend.step(id)
            self.answers[row] = self._backend.answer()
            for name, array in self._backend.read_state().items():
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
