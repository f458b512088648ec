"""Expected runs: the sequences that all files of a model are stepped on, and their right results.

There are three. Two carry the state over one long sequence, from the initial state and from a random state, as a device
does. In the third every step begins from a given state: it shows each tensor after every step, and holds even for a
model that magnifies rounding errors until two correct computations of the same sequence part.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ...runtime.common.arrays import AnyArray, Floats, Ids
from ...runtime.common.errors import NotSteppableError, ParityError, StateMismatchError
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes, Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.numpy_engine.blas import one_thread
from ...runtime.worker.messages import RunResult, RunSpec
from ..ops import NumpyOps
from ..ops.golden import FLOAT32_TOLERANCE
from ..ops.precision import INT8
from ..step_function.build import StepFunction
from ..step_function.run import as_mapping, run_numpy
from .metrics import Deviation, deviation, errors_of
from .parity import EACH, INITIAL, RANDOM, STEPS
from .reference import KerasReference
from .rounding import limits_of, rounding_of_single_steps, scales_of
from .sample_inputs import every_symbol, random_static, typical_inputs
from .scale import Scales
from .tolerance import TOLERANCES, Tolerance
from .window_reference import WindowReference

_FEWEST_SINGLE_STEPS, _MOST_SINGLE_STEPS = 2_000, 20_000
_SEED = 20_000
_MOST_STATE_NUMBERS = 8 << 20  # in the states of single steps
_FEWEST_LARGE_STATES = 64  # single steps of a model with larger states
_PREFIX = 200  # steps before the sequence that begins in the middle of a rollout
_MOST_NUMBERS = 3 << 20  # in the outputs of a run that are kept; several of them are in memory at a time
_STEPS_AT_ONCE = 256  # single steps
_ALWAYS_KEPT = 32  # of the first steps
_FIRST = 64  # steps over which step rules must equal Keras, however much rounding is magnified later


Reference: TypeAlias = KerasReference | WindowReference


@dataclass(frozen=True)
class ExpectedRun:
    """A run and its right result.

    Attributes:
        spec: The symbols, and the state or states before them.
        result: The right outputs and states.
        scales: The scale of each output and next state.
        limits: Name of an output or next state -> the difference on its scale that a float32 file may have at each step
            of `result`; infinite from where rounding alone may take it farther than the tolerance.
        rounding: Deviation of float32 from float64 arithmetic on this run, as quantised files are judged.
        rounding_error: The largest difference between the two, on the scale of each tensor.
    """

    spec: RunSpec
    result: RunResult
    scales: Scales
    limits: Mapping[str, Floats]
    rounding: Deviation
    rounding_error: float

    def proves(self, tolerance: Tolerance) -> bool:
        """Tell whether rounding alone stays within `tolerance`; if not, a file beyond it may still be right."""
        return not tolerance.missed(self.rounding)


@dataclass(frozen=True)
class Expected:
    """All that the files of a model are compared with.

    Attributes:
        step_function: The step function of the model.
        runs: "initial", "random" and "each" -> the run.
        tolerances: Precision -> how far from Keras a file may be.
    """

    step_function: StepFunction
    runs: Mapping[str, ExpectedRun]
    tolerances: Mapping[str, Tolerance]


def expected_runs(
    step_function: StepFunction,
    reference: Reference,
    *,
    steps: int = STEPS,
    sample: Inputs | None = None,
    tolerances: Mapping[str, Tolerance] = TOLERANCES,
) -> Expected:
    """Run Keras and the float64 reference.

    Args:
        step_function: The step function of the model.
        reference: The same model as Keras runs it.
        steps: Symbols in the carried sequence.
        sample: Ids and features as they really occur, repeated up to `steps`; None: a model of next symbols writes its
            own sequence, any other gets uniformly random symbols.
        tolerances: Precision -> how far from Keras a file may be.

    Raises:
        StateMismatchError: The model starts from a state that Keras cannot start from.
        NotSteppableError: Its state grows beyond all numbers.
        ParityError: A step rule with a state of its own differs from Keras.
    """
    random = np.random.default_rng(_SEED)
    steps = max(steps, step_function.answers.first)  # one answer at least
    with np.errstate(over="ignore", invalid="ignore"), one_thread():
        carried = typical_inputs(step_function, steps, random, sample)
        # Every symbol once or more, later in the states of the carried sequence.
        count = min(max(recorded_states(step_function), step_function.symbols), _MOST_SINGLE_STEPS)
        singles = every_symbol(step_function, count, random, sample)
        every_step = step_function.answers == EVERY_STEP
        carries = reference.carries(tensor.name for tensor in step_function.state)
        if every_step and carries and isinstance(reference, KerasReference):
            runs = _from_keras(step_function, reference, carried, singles, random)
        else:
            runs = expected_from_rollout(step_function, reference, carried, singles, random)
    return Expected(step_function, runs, tolerances)


def _from_keras(
    step_function: StepFunction,
    reference: KerasReference,
    carried: Inputs,
    singles: Inputs,
    random: np.random.Generator,
) -> dict[str, ExpectedRun]:
    """Return the runs of a model whose whole state Keras takes and returns."""
    initial = _start(step_function, random)
    sizes = _sizes_of_states(step_function, carried, initial)
    drawn = {n: (random.uniform(-0.9, 0.9, a.shape) * sizes[n]).astype(np.float32) for n, a in initial.items()}
    drawn.update(random_static(step_function.interface, 1, random))
    starts = {INITIAL: initial, RANDOM: drawn}

    kept, kept_singles = (kept_steps(step_function, len(inputs), random) for inputs in (carried, singles))

    def in_numpy(dtype: type[np.floating[Any]]) -> list[RunResult]:
        recorded = recorded_states(step_function)
        return run_numpy(step_function, carried, list(starts.values()), dtype, recorded=recorded, kept=kept)

    with ThreadPoolExecutor() as pool:  # numpy and Keras at the same time
        in_double, in_single = (pool.submit(in_numpy, dtype) for dtype in (np.float64, np.float32))
        in_keras = reference.run_from(carried, list(starts.values()), kept)
    computed = list(zip(starts.items(), in_keras, in_double.result(), in_single.result(), strict=True))
    for (_, state), _, _, rounded in computed:
        _require_finite(step_function, carried, state, rounded)
    each = _given_states(computed[-1][2], len(singles))
    each.update(random_static(step_function.interface, len(singles), random))
    single_steps = reference.run_each(singles, each, kept_singles)
    rounding = rounding_of_single_steps(step_function, singles, each)
    spec_of_each = RunSpec(singles, each, each=True, kept=kept_singles)
    runs = {}
    for (start, state), result, exact, rounded in computed:
        spec = RunSpec(carried, state, after_reset=start == INITIAL, kept=kept)
        scales = scales_of(step_function, result, single_steps.states, rounding, carried=True)
        runs[start] = _carried_run(step_function, spec, result, exact, rounded, scales)
    runs[EACH] = _single_steps(step_function, spec_of_each, single_steps, rounding)
    return runs


def _sizes_of_states(step_function: StepFunction, inputs: Inputs, initial: Mapping[str, Any]) -> dict[str, float]:
    """Return how large the numbers of each state are after a few steps, at most 1; a state of zeros counts as 1."""
    reached = run_numpy(step_function, inputs[:_FIRST], [initial])[0].states
    largest = {name: float(np.abs(array).max(initial=0)) for name, array in reached.items()}
    return {name: min(size, 1.0) if size else 1.0 for name, size in largest.items()}


def kept_steps(step_function: StepFunction, steps: int, random: np.random.Generator) -> Ids | None:
    """Return the steps whose outputs are compared: those that answer, or some of them, where all would fill the memory.

    All steps are made, and the state is compared after them: a mistake of any step is in the outputs that follow.

    Args:
        step_function: The step function of the model.
        steps: Steps of the run, the first of them after a reset.
        random: Draws all but the first and the last of them.

    Returns:
        Their indices; None: all steps.
    """
    answered = np.flatnonzero(_answered(step_function.answers, np.arange(steps) + 1))
    kept = _fitting(step_function, answered, random)
    return None if len(kept) == steps else kept


def _fitting(step_function: StepFunction, steps: AnyArray, random: np.random.Generator) -> Ids:
    """Return those of the indices `steps` whose outputs fit into the memory, the first and the last among them."""
    width = sum(output.size for output in step_function.interface.outputs)
    if len(steps) * width <= _MOST_NUMBERS:
        return steps.astype(np.int32)
    count = min(len(steps), max(_MOST_NUMBERS // width, _ALWAYS_KEPT))
    drawn = random.choice(steps, count, replace=False)
    kept: Ids = np.unique(np.concatenate([steps[:_ALWAYS_KEPT], drawn, steps[-1:]])).astype(np.int32)
    return kept


def _answered(times: AnswerTimes, numbers: AnyArray) -> AnyArray:
    """Tell which steps answer, given their numbers from 1 after a reset."""
    answered: AnyArray = (numbers >= times.first) & ((numbers - times.first) % times.every == 0)
    return answered


def recorded_states(step_function: StepFunction) -> int:
    """Return the number of states that are kept of a run, from which single steps begin."""
    size = sum(prod(tensor.shape) for tensor in step_function.state)
    return max(_FEWEST_LARGE_STATES, min(_FEWEST_SINGLE_STEPS, _MOST_STATE_NUMBERS // max(size, 1)))


def expected_from_rollout(
    step_function: StepFunction,
    reference: Reference,
    carried: Inputs,
    singles: Inputs,
    random: np.random.Generator,
) -> dict[str, ExpectedRun]:
    """Return the runs of a model with a state that Keras neither takes nor returns: that of a step rule of one's own.

    Keras can run such a model on a whole sequence from its beginning alone. So the non-zero states are those that the
    float64 reference reaches after some steps, and Keras is run from the beginning up to there and on. The states after
    a step are those of the reference; its outputs must equal those of Keras.

    Args:
        step_function: The step function of the model.
        reference: The same model as Keras runs it.
        carried: The carried sequence.
        singles: The single steps, N of them.
        random: Draws the steps that are compared, where there are too many.

    Raises:
        StateMismatchError: The initial state is not zero.
        ParityError: The step rules differ from Keras.
    """
    initial, times = _start(step_function, random), step_function.answers
    static = {tensor.name: initial[tensor.name] for tensor in step_function.interface.static.values()}
    if not reference.begins_in({name: array for name, array in initial.items() if name not in static}):
        raise StateMismatchError(
            "Keras cannot start this model from another state than zeros (one of its layers lets no state in), "
            "so nothing could prove the answers from such a start. Export it without. Nothing was written."
        )
    steps = np.arange(len(carried))
    # Each step of the sequence answers after these too, if it answers after a reset.
    prefix = -(-max(_PREFIX, times.first) // times.every) * times.every
    longer = carried[np.concatenate([np.resize(steps[::-1], prefix), steps])]
    reached = run_numpy(step_function, longer[:prefix], [initial], recorded=1)[0].states
    middle = {name: array.astype(np.float32) for name, array in reached.items()}
    kept, recorded = kept_steps(step_function, len(carried), random), recorded_states(step_function)
    computed = []
    for name, start, skipped in ((INITIAL, initial, 0), (RANDOM, middle, prefix)):
        exact, rounded = (
            run_numpy(step_function, carried, [start], dtype, recorded=recorded, kept=kept)[0]
            for dtype in (np.float64, np.float32)
        )
        _require_finite(step_function, carried, start, rounded)
        spec = RunSpec(carried, start, after_reset=not skipped, kept=kept, seen=np.array([skipped], np.int32))
        whole = reference.run(longer[prefix - skipped :], static or None, spec.kept_steps + skipped)
        computed.append((name, spec, whole, exact, rounded))
    each = _given_states(exact, len(singles))
    each.update(random_static(step_function.interface, len(singles), random))
    made = len(next(iter(exact.states.values())))
    seen = prefix + len(carried) - made + 1 + np.resize(np.arange(made, dtype=np.int32), len(singles))
    answered = _fitting(step_function, np.flatnonzero(_answered(times, seen + 1)), random)
    single_steps = _steps_in_parts(step_function, singles, each, answered)
    rounding = rounding_of_single_steps(step_function, singles, each, answered)
    runs = {}
    for name, spec, whole, exact, rounded in computed:
        scales = scales_of(step_function, whole, single_steps.states, rounding, carried=True)
        if name == INITIAL:
            _require_rules_equal_keras(step_function, whole, exact, scales)
        last = {n: array[-1:] for n, array in exact.states.items()}
        runs[name] = _carried_run(step_function, spec, replace(whole, states=last), exact, rounded, scales)
    kept_singles = None if len(answered) == len(singles) else answered
    spec = RunSpec(singles, each, each=True, kept=kept_singles, seen=seen)
    runs[EACH] = _single_steps(step_function, spec, single_steps, rounding)
    return runs


def _steps_in_parts(step_function: StepFunction, inputs: Inputs, states: Mapping[str, Any], kept: Ids) -> RunResult:
    """Return the float64 outputs of the steps `kept` and the states after all steps, each from its own of `states`."""
    ops = NumpyOps()
    outputs: dict[str, list[Floats]] = {}
    after: dict[str, list[Floats]] = {}
    for begin in range(0, len(inputs), _STEPS_AT_ONCE):
        part = slice(begin, begin + _STEPS_AT_ONCE)
        given = {name: array[part].astype(np.float64) for name, array in states.items()}
        made, following = step_function.advance(ops, as_mapping(inputs[part]), given)
        wanted = kept[(kept >= begin) & (kept < begin + _STEPS_AT_ONCE)] - begin
        for name, array in made.items():
            outputs.setdefault(name, []).append(array[wanted])
        for name, array in following.items():
            after.setdefault(name, []).append(array)
    joined = {name: np.concatenate(parts) for name, parts in outputs.items()}
    states_after = {name: np.concatenate(parts) for name, parts in after.items()}
    return RunResult(joined.pop(step_function.main.name), states_after, None, joined)


def _require_rules_equal_keras(step_function: StepFunction, whole: RunResult, exact: RunResult, scales: Scales) -> None:
    """Raise ParityError unless the outputs of the first steps of both results are equal."""
    first = slice(_FIRST)
    errors = errors_of(step_function, exact.part(first, {}), whole.part(first, {}), scales)
    off = max(float(error.max()) for error in errors.values())
    if not off <= FLOAT32_TOLERANCE:
        raise ParityError(
            f"The step rules answer otherwise than Keras: off by {off:.2g} within the first {_FIRST} steps "
            f"(allowed {FLOAT32_TOLERANCE:g}). Correct the step rule of your own layer. Nothing was written."
        )


def _carried_run(
    step_function: StepFunction, spec: RunSpec, result: RunResult, exact: RunResult, rounded: RunResult, scales: Scales
) -> ExpectedRun:
    """Return a carried run with the error of float32 arithmetic, `rounded` against `exact`."""
    rounding = deviation(step_function, spec, rounded, exact, scales, INT8)
    coarse = errors_of(step_function, rounded, exact, scales, INT8)
    fine = errors_of(step_function, rounded, exact, scales)
    rounding = replace(rounding, error=max(float(error.max()) for error in coarse.values()))
    of_outputs = {output.name: fine[output.name] for output in step_function.interface.outputs}
    of_states = {name: errors for name, errors in fine.items() if name not in of_outputs}
    limits = limits_of(of_outputs, of_states, spec.kept_steps, len(spec.inputs))
    return ExpectedRun(spec, result, scales, limits, rounding, max(float(error.max()) for error in fine.values()))


def _single_steps(
    step_function: StepFunction, spec: RunSpec, result: RunResult, rounding: Mapping[str, Floats]
) -> ExpectedRun:
    """Return the run of single steps."""
    scales = scales_of(step_function, result, result.states, rounding)
    worst = max(float((rounding[name] / scale.fine).max(initial=0)) for name, scale in scales.items())
    limits = {name: np.full(1, FLOAT32_TOLERANCE) for name in scales}
    return ExpectedRun(spec, result, scales, limits, Deviation(), worst)


def _start(step_function: StepFunction, random: np.random.Generator) -> dict[str, Any]:
    """Return the initial state, with drawn static inputs."""
    return {**initial_state(step_function.state), **random_static(step_function.interface, 1, random)}


def _given_states(exact: RunResult, count: int) -> dict[str, Any]:
    """Return `count` recorded states as float32, (count, ...), repeated as needed."""
    states: dict[str, Floats] = {
        name: np.resize(array, (count, *array.shape[1:])).astype(np.float32) for name, array in exact.states.items()
    }
    return states


def _require_finite(step_function: StepFunction, inputs: Inputs, start: Mapping[str, Any], rounded: RunResult) -> None:
    """Raise if a state grows beyond all numbers of float32: such a model has no right answer."""
    if all(np.isfinite(states[-1]).all() for states in rounded.states.values()):
        return
    every = run_numpy(step_function, inputs, [start], np.float32)[0]
    for name, states in every.states.items():
        wrong = np.flatnonzero(~np.isfinite(states).reshape(len(states), -1).all(axis=1))
        if wrong.size:
            raise NotSteppableError(
                f"The state of this model grows without bound: {name} is no longer finite after {wrong[0] + 1} steps. "
                "Use a bounded activation, tanh for example. Nothing was written."
            )
