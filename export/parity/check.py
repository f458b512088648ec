"""Parity: a model file, stepped one symbol at a time on an interpreter, against the expected runs.

A carried run counts up to the step from which the model magnifies rounding errors so much that float32 arithmetic in
numpy would not be within the tolerance either; with quantised weights it counts as a whole or not at all. The single
steps count for the states always, for the outputs with float32 always, and with quantised weights if no carried run
counts: a quantised file errs a little in every step, so that its outputs are judged on symbols as they really occur.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...runtime.common.arrays import Floats
from ...runtime.common.errors import ParityError
from ...runtime.format.vocabulary import Vocabulary
from ...runtime.interpreters.registry import describe_backend
from ...runtime.worker.messages import RunResult
from ..ops.precision import FEW_BITS, FLOAT32
from .device_process import DeviceProcesses
from .expected import Expected, ExpectedRun
from .metrics import deviation, errors_of, in_units, outputs_of
from .parity import EACH, INITIAL, InUnits, Parity


def measure(
    expected: Expected,
    path: Path,
    format: str,
    quantization: str,
    backends: Sequence[str],
    device: DeviceProcesses,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Parity]:
    """Step the file at `path` on each of `backends` and compare.

    Args:
        expected: The runs of its model.
        path: A model file.
        format: "tflite", "onnx" or "sequence.onnx".
        quantization: Precision of its weights.
        backends: Names of backends that take the file.
        device: Worker processes to step it in.
        progress: Called with a text at the start of each piece of work.

    Raises:
        BackendError: An interpreter fails on the file.
    """
    specs = {start: run.spec for start, run in expected.runs.items()}
    steps = len(specs[INITIAL].inputs)
    progress(
        f"{quantization} {path.suffix[1:]} on {', '.join(map(describe_backend, backends))}: {steps} carried steps from "
        "two states"
    )
    with ThreadPoolExecutor() as pool:
        traces = list(pool.map(lambda backend: device.trace(path, backend, specs), backends))
    return [
        compare(expected, start, found, backend, format, quantization)
        for backend, trace in zip(backends, traces, strict=True)
        for start, found in trace.items()
    ]


def compare(
    expected: Expected,
    start: str,
    found: RunResult,
    backend: str,
    format: str,
    quantization: str = FLOAT32,
    *,
    runtime: str | None = None,
) -> Parity:
    """Compare the result of a file with the expected run `start`; `runtime` is the name of what is no interpreter."""
    run, tolerance = expected.runs[start], expected.tolerances[quantization]
    step_function, steps, exact = expected.step_function, len(run.spec.inputs), quantization == FLOAT32
    errors = errors_of(step_function, found, run.result, run.scales, quantization)
    outputs = {name: errors[name] for name in outputs_of(step_function, found)}
    states = {name: error for name, error in errors.items() if name not in outputs}
    # Of a carried state only the last is known, so its error belongs to the last step.
    kept, every = run.spec.kept_steps, np.arange(steps)
    if exact:
        limits = {name: np.broadcast_to(run.limits[name][-len(e) :], e.shape) for name, e in errors.items()}
    else:
        limits = {n: np.full(e.shape, tolerance.error if n in outputs else tolerance.state) for n, e in errors.items()}
    off = {
        (int(numbers[first - len(error)]) + 1, -float(error[first]), name, float(limits[name][first]))
        for group, numbers in ((outputs, kept), (states, every))
        for name, error in group.items()
        for first in np.flatnonzero(~(error <= limits[name]))[:1]
    }
    first_step, first_error, first_tensor, allowed = min(off, default=(None, 0.0, None, 0.0))
    worst: Floats = np.max(list(outputs.values()), axis=0)
    state_error = max(float(error.max()) for error in states.values())
    figures = deviation(step_function, run.spec, found, run.result, run.scales, quantization)
    carried_proves = any(each.proves(tolerance) for name, each in expected.runs.items() if name != EACH)
    counts = exact or (run.proves(tolerance) if start != EACH else not carried_proves)
    missed = tolerance.missed(figures) if counts and not exact else []
    if exact and first_step is not None:
        missed.append(f"{first_tensor} is off by {-first_error:.2g} of its range (allowed {allowed:.2g})")
    if start == EACH and not exact and not state_error <= tolerance.state:
        missed.append(f"a state is off by {state_error:.2g} (allowed {tolerance.state:g})")
    other_ways = {
        name: errors_of(step_function, alternate, found, run.scales) for name, alternate in found.alternates.items()
    }
    if counts or quantization not in FEW_BITS:
        missed += _missed_by_alternates(expected, run, found, other_ways, quantization)
    are_values = {output.activation == "linear" for output in step_function.interface.outputs}
    tenth = max(1, steps // 10)
    return Parity(
        backend=backend,
        runtime=runtime or describe_backend(backend),
        format=format,
        start=start,
        steps=steps,
        max_abs_error=figures.error,
        max_state_error=state_error,
        first_step=first_step,
        first_tensor=first_tensor,
        argmax_agreement=figures.agreement if False in are_values else None,
        nll_change=None if step_function.main.activation == "linear" else figures.nll_change,
        rounding=run.rounding_error,
        error_first_tenth=float(worst[kept < max(tenth, kept[0] + 1)].mean()),
        error_last_tenth=float(worst[kept >= min(steps - tenth, kept[-1])].mean()),
        quantization=quantization,
        missed=tuple(missed),
        other_ways={name: max(float(e.max()) for e in errors.values()) for name, errors in other_ways.items()},
        microseconds=found.microseconds,
        errors=worst[np.minimum(np.searchsorted(kept, every), len(kept) - 1)],
        compared=None if run.spec.kept is None else len(kept),
        value_noise=figures.noise if True in are_values else None,
        in_units=in_units(step_function, found, run.result, run.scales),
    )


def _missed_by_alternates(
    expected: Expected,
    run: ExpectedRun,
    found: RunResult,
    differences: Mapping[str, Mapping[str, Floats]],
    quantization: str,
) -> list[str]:
    """Return the figures beyond the tolerance of the other ways to step the file, in words.

    `differences` are those of each way from the first. They make the same products of the same numbers and add them in
    another order. With int8 a difference in the last digit rounds a number to the next of 8 bits, now and then, which
    is carried on like the rounding of the first way. So there the other way is compared with Keras, as the first is.
    """
    problems: list[str] = []
    for name, alternate in found.alternates.items():
        if quantization in FEW_BITS:
            figures = deviation(expected.step_function, run.spec, alternate, run.result, run.scales, quantization)
            missed = expected.tolerances[quantization].missed(replace(figures, error=0.0))
            problems += [f"in {name} {problem}" for problem in missed]
            continue
        for tensor, errors in differences[name].items():
            beyond = errors[~(errors <= run.limits[tensor][-len(errors) :])]
            if beyond.size:
                problems.append(f"in {name} it answers otherwise: off by {beyond.max():.2g} of its range in {tensor}")
    return problems


def require(
    expected: Expected, path: Path, results: Sequence[Parity], vocabulary: Vocabulary, consequence: str = ""
) -> None:
    """Raise unless all `results` of the file at `path` are within the tolerance.

    Raises:
        ParityError: For float32 with the largest difference, and its step, tensor and symbol; for other precisions with
            every figure that is beyond the tolerance. `consequence` ends the message.
    """
    failed = [parity for parity in results if not parity.holds]
    if not failed:
        return
    if failed[0].quantization != FLOAT32:
        problems = "\n".join(f"  - {', '.join(p.missed)}: {p.how}, on {p.runtime}" for p in failed)
        raise ParityError(
            f"{path.name} is farther from Keras than {failed[0].quantization} may be:\n{problems}\n"
            f"{consequence}".rstrip()
        )
    # The comparison of each step tells best where the fault is.
    worst = max(failed, key=lambda parity: (parity.start == EACH, parity.error))
    if worst.first_step is None:  # right where it was compared with Keras, and wrong elsewhere
        raise ParityError(f"{path.name}: {', '.join(worst.missed)}, on {worst.runtime}. {consequence}".rstrip())
    id = int(expected.runs[worst.start].spec.inputs.ids[worst.first_step - 1])
    symbol = f"symbol {vocabulary.decode(id)!r}, " if len(vocabulary) else ""
    raise ParityError(
        f"Keras and {path.name} differ by {worst.error:.2g} of the range within {worst.steps} steps, {worst.how} "
        f"(allowed {expected.tolerances[FLOAT32].error:g}); first at step {worst.first_step} in {worst.first_tensor}, "
        f"{symbol}on {worst.runtime}.{_in_words(worst.in_units)} {consequence}".rstrip()
    )


def _in_words(units: Sequence[InUnits]) -> str:
    """Return the largest of the errors in units as a sentence."""
    if not units:
        return ""
    worst = max(units, key=lambda each: each.share)
    return f" The values of {worst.describe()} are off by {worst.error:.2g} of a range of {worst.range:.4g}."
