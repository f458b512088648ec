"""Steps a sequence through a model file in every way that there is, as devices do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from time import process_time

import numpy as np

from .arrays import Float32
from .batch import OneByOne
from .errors import WrongBackendError
from .model import Model
from .prediction import Prediction
from .trajectory import Course, OtherWay, State, Trajectory

_BLOCK = 100  # steps whose time is taken together; the fastest block is the least disturbed one


def trace_every_way(model: Model, course: Course) -> Trajectory:
    """Do what `trace` does, and beside it all other ways that this file and interpreter have.

    They go through other signatures of the file. Single steps (`course.each`) are taken in the first way alone.
    """
    found = trace(model, course)
    ways: dict[str, OtherWay] = {}
    for name, way in OTHER_WAYS.items() if not course.each else ():
        try:
            other = way(model, course)
        except WrongBackendError:
            continue
        ways[name] = OtherWay(_difference(found, other), other.probabilities)
    return replace(found, ways=ways)


def trace(model: Model, course: Course, *, low_latency: bool = False) -> Trajectory:
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


def trace_in_a_batch(model: Model, course: Course) -> Trajectory:
    """Step `course` as the only one of many streams: through the signature that is resized for them.

    Args:
        model: The model.
        course: The symbols and where to start, carried.

    Raises:
        WrongBackendError: Many streams are stepped one by one on this interpreter.
        StepcellError: As `Streams.step` does.
    """
    streams = model.streams(1)
    if isinstance(streams._batch, OneByOne):
        raise WrongBackendError(f"{model.file.name} has no way for many streams on {model.backend}.")
    if not course.after_reset:
        streams.state = course.state
    rows: list[Float32] = []
    others: dict[str, list[Float32]] = {output.name: [] for output in model.manifest.others}
    ids, features = course.inputs.ids, course.inputs.features
    for step in range(len(ids)):
        place = slice(step, step + 1)
        rows.append(streams.step_ids(ids[place], {n: a[place] for n, a in features.items()} or None).copy())
        for name, array in streams.outputs.items():
            others[name].append(array)
    named = {name: np.concatenate(arrays) for name, arrays in others.items()}
    return Trajectory(np.concatenate(rows), streams.state, None, named)


OTHER_WAYS: dict[str, Callable[[Model, Course], Trajectory]] = {
    "two phases": lambda model, course: trace(model, course, low_latency=True),
    "a batch": trace_in_a_batch,
}


def _difference(one: Trajectory, other: Trajectory) -> float:
    pairs = [(one.probabilities, other.probabilities)]
    pairs += [(array, other.others[name]) for name, array in one.others.items()]
    pairs += [(array, other.states[name]) for name, array in one.states.items()]
    return float(np.max([np.max(np.abs(a - b) / np.maximum(1, np.abs(a))) for a, b in pairs]))  # not a number stays


def _symbols(model: Model, course: Course) -> list[str | None]:
    known = len(model.vocabulary) > 0
    return [model.vocabulary.decode(id) if known else None for id in course.inputs.ids.tolist()]


def _values(answers: Sequence[Prediction]) -> Float32:
    return np.stack([answer.values for answer in answers])


def _others(model: Model, answers: Sequence[Prediction]) -> dict[str, Float32]:
    return {o.name: _values([answer.outputs[o.name] for answer in answers]) for o in model.manifest.others}
