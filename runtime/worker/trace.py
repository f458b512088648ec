"""Steps a sequence through a model file in every way that there is, as devices do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from time import process_time

import numpy as np

from ..common.arrays import Float32
from ..common.errors import WrongBackendError
from ..interpreters.batch import SequentialBatch
from ..streams.model import Model
from ..streams.prediction import Prediction
from .messages import AlternateRun, RunResult, RunSpec, State

_BLOCK = 100  # steps whose time is taken together; the fastest block is the least disturbed one


def trace_all(model: Model, courses: Mapping[str, RunSpec]) -> dict[str, RunResult]:
    """Do what `trace` does with each of `courses`, and beside it all other ways that this file and interpreter have.

    They go through other signatures of the file. Single steps (`RunSpec.each`) are taken in the first way alone.
    """
    found = {name: trace(model, course) for name, course in courses.items()}
    carried = {name: course for name, course in courses.items() if not course.each}
    for way, step in ALTERNATES.items():
        try:
            others = step(model, list(carried.values()))
        except WrongBackendError:
            continue
        for name, other in zip(carried, others, strict=True):
            known = found[name]
            ways = {**known.alternates, way: AlternateRun(_difference(known, other), other.probabilities)}
            found[name] = replace(known, alternates=ways)
    return found


def trace(model: Model, course: RunSpec, *, low_latency: bool = False) -> RunResult:
    """Step `course` through `model` one symbol at a time.

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
    inputs, symbols = course.inputs, _symbols(model, course)
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
        return RunResult(_values(answers), states, None, _extra_outputs(model, answers))
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
    return RunResult(np.stack(rows), stream.state, 1e6 * seconds, _extra_outputs(model, answers))


def trace_in_two_phases(model: Model, courses: Sequence[RunSpec]) -> list[RunResult]:
    """Do what `trace` does with each of `courses`, the answer first and the rest later."""
    return [trace(model, course, low_latency=True) for course in courses]


def trace_in_a_batch(model: Model, courses: Sequence[RunSpec]) -> list[RunResult]:
    """Step `courses`, which are carried and of one length, as streams in lockstep.

    Raises:
        WrongBackendError: Many streams are stepped one by one on this interpreter.
        StepcellError: As `Streams.step` does.
    """
    streams = model.streams(len(courses))
    if isinstance(streams._batch, SequentialBatch):
        raise WrongBackendError(f"{model.file.name} has no way for many streams on {model.backend}.")
    starts = [model.initial_state() if course.after_reset else course.state for course in courses]
    streams.state = {name: np.concatenate([start[name] for start in starts]) for name in starts[0]}
    ids = np.stack([course.inputs.ids for course in courses], 1)  # (T, N)
    features = {n: np.stack([c.inputs.features[n] for c in courses], 1) for n in courses[0].inputs.features}
    rows: list[Float32] = []
    extra_outputs: dict[str, list[Float32]] = {output.name: [] for output in model.manifest.extra_outputs}
    for step in range(len(ids)):
        rows.append(streams.step_ids(ids[step], {n: a[step] for n, a in features.items()} or None).copy())
        for name, array in streams.outputs.items():
            extra_outputs[name].append(array)
    answers, state = np.stack(rows), streams.state
    named = {name: np.stack(arrays) for name, arrays in extra_outputs.items()}
    return [
        RunResult(
            answers[:, row],
            {name: array[row : row + 1] for name, array in state.items()},
            None,
            {name: array[:, row] for name, array in named.items()},
        )
        for row in range(len(courses))
    ]


# Name -> what steps carried courses in that way, or raises WrongBackendError where this file or interpreter has it not.
ALTERNATES: dict[str, Callable[[Model, Sequence[RunSpec]], list[RunResult]]] = {
    "two phases": trace_in_two_phases,
    "a batch": trace_in_a_batch,
}


def _difference(one: RunResult, other: RunResult) -> float:
    pairs = [(one.probabilities, other.probabilities)]
    pairs += [(array, other.extra_outputs[name]) for name, array in one.extra_outputs.items()]
    pairs += [(array, other.states[name]) for name, array in one.states.items()]
    return float(np.max([np.max(np.abs(a - b) / np.maximum(1, np.abs(a))) for a, b in pairs]))  # not a number stays


def _symbols(model: Model, course: RunSpec) -> list[str | None]:
    known = len(model.vocabulary) > 0
    return [model.vocabulary.decode(id) if known else None for id in course.inputs.ids.tolist()]


def _values(answers: Sequence[Prediction]) -> Float32:
    return np.stack([answer.values for answer in answers])


def _extra_outputs(model: Model, answers: Sequence[Prediction]) -> dict[str, Float32]:
    return {o.name: _values([answer.outputs[o.name] for answer in answers]) for o in model.manifest.extra_outputs}
