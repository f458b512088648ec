"""The runs in which C is compared with its file: symbols, features and the states before them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...runtime.common.arrays import AnyArray, Ids
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import ModelFile
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes, Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.golden import start_state
from ...runtime.interpreters.numpy_backend import step_program
from ...runtime.worker.messages import RunSpec, State
from .arithmetic import run_program

_SINGLE_STEPS = 2_000
_MOST_STATE_NUMBERS, _FEWEST_SINGLE_STEPS = 4_000_000, 100  # a window of many steps and units has a large state
_SEED = 18


def runs_of(file: ModelFile, steps: int, *, own: bool = False) -> dict[str, RunSpec]:
    """Return two runs that carry the state, and one of single steps from given states.

    The symbols of carried runs are random; with `own`, a model of next symbols writes them itself.

    A model that does not answer at each step has a state that fits the number of steps before it, and one of integers
    may count. So its second run begins where some steps lead, and its single steps begin in the states after them.
    """
    manifest, random = file.manifest, np.random.default_rng(_SEED)
    times = manifest.answers
    steps = max(steps, times.first)  # one answer at least
    carried, singles = (_random_inputs(manifest, count, random) for count in (steps, _SINGLE_STEPS))
    carried = _as_the_model_writes(file, carried, random) if own else carried
    start = initial_state(manifest.state)
    if times == EVERY_STEP and all(tensor.dtype == "float32" for tensor in manifest.state):
        each = {
            tensor.name: random.uniform(-0.9, 0.9, (_SINGLE_STEPS, *tensor.shape)).astype(np.float32)
            for tensor in manifest.state
        }
        return {
            "initial": RunSpec(carried, start, after_reset=True),
            "ramp": RunSpec(carried, start_state("ramp", manifest.state)),
            "each": RunSpec(singles, each, each=True),
        }
    before = -(-times.first // times.every) * times.every
    size = sum(array.size for array in start.values())
    singles = singles[slice(min(_SINGLE_STEPS, max(_FEWEST_SINGLE_STEPS, _MOST_STATE_NUMBERS // size)))]
    seen = before + np.arange(len(singles), dtype=np.int32)
    states = _states_on_the_way(file, _random_inputs(manifest, before + len(singles), random), start)
    reached = {name: rows[before : before + 1] for name, rows in states.items()}
    each = {name: rows[before:] for name, rows in states.items()}
    made = np.arange(steps)
    return {
        "initial": RunSpec(carried, start, after_reset=True, kept=_answering(times, made)),
        "reached": RunSpec(carried, reached, kept=_answering(times, made + before), seen=seen[:1]),
        "each": RunSpec(singles, each, each=True, kept=_answering(times, seen), seen=seen),
    }


def _answering(times: AnswerTimes, seen: AnyArray) -> Ids:
    """Return the indices of the steps that answer, given how many steps came before each."""
    return np.flatnonzero(times.which_answer(seen + 1)).astype(np.int32)


def _states_on_the_way(file: ModelFile, inputs: Inputs, state: State) -> dict[str, AnyArray]:
    """Return the state before each of T steps from `state`, (T, ...), computed by numpy."""
    program, states = step_program(file), [state]
    for step in range(len(inputs) - 1):
        states.append(run_program(program, file.manifest, RunSpec(inputs[step : step + 1], states[-1])).states)
    return {name: np.concatenate([each[name] for each in states]) for name in state}


def _as_the_model_writes(file: ModelFile, inputs: Inputs, random: np.random.Generator) -> Inputs:
    """Return `inputs` with symbols drawn by the answers of the model, if it predicts the next one at each step."""
    manifest = file.manifest
    if manifest.labels is not None or not len(manifest.vocabulary) or manifest.answers != EVERY_STEP:
        return inputs
    program, ids = step_program(file, np.float64), inputs.ids.copy()
    state: State = initial_state(manifest.state)
    for step in range(len(ids) - 1):
        found = run_program(program, manifest, RunSpec(replace(inputs, ids=ids)[step : step + 1], state))
        state = found.states
        sums = np.cumsum(found.probabilities[0])
        ids[step + 1] = min(int((sums <= random.random() * sums[-1]).sum()), len(sums) - 1)
    return replace(inputs, ids=ids)


def _random_inputs(manifest: Manifest, count: int, random: np.random.Generator) -> Inputs:
    """Return random symbols, and features like those of the golden sequence."""
    features: dict[str, AnyArray] = {}
    runs = manifest.golden.runs if manifest.golden else ()
    for feature in manifest.features:
        if feature.ids is not None:
            features[feature.name] = random.integers(0, feature.ids, (count, *feature.shape)).astype(np.int32)
            continue
        known = np.array([row for run in runs for row in run.features.get(feature.name, ())], np.float32)
        spread = known.std(axis=0) if known.size else np.float32(1)
        drawn = known[random.integers(0, len(known), count)] if known.size else np.zeros((count, 1), np.float32)
        noisy = drawn + spread * random.normal(0, 0.5, (count, int(np.prod(feature.shape))))
        features[feature.name] = noisy.astype(np.float32).reshape((count, *feature.shape))
    return Inputs(random.integers(0, max(len(manifest.vocabulary), 1), count).astype(np.int32), features)


def first_steps(spec: RunSpec, steps: int) -> RunSpec:
    """Return the first `steps` of a run, and the outputs of all of them."""
    state = {name: array[:steps] if spec.each else array for name, array in spec.state.items()}
    return RunSpec(spec.inputs[slice(steps)], state, spec.each, spec.after_reset)
