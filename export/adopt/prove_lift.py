"""The proof of lifted state: the original and the lifted graph step side by side, and every bit is compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import AdoptionError
from ...runtime.common.run_worker import WorkerProcess
from ...runtime.doctor.compatibility import incompatibilities
from ...runtime.doctor.diagnosis import is_installed
from ...runtime.doctor.packages import INTERPRETERS
from ...runtime.format.io_mapping import TensorSpec
from ...runtime.format.model_file import TFLITE
from ...runtime.format.tflite_graph import read_tflite_graph, tensors_of
from ...runtime.interpreters.registry import describe_backend, installed_version
from ...runtime.worker.messages import pack_arrays
from .lift import Lifted

STEPS = 1_000
_SEED = 4
_TIMEOUT = 600.0  # seconds


def prove_lift(lifted: Lifted, folder: Path, name: str, worker: WorkerProcess) -> str:
    """Step the original and the lifted graph with the same inputs and compare all answers and states, bit for bit.

    Args:
        lifted: Both graphs.
        folder: A folder to write them to.
        name: Name of the file, for messages.
        worker: The process to step them in.

    Returns:
        What was proven, in a line.

    Raises:
        AdoptionError: They differ, no interpreter steps them, or nothing moves, which would prove nothing.
    """
    paths = folder / "original.tflite", folder / "lifted.tflite"
    for path, content in zip(paths, (lifted.exposed, lifted.payload), strict=True):
        path.write_bytes(content)
    fed = _varied_inputs(lifted.exposed)
    starts = {f"start/{state.name}": state.start for state in lifted.states}
    carried = {state.name: f"next_{state.name}" for state in lifted.states}
    nothing: dict[str, str] = {}
    steps = ((paths[0], pack_arrays(fed), nothing), (paths[1], pack_arrays(fed | starts), carried))
    proven, failures = [], []
    for interpreter in INTERPRETERS:
        if interpreter.format != TFLITE or interpreter.is_fallback or not is_installed(interpreter.backend):
            continue
        runtime = describe_backend(interpreter.backend)
        version = installed_version(interpreter.distribution) or ""
        problems = incompatibilities(read_tflite_graph(lifted.exposed), interpreter, version)
        runs = []
        for path, blob, fed_back in steps if not problems else ():
            found = worker.request(
                "step_raw", blob, timeout=_TIMEOUT, model=str(path), backend=interpreter.backend, carried=fed_back
            )
            problems = [found.failure] if found.failure is not None else problems
            runs.append(found.value)
        if problems:
            failures.append(f"{runtime} does not step it: {'; '.join(problems)}")
            continue
        _compare(runs[0], runs[1], lifted, runtime, name)
        proven.append(runtime)
    if not proven:
        raise AdoptionError(
            f"The lifted state of {name} could not be proven: "
            f"{'; '.join(failures) or 'no TFLite interpreter is installed'}. Nothing was written."
        )
    count = len(lifted.states)
    return (
        f"lifted: {count} state{'s' * (count != 1)}, equal bit for bit over {STEPS:,} steps on {' and '.join(proven)}"
    )


def _compare(
    original: list[Mapping[str, str]], lifted_run: list[Mapping[str, str]], lifted: Lifted, runtime: str, name: str
) -> None:
    """Compare the digests of all outputs of all steps."""
    shown = {state.exposed: f"next_{state.name}" for state in lifted.states if state.exposed is not None}
    pairs = {output: shown.get(output, output) for output in original[0]}
    for step, (one, other) in enumerate(zip(original, lifted_run, strict=True), start=1):
        differing = [output for output, target in pairs.items() if one[output] != other[target]]
        if differing:
            raise AdoptionError(
                f"{name} cannot be lifted: at step {step} {', '.join(differing)} differ from the original on "
                f"{runtime}. Nothing was written."
            )
    if all(len({step[output] for step in original}) == 1 for output in pairs):
        raise AdoptionError(
            f"{name} cannot be lifted: no input moves its answers or states on {runtime}, so nothing can be proven. "
            "Nothing was written."
        )


def _varied_inputs(payload: bytes) -> dict[str, AnyArray]:
    """Return inputs of several magnitudes for the first graph of a file, name -> (T, ...)."""
    graph = read_tflite_graph(payload)
    _, inputs, _ = tensors_of(graph, "")
    random = np.random.default_rng(_SEED)
    specs = [
        TensorSpec(name, graph.subgraphs[0].tensors[index].type, graph.subgraphs[0].tensors[index].shape)
        for name, index in inputs.items()
    ]
    return {spec.name: varied(spec, STEPS, random) for spec in specs}


def varied(spec: TensorSpec, steps: int, random: np.random.Generator) -> AnyArray:
    """Return random numbers for an input: floats of two magnitudes, small integers around several means, or 0 and 1.

    Returns:
        Of the type of the input, shape (steps, *shape).
    """
    shape, each = (steps, *spec.shape), (steps, *(1 for _ in spec.shape))
    numbers: AnyArray
    if spec.dtype == "float32":
        numbers = random.normal(size=shape) * random.choice([0.1, 1.0], each)
    elif spec.dtype in ("int8", "uint8", "int16"):
        limits = np.iinfo(spec.dtype)
        width, span = random.choice([0.02, 0.1, 0.25], each), limits.max - limits.min
        numbers = (
            random.normal(size=shape) * width * span + limits.min + random.choice([0.0, 0.15, 0.4, 0.6], each) * span
        )
        numbers = numbers.round().clip(limits.min, limits.max)
    else:
        numbers = random.integers(0, 2, shape)
    return numbers.astype(spec.dtype)
