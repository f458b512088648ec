"""Step symbols through a model file in every way that it has, as devices do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from time import process_time

import numpy as np

from ..common.arrays import Float32
from ..common.errors import WrongBackendError
from ..interpreters.batch import SequentialBatch
from ..streams.lockstep import Streams
from ..streams.model import Model
from ..streams.prediction import Prediction
from .messages import RunResult, RunSpec, State

_BLOCK = 100  # steps whose time is taken together; the fastest block is the least disturbed one


def trace_all(model: Model, specs: Sequence[RunSpec]) -> list[RunResult]:
    """Step each of `specs` with `trace`, and in the alternate ways that this file and interpreter have.

    These go through other signatures of the file. Single steps (`RunSpec.each`) have no alternates.
    """
    found = [trace(model, spec) for spec in specs]
    carried = [row for row, spec in enumerate(specs) if not spec.each]
    for name, step in ALTERNATES.items() if carried else ():
        try:
            others = step(model, [specs[row] for row in carried])
        except WrongBackendError:
            continue
        for row, other in zip(carried, others, strict=True):
            known = found[row]
            found[row] = replace(known, alternates={**known.alternates, name: other})
    return found


def trace(model: Model, spec: RunSpec, *, low_latency: bool = False) -> RunResult:
    """Step `spec` through `model` one symbol at a time.

    A graph of sequences gets a block of symbols at once and the next block symbol by symbol, in turn.

    Args:
        model: The model.
        spec: The symbols and the state to start from; the model answers at all steps that it keeps.
        low_latency: Step in two phases.

    Returns:
        All outputs; the state after the last step, or with `spec.each` after every step.

    Raises:
        WrongBackendError: It cannot be stepped in two phases.
        StepcellError: As `Stream.step` does.
    """
    inputs, vocabulary = spec.inputs, model.vocabulary
    symbols = [vocabulary.decode(id) if len(vocabulary) else None for id in inputs.ids.tolist()]
    steps = [(symbol, inputs.features_at(i) if inputs.features else None) for i, symbol in enumerate(symbols)]
    stream = model.stream(low_latency=low_latency, static=_static_of(model, spec))
    answers, kept = list[Prediction](), set(spec.kept_steps.tolist())
    if spec.each:
        after: list[State] = []
        for i, (symbol, features) in enumerate(steps):
            before = {name: array[i : i + 1] for name, array in spec.state.items()}
            stream.set_state(before, symbols_seen=spec.seen_before(i))
            answer = stream.step(symbol, features)
            if i in kept:
                answers.append(answer)
            after.append(stream.state)
        states = {name: np.concatenate([state[name] for state in after]) for name in spec.state}
        return RunResult(_values(answers), states, None, _others(model, answers))
    if not spec.after_reset:
        stream.set_state(spec.state, symbols_seen=spec.seen_before(0))
    seconds = inf
    rows: list[Float32] = []  # of the main output
    is_sequence = model.manifest.sequence
    for number, first in enumerate(range(0, len(steps), _BLOCK)):
        block = steps[first : first + _BLOCK]
        at_once = is_sequence and number % 2 == 0
        began = process_time()
        if at_once:
            outputs = stream.run(symbol for symbol, _ in block if symbol is not None)
        else:
            made = [stream.step(symbol, features) for symbol, features in block]
        if at_once or not is_sequence:
            seconds = min(seconds, (process_time() - began) / len(block))
        wanted = [step for step in range(len(block)) if first + step in kept]
        if at_once:
            rows += [outputs[step].copy() for step in wanted]
        else:
            answers += [made[step] for step in wanted]
            rows += [made[step].values for step in wanted]
    return RunResult(np.stack(rows), stream.state, 1e6 * seconds, _others(model, answers))


def trace_in_two_phases(model: Model, specs: Sequence[RunSpec]) -> list[RunResult]:
    """Step each of `specs` with `trace`, the output first and the rest later."""
    return [trace(model, spec, low_latency=True) for spec in specs]


def trace_in_a_batch(model: Model, specs: Sequence[RunSpec]) -> list[RunResult]:
    """Step `specs`, which are carried, of one length, and keep the same steps, as streams in lockstep.

    Raises:
        WrongBackendError: This interpreter steps many streams one by one.
        StepcellError: As `Streams.step` does.
    """
    batch = model.pool.open_batch(len(specs))
    if isinstance(batch, SequentialBatch):
        raise WrongBackendError(f"{model.file.name} has no way for many streams on {model.backend}.")
    streams = Streams(batch, model.file)
    starts = [model.initial_state(static=_static_of(model, spec)) if spec.after_reset else spec.state for spec in specs]
    streams.set_state(
        {name: np.concatenate([start[name] for start in starts]) for name in starts[0]},
        symbols_seen=[spec.seen_before(0) for spec in specs],
    )
    ids = np.stack([spec.inputs.ids for spec in specs], 1)  # (T, N)
    features = {n: np.stack([spec.inputs.features[n] for spec in specs], 1) for n in specs[0].inputs.features}
    rows, others, kept = list[Float32](), list[dict[str, Float32]](), set(specs[0].kept_steps.tolist())
    for step in range(len(ids)):
        answer = streams.step_ids(ids[step], {n: a[step] for n, a in features.items()} or None)
        if step in kept:
            rows.append(answer.copy())
            others.append(dict(streams.outputs))
    answers, state = np.stack(rows), streams.state  # (T, N, K)
    named = {o.name: np.stack([each[o.name] for each in others]) for o in model.manifest.extra_outputs}
    return [
        RunResult(
            answers[:, row],
            {name: array[row : row + 1] for name, array in state.items()},
            extra_outputs={name: array[:, row] for name, array in named.items()},
        )
        for row in range(len(specs))
    ]


# Name of an alternate way -> the function that steps carried specs in it, or raises WrongBackendError if this file or
# interpreter does not have it.
ALTERNATES: dict[str, Callable[[Model, Sequence[RunSpec]], list[RunResult]]] = {
    "two phases": trace_in_two_phases,
    "a batch": trace_in_a_batch,
}


def _static_of(model: Model, spec: RunSpec) -> State | None:
    """Return the static inputs of a run, which are in its state; None: the model reads none."""
    return {tensor.name: spec.state[tensor.name][:1] for tensor in model.manifest.static} or None


def _values(answers: Sequence[Prediction]) -> Float32:
    return np.stack([answer.values for answer in answers])


def _others(model: Model, answers: Sequence[Prediction]) -> dict[str, Float32]:
    return {o.name: _values([answer.outputs[o.name] for answer in answers]) for o in model.manifest.extra_outputs}
