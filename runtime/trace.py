"""Trajectories: everything a model file answers to a sequence, for comparison with another runtime."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from time import process_time
from typing import TypeAlias

import numpy as np

from .arrays import AnyArray, Float32, Floats
from .errors import WrongBackendError
from .inputs import Inputs
from .model import Model
from .prediction import Prediction

State: TypeAlias = Mapping[str, Float32]
_BLOCK = 100  # steps whose time is taken together; the fastest block is the least disturbed one
_STATE_PREFIX, _FEATURE_PREFIX, _OTHER_PREFIX = "state/", "feature/", "other/"  # of names in .npz archives


@dataclass(frozen=True)
class Course:
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
        """Return an .npz archive."""
        features = {_FEATURE_PREFIX + name: array for name, array in self.inputs.features.items()}
        flags = {"each": np.array(self.each), "after_reset": np.array(self.after_reset)}
        return _to_npz({"ids": self.inputs.ids, **flags, **features}, self.state)

    @classmethod
    def from_file(cls, path: Path) -> Course:
        """Read what `to_bytes` returned from the file `path`."""
        arrays, state = _from_npz(path)
        inputs = Inputs(arrays["ids"], _of_prefix(arrays, _FEATURE_PREFIX))
        return cls(inputs, state, bool(arrays["each"]), bool(arrays["after_reset"]))


@dataclass(frozen=True)
class Trajectory:
    """What came out of stepping T symbols.

    Attributes:
        probabilities: float of shape (T, K): the main output.
        states: Name -> float of shape (R, ...): the states after the R recorded steps, the last one among them last.
        microseconds: What a step took of the processor, from symbol to prediction, with the state carried; of a graph
            of sequences, what a symbol took in a block of them. None: it was not measured. (From a state of zeros some
            kernels are many times faster than they ever are in use.)
        others: Name -> float of shape (T, K): the other outputs.
        two_phase_error: Largest difference of an output or state where the same is stepped in two phases, relative for
            values above 1; None: the file cannot be.
        two_phases: `probabilities` where the same is stepped in two phases.
    """

    probabilities: Floats
    states: Mapping[str, Floats]
    microseconds: float | None = None
    others: Mapping[str, Floats] = field(default_factory=dict)
    two_phase_error: float | None = None
    two_phases: Floats | None = None

    def part(self, steps: slice, states: Mapping[str, Floats]) -> Trajectory:
        """Return the answers of some of the steps, with other `states`."""
        others = {name: array[steps] for name, array in self.others.items()}
        return Trajectory(self.probabilities[steps], states, None, others)

    def to_bytes(self) -> bytes:
        """Return an .npz archive."""
        figures = {"microseconds": self.microseconds, "two_phase_error": self.two_phase_error}
        measured = {name: np.array(figure) for name, figure in figures.items() if figure is not None}
        others = {_OTHER_PREFIX + name: array for name, array in self.others.items()}
        if self.two_phases is not None:
            measured["two_phases"] = self.two_phases
        return _to_npz({"probabilities": self.probabilities, **measured, **others}, self.states)

    @classmethod
    def from_file(cls, path: Path) -> Trajectory:
        """Read what `to_bytes` returned from the file `path`."""
        arrays, states = _from_npz(path)
        microseconds, two_phase = (
            float(arrays[name]) if name in arrays else None for name in ("microseconds", "two_phase_error")
        )
        others = _of_prefix(arrays, _OTHER_PREFIX)
        return cls(arrays["probabilities"], states, microseconds, others, two_phase, arrays.get("two_phases"))


def trace_both_ways(model: Model, course: Course) -> Trajectory:
    """Do what `trace` does and, where the file can be stepped in two phases, that too, and compare."""
    found = trace(model, course)
    if course.each:
        return found
    try:
        other = trace(model, course, low_latency=True)
    except WrongBackendError:  # this file, or this interpreter, has one phase
        return found
    pairs = [(found.probabilities, other.probabilities)]
    pairs += [(array, other.others[name]) for name, array in found.others.items()]
    pairs += [(array, other.states[name]) for name, array in found.states.items()]
    worst = float(np.max([np.max(np.abs(a - b) / np.maximum(1, np.abs(a))) for a, b in pairs]))  # not a number stays
    return replace(found, two_phase_error=worst, two_phases=other.probabilities)


def trace(model: Model, course: Course, *, low_latency: bool = False) -> Trajectory:
    """Step `course` through `model` one symbol at a time, as a device does.

    A graph of sequences gets a block of symbols at once and the next one symbol by symbol, in turn.

    Args:
        model: The model.
        course: The symbols and where to start.
        low_latency: Step in two phases.

    Returns:
        All answers; the state after the last step, or with `course.each` after every step.

    Raises:
        WrongBackendError: It cannot be stepped in two phases.
        StepcellError: As `Stream.step` does.
    """
    inputs, symbols = (
        course.inputs,
        [model.vocabulary.decode(id) if len(model.vocabulary) else None for id in course.inputs.ids.tolist()],
    )
    features = [inputs.features_at(step) for step in range(len(inputs))] if inputs.features else [None] * len(inputs)
    stream = model.stream(low_latency=low_latency)
    answers: list[Prediction] = []
    if course.each:
        after: list[State] = []
        for step, symbol in enumerate(symbols):
            stream.state = {name: array[step : step + 1] for name, array in course.state.items()}
            answers.append(stream.step(symbol, features[step]))
            after.append(stream.state)
        states = {name: np.concatenate([state[name] for state in after]) for name in course.state}
        return Trajectory(_values(answers), states, None, _others(model, answers))
    if not course.after_reset:
        stream.state = course.state
    seconds = inf
    rows: list[Float32] = []  # of the main output
    whole = model.manifest.sequence
    for number, first in enumerate(range(0, len(symbols), _BLOCK)):
        block = list(zip(symbols[first : first + _BLOCK], features[first : first + _BLOCK], strict=True))
        at_once = whole and number % 2 == 0  # both ways through such a graph
        before = process_time()
        if at_once:
            rows += list(stream.run(symbol for symbol, _ in block if symbol is not None))
        else:
            made = [stream.step(symbol, given) for symbol, given in block]
        if at_once or not whole:
            seconds = min(seconds, (process_time() - before) / len(block))
        if not at_once:
            answers += made
            rows += [answer.values for answer in made]
    return Trajectory(np.stack(rows), stream.state, 1e6 * seconds, _others(model, answers))


def _values(answers: Sequence[Prediction]) -> Float32:
    return np.stack([answer.values for answer in answers])


def _others(model: Model, answers: Sequence[Prediction]) -> dict[str, Float32]:
    return {o.name: _values([answer.outputs[o.name] for answer in answers]) for o in model.manifest.others}


def _of_prefix(arrays: Mapping[str, AnyArray], prefix: str) -> dict[str, AnyArray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _to_npz(arrays: Mapping[str, AnyArray], states: Mapping[str, Floats]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays, **{_STATE_PREFIX + name: array for name, array in states.items()})
    return file.getvalue()


def _from_npz(path: Path) -> tuple[dict[str, AnyArray], dict[str, Floats]]:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    states = {n.removeprefix(_STATE_PREFIX): array for n, array in arrays.items() if n.startswith(_STATE_PREFIX)}
    return {name: array for name, array in arrays.items() if not name.startswith(_STATE_PREFIX)}, states
