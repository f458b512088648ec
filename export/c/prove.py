"""Proof of C that was printed from a model file: it answers as the interpreters of the file do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import ParityError
from ...runtime.common.run_worker import WorkerProcess
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import ModelFile, read_model_file
from ...runtime.interpreters.numpy_backend import step_program
from ...runtime.interpreters.registry import NATIVE, NUMPY, describe_backend
from ...runtime.worker.messages import RunResult, RunSpec, trace_in_worker
from ..ops.precision import FLOAT16, FLOAT32, INT8
from ..parity.device_process import installed_backends
from ..parity.tolerance import TOLERANCES
from .arithmetic import Arithmetic, exact_program, rounded_program, run_program
from .compiler import SANITIZED, CompiledStep, find_compiler
from .quality import quality_of
from .runs import first_steps, runs_of
from .source import CSource

Traces: TypeAlias = Mapping[str, RunResult]  # start -> the result of that run

STEPS = 10_000
_SANITIZED_STEPS = 200
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
        allowed: The largest difference that either may have; infinite for C that rounds more than its file.
        microseconds: Processor time of a step of the C on this machine; None: not measured.
        missed: The limits of int8 files that such C misses, in words.
    """

    runtime: str
    start: str
    steps: int
    error: float
    state_error: float
    allowed: float
    microseconds: float | None
    missed: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether both differences are allowed, and no limit is missed."""
        return max(self.error, self.state_error) <= self.allowed and not self.missed

    @property
    def problem(self) -> str:
        """What is not as it should be, in words."""
        if self.missed:
            return "; ".join(self.missed)
        return f"outputs off by {self.error:.2g}, states by {self.state_error:.2g} (allowed {self.allowed:.2g})"


def prove_source(
    source: CSource,
    path: Path,
    folder: Path,
    *,
    steps: int = STEPS,
    backends: Sequence[str] | None = None,
    allow_inaccurate: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Comparison]:
    """Compile `source` in `folder` and compare it with the model file at `path`, of which it was printed.

    Args:
        source: The C.
        path: The model file.
        folder: For the program.
        steps: Steps that carry the state.
        backends: Interpreters to compare with; None: all that step the file here.
        allow_inaccurate: C that rounds more than its file may miss the limits of int8 files.
        progress: Called with a text at the start of each piece of work.

    Returns:
        A comparison for each runtime and run: with numpy in float64, and with each interpreter.

    Raises:
        CompilerError: There is no compiler, or it refuses the source.
        BackendError: The program or an interpreter failed.
        ParityError: The C answers otherwise, or rounds so much that an int8 file would be refused.
    """
    file, arithmetic = read_model_file(path), source.arithmetic
    specs = runs_of(file, steps, own=not arithmetic.is_exact)
    progress(f"compiling with {find_compiler().version}")
    compiled = CompiledStep(source, file.manifest, folder)
    progress(f"stepping the C: {steps} carried steps from two states, and others from given states")
    found = {start: compiled.trace(spec) for start, spec in specs.items()}
    short = {start: first_steps(spec, _SANITIZED_STEPS) for start, spec in specs.items()}
    sanitized = CompiledStep(source, file.manifest, folder, SANITIZED)
    for spec in short.values():
        sanitized.trace(spec)
    results = against_numpy(file, arithmetic, specs, found)
    others: dict[str, Traces] = {}
    named = backends if backends is not None else installed_backends(file.format)
    for backend in (name for name in named if name not in (NATIVE, NUMPY)):  # the engine runs the same statements
        progress(f"comparing with {describe_backend(backend)}")
        worker = WorkerProcess()
        try:
            others[describe_backend(backend)] = trace_in_worker(worker, path, backend, specs)
        finally:
            worker.close()
    if arithmetic.is_exact:
        for runtime, traced in others.items():
            results += _against_interpreter(file.manifest, results, runtime, traced, found)
    else:
        results += _costs(file, arithmetic, specs, others, found)
    require_all(source, path.name, [each for each in results if not (allow_inaccurate and each.missed)])
    return results


def against_numpy(
    file: ModelFile, arithmetic: Arithmetic, specs: Mapping[str, RunSpec], found: Traces
) -> list[Comparison]:
    """Return the comparisons of C with numpy in float64, which has the same weights."""
    exact, rounded = (
        {start: run_program(program, file.manifest, spec) for start, spec in specs.items()}
        for program in (exact_program(file, arithmetic), rounded_program(file, arithmetic))
    )
    results = []
    title = "numpy, float64 with int8 weights" if arithmetic.int8 else "numpy, float64"
    for start, result in found.items():
        allowed = max(TOLERANCE, ROUNDING * max(_differences(rounded[start], exact[start])))
        errors = _differences(result, exact[start])
        results.append(Comparison(title, start, len(specs[start].inputs), *errors, allowed, result.microseconds))
    return results


def _against_interpreter(
    manifest: Manifest, results: Sequence[Comparison], runtime: str, traced: Traces, found: Traces
) -> list[Comparison]:
    """Return the comparisons with an interpreter, of C that computes as the file says."""
    made = []
    for own in results[: len(found)]:
        errors = _differences(found[own.start], traced[own.start])
        if manifest.quantization not in (FLOAT32, FLOAT16):
            errors = errors[0], 0.0  # it rounds what weights are multiplied with, which is carried on in the state
        allowed = _allowed_of_interpreter(manifest, own)
        made.append(replace(own, runtime=runtime, error=errors[0], state_error=errors[1], allowed=allowed))
    return made


def _costs(
    file: ModelFile, arithmetic: Arithmetic, specs: Mapping[str, RunSpec], others: Mapping[str, Traces], found: Traces
) -> list[Comparison]:
    """Return the comparisons with the file itself of C that rounds more than it, judged as an int8 file is.

    A carried run in which float32 alone takes the answers that far proves nothing, and is not judged.
    """
    limits, made = TOLERANCES[INT8], []
    right, single = (
        {start: run_program(step_program(file, floats), file.manifest, spec) for start, spec in specs.items()}
        for floats in (np.float64, np.float32)
    )
    # With the weights of the file numpy was compared already, and judges alone where there is no interpreter.
    judges = {"numpy, float64": right, **others} if arithmetic.int8 or not others else others
    for runtime, traced in judges.items():
        for start, spec in specs.items():
            error, state_error = _differences(found[start], traced[start])
            missed: list[str] = []
            if spec.each and not state_error <= limits.state:
                missed = [f"a state is off by {state_error:.2g} (allowed {limits.state:g})"]
            elif not (spec.each or limits.missed(quality_of(file.manifest, spec, single[start], right[start]))):
                missed = limits.missed(quality_of(file.manifest, spec, found[start], traced[start]))
            state_error = state_error if spec.each else 0.0
            made.append(
                Comparison(runtime, start, len(spec.inputs), error, state_error, inf, found[start].microseconds,
                           tuple(missed))
            )  # fmt: skip
    return made


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


def _allowed_of_interpreter(manifest: Manifest, own: Comparison) -> float:
    if manifest.quantization in (FLOAT32, FLOAT16) or manifest.golden is None:
        return 2 * own.allowed
    return max(own.allowed, 10 * manifest.golden.tolerance)


def require_all(source: CSource, name: str, results: Sequence[Comparison]) -> None:
    """Raise ParityError unless all comparisons of the C of the file `name` hold."""
    wrong = [each for each in results if not each.holds]
    if not wrong:
        return
    listed = "\n".join(f"  - {each.runtime}, {each.start}: {each.problem}" for each in wrong)
    remedy = "Nothing was written."
    if all(each.missed for each in wrong):
        remedy += f" Leave out {source.arithmetic.option}, or have it as it is with: --allow-inaccurate"
    raise ParityError(
        f"The C of {name} answers otherwise than the file, within {wrong[0].steps} steps:\n{listed}\n{remedy}"
    )
