"""Trajectories: everything a model file answers to a sequence, for comparison with another runtime."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import process_time
from typing import TypeAlias

import numpy as np

from .arrays import AnyArray, Float32, Floats, Ids
from .model import Model

State: TypeAlias = Mapping[str, Float32]
_BLOCK = 100  # steps whose time is taken together; the fastest block is the least disturbed one
_STATE_PREFIX = "state/"  # of the names of state tensors in .npz archives


@dataclass(frozen=True)
class Course:
    """Symbols to step, and where to start from.

    Attributes:
        ids: Symbol ids of shape (T,), T >= 1.
        state: Name -> the state before the first step, float32 of shape (1, ...); where `each` is set, the state before
            every step, (T, ...).
        each: Step each symbol from its own state and carry nothing: what one step does, whatever came before it.
    """

    ids: Ids
    state: State
    each: bool = False

    def to_bytes(self) -> bytes:
        """Return an .npz archive."""
        return _to_npz({"ids": self.ids, "each": np.array(self.each)}, self.state)

    @classmethod
    def from_file(cls, path: Path) -> Course:
        """Read what `to_bytes` returned from the file `path`."""
        arrays, state = _from_npz(path)
        return cls(arrays["ids"], state, bool(arrays["each"]))


@dataclass(frozen=True)
class Trajectory:
    """What came out of stepping T symbols.

    Attributes:
        probabilities: float of shape (T, K).
        states: Name -> float of shape (R, ...): the states after the R recorded steps, the last one among them last.
        microseconds: What a step took of the processor, from symbol to prediction, with the state carried; None where
            it was not measured. (From a state of zeros some kernels are many times faster than they ever are in use.)
    """

    probabilities: Floats
    states: Mapping[str, Floats]
    microseconds: float | None = None

    def to_bytes(self) -> bytes:
        """Return an .npz archive."""
        measured = {} if self.microseconds is None else {"microseconds": np.array(self.microseconds)}
        return _to_npz({"probabilities": self.probabilities, **measured}, self.states)

    @classmethod
    def from_file(cls, path: Path) -> Trajectory:
        """Read what `to_bytes` returned from the file `path`."""
        arrays, states = _from_npz(path)
        measured = arrays.get("microseconds")
        return cls(arrays["probabilities"], states, None if measured is None else float(measured))


def trace(model: Model, course: Course) -> Trajectory:
    """Step `course` through `model` one symbol at a time, as a device does.

    Returns:
        All answers; the state after the last step, or with `course.each` after every step.

    Raises:
        StepcellError: As `Stream.step` does.
    """
    symbols = [model.vocabulary.decode(id) for id in course.ids.tolist()]
    if course.each:
        names = course.state
        steps = [model.step(x, {n: course.state[n][t : t + 1] for n in names}) for t, x in enumerate(symbols)]
        after = {name: np.concatenate([state[name] for _, state in steps]) for name in names}
        return Trajectory(np.stack([answer for answer, _ in steps]), after)
    stream = model.stream()
    stream.state = course.state
    answers: list[Float32] = []
    seconds = inf
    for first in range(0, len(symbols), _BLOCK):
        block = symbols[first : first + _BLOCK]
        before = process_time()
        answers += [stream.step(symbol).probabilities for symbol in block]
        seconds = min(seconds, (process_time() - before) / len(block))
    return Trajectory(np.stack(answers), stream.state, 1e6 * seconds)


def _to_npz(arrays: Mapping[str, AnyArray], states: Mapping[str, Floats]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays, **{_STATE_PREFIX + name: array for name, array in states.items()})
    return file.getvalue()


def _from_npz(path: Path) -> tuple[dict[str, AnyArray], dict[str, Floats]]:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    states = {n.removeprefix(_STATE_PREFIX): array for n, array in arrays.items() if n.startswith(_STATE_PREFIX)}
    return {name: array for name, array in arrays.items() if not name.startswith(_STATE_PREFIX)}, states
