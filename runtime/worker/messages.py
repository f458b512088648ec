"""Trajectories: everything a model file answers to a sequence, for comparison with another runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..common.arrays import AnyArray, Float32, Floats
from ..format.tensor_specs import Inputs

State: TypeAlias = Mapping[str, Float32]
# Of names of arrays in a file.
_STATE_PREFIX, _FEATURE_PREFIX, _OTHER_PREFIX = "state/", "feature/", "other/"
_WAY_PREFIX, _ERROR_PREFIX = "way/", "error of way/"


@dataclass(frozen=True)
class RunSpec:
    """Symbols to step, and where to start from.

    Attributes:
        inputs: What is read.
        state: Name -> the state before the first step, float32 of shape (1, ...); where `each` is set, the state before
            every step, (T, ...).
        each: Step each symbol from its own state and carry nothing: what one step does, whatever came before it.
        after_reset: Start from where the file itself starts, which should be `state`.
    """

    inputs: Inputs
    state: State
    each: bool = False
    after_reset: bool = False

    def to_bytes(self) -> bytes:
        """Return all of it, for a process of another Python or numpy too."""
        features = {_FEATURE_PREFIX + name: array for name, array in self.inputs.features.items()}
        flags = {"each": np.array(self.each), "after_reset": np.array(self.after_reset)}
        return _packed({"ids": self.inputs.ids, **flags, **features}, self.state)

    @classmethod
    def from_file(cls, path: Path) -> RunSpec:
        """Read what `to_bytes` returned from the file `path`."""
        arrays, state = _unpacked(path.read_bytes())
        inputs = Inputs(arrays["ids"], _of_prefix(arrays, _FEATURE_PREFIX))
        return cls(inputs, state, bool(arrays["each"]), bool(arrays["after_reset"]))


@dataclass(frozen=True)
class AlternateRun:
    """What another way to step the same symbols led to.

    Attributes:
        error: Largest difference of an output or of the last state, relative for values above 1; not a number where one
            is none.
        probabilities: The main output, float of shape (T, K).
    """

    error: float
    probabilities: Floats


@dataclass(frozen=True)
class RunResult:
    """What came out of stepping T symbols.

    Attributes:
        probabilities: float of shape (T, K): the main output.
        states: Name -> float of shape (R, ...): the states after the R recorded steps, the last one among them last.
        microseconds: What a step took of the processor, from symbol to prediction, with the state carried; of a graph
            of sequences, what a symbol took in a block of them. None: it was not measured. (From a state of zeros some
            kernels are many times faster than they ever are in use.)
        extra_outputs: Name -> float of shape (T, K): the other outputs.
        ways: What other ways to step the same symbols led to, by their names.
    """

    probabilities: Floats
    states: Mapping[str, Floats]
    microseconds: float | None = None
    extra_outputs: Mapping[str, Floats] = field(default_factory=dict)
    alternates: Mapping[str, AlternateRun] = field(default_factory=dict)

    def part(self, steps: slice, states: Mapping[str, Floats]) -> RunResult:
        """Return the answers of some of the steps, with other `states`."""
        others = {name: array[steps] for name, array in self.extra_outputs.items()}
        return RunResult(self.probabilities[steps], states, None, others)

    def to_bytes(self) -> bytes:
        """Return all of it, for a process of another Python or numpy too."""
        arrays = {"probabilities": self.probabilities}
        if self.microseconds is not None:
            arrays["microseconds"] = np.array(self.microseconds)
        arrays.update({_OTHER_PREFIX + name: array for name, array in self.extra_outputs.items()})
        for name, way in self.alternates.items():
            arrays[_WAY_PREFIX + name], arrays[_ERROR_PREFIX + name] = way.probabilities, np.array(way.error)
        return _packed(arrays, self.states)

    @classmethod
    def from_file(cls, path: Path) -> RunResult:
        """Read what `to_bytes` returned from the file `path`."""
        arrays, states = _unpacked(path.read_bytes())
        microseconds = float(arrays["microseconds"]) if "microseconds" in arrays else None
        errors = _of_prefix(arrays, _ERROR_PREFIX)
        ways = {n: AlternateRun(float(errors[n]), array) for n, array in _of_prefix(arrays, _WAY_PREFIX).items()}
        return cls(arrays["probabilities"], states, microseconds, _of_prefix(arrays, _OTHER_PREFIX), ways)


def _of_prefix(arrays: Mapping[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _packed(arrays: Mapping[str, AnyArray], states: Mapping[str, Floats]) -> bytes:
    """Return a line of JSON, name -> dtype and shape, and the numbers of each.

    numpy.load parses the head of an array as Python, and two threads that parse end in a SystemError on Python 3.11
    where the garbage collector lets the one in while the other is at it (measured: in 22 of 6,000 loads).
    """
    every = {**arrays, **{_STATE_PREFIX + name: array for name, array in states.items()}}
    head = {name: (array.dtype.str, array.shape) for name, array in every.items()}
    return b"".join([json.dumps(head).encode(), b"\n", *(array.tobytes() for array in every.values())])


def _unpacked(content: bytes) -> tuple[dict[str, AnyArray], dict[str, Floats]]:
    arrays: dict[str, AnyArray] = {}
    begin = content.index(b"\n") + 1
    for name, (dtype, shape) in json.loads(content[:begin]).items():
        array = np.frombuffer(content, dtype, prod(shape), begin).reshape(shape)
        arrays[name] = array.copy()  # to be written to, and where its numbers may lie
        begin += array.nbytes
    states = {n.removeprefix(_STATE_PREFIX): array for n, array in arrays.items() if n.startswith(_STATE_PREFIX)}
    return {name: array for name, array in arrays.items() if not name.startswith(_STATE_PREFIX)}, states
