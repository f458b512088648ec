"""Requests to step symbols and their results, for comparison with another runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..common.arrays import AnyArray, Float32, Floats, Ids
from ..common.errors import BackendError
from ..common.run_worker import TIMEOUT, WorkerProcess
from ..format.tensor_specs import Inputs

State: TypeAlias = Mapping[str, Float32]
# Groups of arrays in a message.
_STATE, _FEATURE, _OUTPUT, _ALTERNATE = "state/", "feature/", "output/", "alternate/"


@dataclass(frozen=True)
class RunSpec:
    """Symbols to step, and the state to start from.

    Attributes:
        inputs: T symbols, with features.
        state: Name -> the state before the first step, float32 of shape (1, ...); with `each`, the state before every
            step, (T, ...).
        each: Step each symbol from its own state and carry nothing: one step, independent of the steps before it.
        after_reset: Start from the initial state of the file, which should be `state`.
        kept: The steps whose outputs are wanted, ascending indices; None: all. All steps are made, but some do not
            answer, and so many outputs of a wide model would fill the memory.
        seen: How many symbols the state before the first step has seen, shape (1,); with `each` that before every step,
            (T,). None: 0.
    """

    inputs: Inputs
    state: State
    each: bool = False
    after_reset: bool = False
    kept: Ids | None = None
    seen: Ids | None = None

    @property
    def kept_steps(self) -> Ids:
        """The indices of the steps whose outputs are wanted."""
        return np.arange(len(self.inputs), dtype=np.int32) if self.kept is None else self.kept

    def seen_before(self, step: int) -> int:
        """Return how many symbols the state before a step, of those that begin with a state of `state`, has seen."""
        return 0 if self.seen is None else int(self.seen[step])

    def to_bytes(self) -> bytes:
        """Return it as bytes, for a process of another Python or numpy too."""
        flags = {"each": np.array(self.each), "after_reset": np.array(self.after_reset)}
        groups = {_FEATURE: self.inputs.features, _STATE: self.state}
        optional = {name: array for name, array in (("kept", self.kept), ("seen", self.seen)) if array is not None}
        return pack_arrays({"ids": self.inputs.ids, **flags, **optional}, groups)

    @classmethod
    def from_bytes(cls, content: bytes) -> RunSpec:
        """Read what `to_bytes` returned."""
        arrays = unpack_arrays(content)
        inputs = Inputs(arrays["ids"], _group(arrays, _FEATURE))
        flags = bool(arrays["each"]), bool(arrays["after_reset"])
        return cls(inputs, _group(arrays, _STATE), *flags, arrays.get("kept"), arrays.get("seen"))


@dataclass(frozen=True)
class RunResult:
    """Outputs and states of T steps, those that a `RunSpec` keeps.

    Attributes:
        probabilities: float of shape (T, K): the main output.
        states: Name -> float of shape (R, ...): the states after the R recorded steps, the last one among them last.
        microseconds: Processor time of a step, from symbol to prediction, with the state carried; of a graph of
            sequences, of a symbol in a block of them. None: not measured. (From a state of zeros some kernels are many
            times faster than in use.)
        extra_outputs: Name -> float of shape (T, K): the outputs beside the main one.
        alternates: Name of another way to step the same symbols -> its result, with the last states.
    """

    probabilities: Floats
    states: Mapping[str, Floats]
    microseconds: float | None = None
    extra_outputs: Mapping[str, Floats] = field(default_factory=dict)
    alternates: Mapping[str, RunResult] = field(default_factory=dict)

    def part(self, steps: slice | AnyArray, states: Mapping[str, Floats]) -> RunResult:
        """Return the outputs of some of the steps, with other `states`."""
        others = {name: array[steps] for name, array in self.extra_outputs.items()}
        return RunResult(self.probabilities[steps], states, None, others)

    def to_bytes(self) -> bytes:
        """Return it as bytes, for a process of another Python or numpy too."""
        measured = {} if self.microseconds is None else {"microseconds": np.array(self.microseconds)}
        groups = {
            _STATE: self.states,
            _OUTPUT: self.extra_outputs,
            _ALTERNATE: {n: np.frombuffer(one.to_bytes(), np.uint8) for n, one in self.alternates.items()},
        }
        return pack_arrays({"probabilities": self.probabilities, **measured}, groups)

    @classmethod
    def from_bytes(cls, content: bytes) -> RunResult:
        """Read what `to_bytes` returned."""
        arrays = unpack_arrays(content)
        microseconds = float(arrays["microseconds"]) if "microseconds" in arrays else None
        alternates = {n: cls.from_bytes(array.tobytes()) for n, array in _group(arrays, _ALTERNATE).items()}
        return cls(
            arrays["probabilities"], _group(arrays, _STATE), microseconds, _group(arrays, _OUTPUT), alternates
        )  # fmt: skip


def trace_in_worker(
    worker: WorkerProcess, path: Path, backend: str, specs: Mapping[str, RunSpec], *, timeout: float = TIMEOUT
) -> dict[str, RunResult]:
    """Step the file at `path` on `backend` in `worker`, as each of `specs` says.

    Args:
        worker: The process to do it in.
        path: A model file.
        backend: Name of the backend.
        specs: Name -> symbols to step.
        timeout: In seconds.

    Raises:
        BackendError: It failed or the process crashed; the message is the failure alone.
    """
    blobs = (spec.to_bytes() for spec in specs.values())
    found = worker.request("trace", *blobs, timeout=timeout, model=str(path), backend=backend)
    if found.failure is not None:
        raise BackendError(found.failure)
    return {name: RunResult.from_bytes(blob) for name, blob in zip(specs, found.blobs, strict=True)}


def pack_arrays(arrays: Mapping[str, AnyArray], groups: Mapping[str, Mapping[str, AnyArray]] | None = None) -> bytes:
    """Return a line of JSON, name -> dtype and shape, and the numbers of each array.

    numpy.load parses the head of an array as Python, and two threads that parse end in a SystemError on Python 3.11
    if the garbage collector lets one in while the other is parsing (measured: in 22 of 6,000 loads).
    """
    every = dict(arrays)
    for group, members in (groups or {}).items():
        every.update({group + name: array for name, array in members.items()})
    head = {name: (array.dtype.str, array.shape) for name, array in every.items()}
    return b"".join([json.dumps(head).encode(), b"\n", *(array.tobytes() for array in every.values())])


def unpack_arrays(content: bytes) -> dict[str, AnyArray]:
    """Read the arrays that `pack_arrays` wrote, those of groups with their prefix."""
    arrays: dict[str, AnyArray] = {}
    begin = content.index(b"\n") + 1
    for name, (dtype, shape) in json.loads(content[:begin]).items():
        array = np.frombuffer(content, dtype, prod(shape), begin).reshape(shape)
        arrays[name] = array.copy()  # writable and aligned
        begin += array.nbytes
    return arrays


def _group(arrays: Mapping[str, AnyArray], group: str) -> dict[str, AnyArray]:
    return {name.removeprefix(group): array for name, array in arrays.items() if name.startswith(group)}
