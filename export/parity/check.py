"""Parity: a model file, stepped one symbol at a time on an interpreter, against the expected runs.

A carried run counts unless the model magnifies rounding errors so much on it that float32 arithmetic in numpy would not
be within the tolerance either. The single steps count for the states always, for the outputs with float32 always, and
with quantised weights if no carried run counts: a quantised file errs a little in every step, so that its outputs are
judged on symbols as they really occur.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...runtime.common.arrays import Floats
from ...runtime.common.errors import ParityError
from ...runtime.format.vocabulary import Vocabulary
from ...runtime.interpreters.registry import describe_backend
from ...runtime.worker.messages import RunResult
from ..ops.precision import FLOAT32, INT8
from .device_process import DeviceProcesses
from .expected import Expected, ExpectedRun
from .metrics import deviation, outputs_of, per_step, relative
from .parity import EACH, INITIAL, Parity

# Between two ways to step a file, which make the same products of the same numbers and add them in another order: 0 for
# an LSTM on ai-edge-litert, 1.2e-7 elsewhere. Carried over many steps it grows as rounding errors do, by a factor that
# numpy shows.
ALTERNATE_TOLERANCE = 1e-6
_ALTERNATE_ROUNDING = 10


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
    expected: Expected, start: str, found: RunResult, backend: str, format: str, quantization: str = FLOAT32
) -> Parity:
    """Compare the result of a file with the expected run `start`."""
    run, tolerance = expected.runs[start], expected.tolerances[quantization]
    step_function, steps = expected.step_function, len(run.spec.inputs)
    right = outputs_of(step_function, run.result)
    outputs = {name: per_step(relative(a, right[name])) for name, a in outputs_of(step_function, found).items()}
    states = {f"next_{n}": per_step(relative(a, run.result.states[n])) for n, a in found.states.items()}
    # Of a carried state only the last is known, so its error belongs to the last step.
    kept, every = run.spec.kept_steps, np.arange(steps)
    off = {
        (int(numbers[first - len(errors)]) + 1, -float(errors[first]), name)
        for group, numbers, allowed in ((outputs, kept, tolerance.error), (states, every, tolerance.state))
        for name, errors in group.items()
        for first in np.flatnonzero(errors > allowed)[:1]
    }
    first_step, _, first_tensor = min(off, default=(None, 0.0, None))
    worst: Floats = np.max(list(outputs.values()), axis=0)
    state_error = max(float(errors.max()) for errors in states.values())
    figures = deviation(step_function, run.spec, found, run.result)
    carried_proves = any(each.proves(tolerance) for name, each in expected.runs.items() if name != EACH)
    counts = run.proves(tolerance) if start != EACH else quantization == FLOAT32 or not carried_proves
    missed = tolerance.missed(figures) if counts else []
    if (start == EACH or (quantization == FLOAT32 and counts)) and not state_error <= tolerance.state:
        missed.append(f"a state is off by {state_error:.2g} (allowed {tolerance.state:g})")
    if counts or quantization != INT8:
        missed += _missed_by_alternates(expected, run, found, quantization)
    are_values = {output.activation == "linear" for output in step_function.interface.outputs}
    tenth = max(1, steps // 10)
    return Parity(
        backend=backend,
        runtime=describe_backend(backend),
        format=format,
        start=start,
        steps=steps,
        max_abs_error=figures.error,
        max_state_error=state_error,
        first_step=first_step,
        first_tensor=first_tensor,
        argmax_agreement=figures.agreement if False in are_values else None,
        nll_change=None if step_function.main.activation == "linear" else figures.nll_change,
        rounding=run.rounding.error,
        error_first_tenth=float(worst[kept < max(tenth, kept[0] + 1)].mean()),
        error_last_tenth=float(worst[kept >= min(steps - tenth, kept[-1])].mean()),
        quantization=quantization,
        missed=tuple(missed),
        other_ways={name: alternate.error for name, alternate in found.alternates.items()},
        microseconds=found.microseconds,
        errors=worst[np.minimum(np.searchsorted(kept, every), len(kept) - 1)],
        compared=None if run.spec.kept is None else len(kept),
        value_noise=figures.noise if True in are_values else None,
    )


def _missed_by_alternates(expected: Expected, run: ExpectedRun, found: RunResult, quantization: str) -> list[str]:
    """Return the figures beyond the tolerance of the other ways to step the file, in words.

    With int8 a difference in the last digit rounds a number to the next of 8 bits, now and then, which is carried on
    like the rounding of the first way. So there the other way is compared with Keras, as the first way is.
    """
    problems: list[str] = []
    allowed = max(ALTERNATE_TOLERANCE, _ALTERNATE_ROUNDING * run.rounding.error)
    for name, alternate in found.alternates.items():
        if quantization == INT8:
            result = replace(found, probabilities=alternate.probabilities)
            figures = replace(deviation(expected.step_function, run.spec, result, run.result), error=0.0)
            problems += [f"in {name} {problem}" for problem in expected.tolerances[INT8].missed(figures)]
        elif not alternate.error <= allowed:
            problems.append(f"in {name} it answers otherwise: off by {alternate.error:.2g} (allowed {allowed:.2g})")
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
        f"Keras and {path.name} differ by {worst.error:.2g} within {worst.steps} steps, {worst.how} "
        f"(allowed {expected.tolerances[FLOAT32].error:g}); first at step {worst.first_step} in {worst.first_tensor}, "
        f"{symbol}on {worst.runtime}. {consequence}".rstrip()
    )
