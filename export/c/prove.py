"""Proof of C that was printed from a model file: it answers as the interpreters of the file do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.common.arrays import AnyArray, Ids
from ...runtime.common.errors import ParityError
from ...runtime.common.run_worker import WorkerProcess
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import ModelFile, read_model_file
from ...runtime.format.tensor_specs import EVERY_STEP, SYMBOL, AnswerTimes, Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.golden import start_state
from ...runtime.interpreters.numpy_backend import step_program
from ...runtime.interpreters.numpy_engine import Program
from ...runtime.interpreters.registry import NUMPY, describe_backend
from ...runtime.worker.messages import RunResult, RunSpec, State, trace_in_worker
from ..ops.precision import FLOAT32
from ..parity.device_process import installed_backends, those_that_take
from .compiler import SANITIZED, CompiledStep, find_compiler
from .source import CSource

STEPS = 10_000
_SINGLE_STEPS, _SANITIZED_STEPS = 2_000, 200
_MOST_STATE_NUMBERS, _FEWEST_SINGLE_STEPS = 4_000_000, 100  # a window of many steps and units has a large state
_SEED = 18
TOLERANCE = 1e-5
# Two right float32 computations may each be as far from float64 as numpy is, and more.
ROUNDING = 10


@dataclass(frozen=True)
class Comparison:
    """How far the C is from another runtime of the same file, over one run.

    Attributes:
        runtime: What it is compared with.
        start: The state before the first step: "initial", "ramp", "reached" (after some steps, of a model that does not
            answer at each), or "each" (every step from a given state).
        steps: Steps made.
        error: Largest difference of an output, relative for values above 1.
        state_error: Largest difference of a state, likewise: after every step for "each", else after the last.
        allowed: The largest difference that either may have.
        microseconds: Processor time of a step of the C on this machine; None: not measured.
    """

    runtime: str
    start: str
    steps: int
    error: float
    state_error: float
    allowed: float
    microseconds: float | None

    @property
    def holds(self) -> bool:
        """Whether both differences are allowed."""
        return max(self.error, self.state_error) <= self.allowed


def prove_source(
    source: CSource,
    path: Path,
    folder: Path,
    *,
    steps: int = STEPS,
    backends: Sequence[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Comparison]:
    """Compile `source` in `folder` and compare it with the model file at `path`, of which it was printed.

    Args:
        source: The C.
        path: The model file.
        folder: For the program.
        steps: Steps that carry the state.
        backends: Interpreters to compare with; None: all that step the file here.
        progress: Called with a text at the start of each piece of work.

    Returns:
        A comparison for each runtime and run: with numpy in float64, and with each interpreter.

    Raises:
        CompilerError: There is no compiler, or it refuses the source.
        BackendError: The program or an interpreter failed.
        ParityError: The C answers otherwise.
    """
    file = read_model_file(path)
    specs = _runs(file, steps)
    progress(f"compiling with {find_compiler().version}")
    compiled = CompiledStep(source, file.manifest, folder)
    progress(f"stepping the C: {steps} carried steps from two states, and {_SINGLE_STEPS} from given states")
    found = {start: compiled.trace(spec) for start, spec in specs.items()}
    short = {start: first_steps(spec, _SANITIZED_STEPS) for start, spec in specs.items()}
    sanitized = CompiledStep(source, file.manifest, folder, SANITIZED)
    for spec in short.values():
        sanitized.trace(spec)
    exact = {start: run_program(step_program(file, np.float64), file.manifest, spec) for start, spec in specs.items()}
    rounded = {start: run_program(step_program(file), file.manifest, spec) for start, spec in specs.items()}
    results = []
    for start, result in found.items():
        allowed = max(TOLERANCE, ROUNDING * max(_differences(rounded[start], exact[start])))
        errors = _differences(result, exact[start])
        results.append(
            Comparison("numpy, float64", start, len(specs[start].inputs), *errors, allowed, result.microseconds)
        )
    named = backends if backends is not None else those_that_take(path, installed_backends(file.format))
    for backend in (name for name in named if name != NUMPY):
        progress(f"comparing with {describe_backend(backend)}")
        worker = WorkerProcess()
        try:
            traced = trace_in_worker(worker, path, backend, specs)
        finally:
            worker.close()
        for start, result in found.items():
            allowed = _allowed_of_interpreter(file.manifest, results, start)
            errors = _differences(result, traced[start])
            if file.manifest.quantization not in (FLOAT32, "float16"):
                errors = errors[0], 0.0  # it rounds what weights are multiplied with, which is carried on in the state
            results.append(
                Comparison(
                    describe_backend(backend), start, len(specs[start].inputs), *errors, allowed, result.microseconds
                )
            )
    _require_all(source, path, results)
    return results


def run_program(program: Program, manifest: Manifest, spec: RunSpec) -> RunResult:
    """Step the symbols of `spec` by numpy calls."""
    main, *others = (name for name in manifest.graph_outputs() if not name.startswith("next_"))
    outputs: dict[str, list[AnyArray]] = {name: [] for name in (main, *others)}
    states: dict[str, list[AnyArray]] = {tensor.name: [] for tensor in manifest.state}
    last = len(spec.inputs) - 1
    for step in range(len(spec.inputs)):
        if step == 0 or spec.each:
            for name in states:
                program.inputs[name][...] = spec.state[name][step if spec.each else 0]
        if SYMBOL in program.inputs:
            program.inputs[SYMBOL][...] = spec.inputs.ids[step]
        for name, values in spec.inputs.features.items():
            program.inputs[name][...] = values[step]
        program.run()
        for name, rows in outputs.items():
            rows.append(program.outputs[name][0].copy())
        for tensor in manifest.state:
            following = program.outputs[tensor.next]
            if spec.each or step == last:
                states[tensor.name].append(following[0].copy())
            if not spec.each:
                program.inputs[tensor.name][...] = following
    kept = spec.kept_steps
    return RunResult(
        np.array(outputs[main])[kept],
        {name: np.array(rows) for name, rows in states.items()},
        None,
        {name: np.array(outputs[name])[kept] for name in others},
    )


def _runs(file: ModelFile, steps: int) -> dict[str, RunSpec]:
    """Return two runs that carry the state, and one of single steps from given states.

    A model that does not answer at each step has a state that fits the number of steps before it. So its second run
    begins where some steps lead, and its single steps begin in the states after them.
    """
    manifest, random = file.manifest, np.random.default_rng(_SEED)
    times = manifest.answers
    steps = max(steps, times.first)  # one answer at least
    carried, singles = (_random_inputs(manifest, count, random) for count in (steps, _SINGLE_STEPS))
    start = initial_state(manifest.state)
    if times == EVERY_STEP:
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


def _differences(one: RunResult, other: RunResult) -> tuple[float, float]:
    """Return the largest difference of an output and of a state, relative for values above 1; NaN is infinite."""
    pairs = [(one.probabilities, other.probabilities)]
    pairs += [(array, other.extra_outputs[name]) for name, array in one.extra_outputs.items()]
    states = [(array, other.states[name][-len(array) :]) for name, array in one.states.items()]
    return max(_largest(*pair) for pair in pairs), max(_largest(*pair) for pair in states)


def _largest(one: AnyArray, other: AnyArray) -> float:
    exact = np.asarray(other, np.float64).reshape(one.shape)
    off = np.abs(one - exact) / np.maximum(1.0, np.abs(exact))
    largest = float(off.max())
    return largest if np.isfinite(largest) else float("inf")


def _allowed_of_interpreter(manifest: Manifest, results: Sequence[Comparison], start: str) -> float:
    own = next(each.allowed for each in results if each.start == start)
    if manifest.quantization in (FLOAT32, "float16") or manifest.golden is None:
        return 2 * own
    return max(own, 10 * manifest.golden.tolerance)


def _require_all(source: CSource, path: Path, results: Sequence[Comparison]) -> None:
    wrong = [each for each in results if not each.holds]
    if wrong:
        listed = "\n".join(
            f"  - {each.runtime}, {each.start}: outputs off by {each.error:.2g}, states by {each.state_error:.2g} "
            f"(allowed {each.allowed:.2g})"
            for each in wrong
        )
        raise ParityError(
            f"The C of {path.name} answers otherwise than the file, within {wrong[0].steps} steps:\n{listed}\n"
            "Nothing was written."
        )
