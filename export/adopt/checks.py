"""Checks of a mapping by stepping: the runs of a graph, the problems they show, and their golden sequence."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Floats
from ...runtime.common.errors import AdoptionError
from ...runtime.format.manifest import Golden, GoldenRun, Manifest, StateTensor
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.golden import start_state
from ...runtime.interpreters.registry import describe_backend
from ...runtime.worker.messages import RunResult, RunSpec
from ..ops.golden import (
    FLOAT32_TOLERANCE,
    GOLDEN_RUNS,
    MOST_OUTPUTS,
    ROUNDING_ALLOWED,
    allowed_difference,
    as_rows,
    golden_tolerance,
    recorded_outputs,
)
from ..parity.scale import scale_of

_MOST_IDS = 2_000  # stepped one by one from the initial state, spread over the vocabulary
_CARRIED = 64
_SEED = 16
_NUDGE = 1e-6  # of the state: about the rounding of another interpreter
_MOST_NUMBERS = 2_000  # of the features of a golden run
# Two interpreters run the same float32 graph to within 1e-6 of each other, int8 ones to within a tenth of the range of
# an output; if they are farther apart than this, one of them does not do what the graph says.
_LARGEST_DISAGREEMENT = {"float32": 0.02, "int8": 0.1}
_QUANTA = 4  # of a quantised output: rounding in other places moves it by one or two
_MAIN = ""  # the main output
_GOLDEN_NAMES = tuple(f"golden{number}" for number in range(len(GOLDEN_RUNS)))


def runs_to_make(manifest: Manifest) -> dict[str, RunSpec]:
    """Return everything that a graph has to step before its mapping is believed, by name."""
    random = np.random.default_rng(_SEED)
    size, state = len(manifest.vocabulary) or 1, manifest.state
    carried = _inputs(manifest, random.integers(0, size, _CARRIED), random)
    known = np.linspace(0, size - 1, min(size, _MOST_IDS)).astype(np.int32)
    every = _inputs(manifest, np.unique(known) if len(manifest.vocabulary) else np.zeros(_CARRIED), random)
    start, ramp = initial_state(state), start_state("ramp", state)
    nudged = {t.name: start[t.name] + np.float32(_NUDGE if t.dtype == "float32" else 0) for t in state}
    runs = {
        "every": RunSpec(every, _repeated(start, len(every)), each=True),
        "carried": RunSpec(carried, start),
        "again": RunSpec(carried, start),
        "ramp": RunSpec(carried[:4], _repeated(ramp, 4), each=True),
        "nudged": RunSpec(carried, nudged),
    }
    for tensor in state:  # do the outputs depend on this input?
        changed = {**ramp, tensor.name: _other(ramp[tensor.name], tensor.dtype)}
        runs[f"without {tensor.name}"] = RunSpec(carried[:4], _repeated(changed, 4), each=True)
    for name, (golden_start, steps) in zip(_GOLDEN_NAMES, _golden_runs(manifest), strict=True):
        runs[name] = RunSpec(carried[:steps], start_state(golden_start, state))
    return runs


def _inputs(manifest: Manifest, ids: AnyArray, random: np.random.Generator) -> Inputs:
    """Return symbols with features of several magnitudes, with few digits."""
    mapping = manifest.io_mapping
    assert mapping is not None, "every draft has one"
    features = {}
    for feature in manifest.features:
        port, shape = mapping.features[feature.name], (len(ids), *feature.shape)
        sizes = random.choice([0.1, 1.0], (len(ids), *(1 for _ in feature.shape)))
        numbers = (random.normal(size=shape) * sizes).round(2)
        if port.dtype != "float32":  # integers around several means
            widths = random.choice([5.0, 20.0, 60.0], sizes.shape)
            means = random.choice([0.0, 40.0, 100.0], sizes.shape)
            whole = (random.normal(size=shape) * widths + means).round() if port.scale else random.integers(0, 2, shape)
            numbers = whole * np.float32(port.scale or 1.0)
        features[feature.name] = numbers.astype(np.float32)
    return Inputs(ids.astype(np.int32), features)


def _golden_runs(manifest: Manifest) -> list[tuple[str, int]]:
    """Return start and length of each golden run: shorter ones where a step has many numbers."""
    width = sum(prod(feature.shape) for feature in manifest.features)
    return [(start, min(steps, max(2, _MOST_NUMBERS // max(1, width)))) for start, steps in GOLDEN_RUNS]


def _other(ramp: Float32, dtype: str) -> Float32:
    """Return another state than `ramp`, of the same type."""
    return 1 - ramp if dtype == "bool" else 101 - ramp if dtype == "uint8" else -ramp


def problems_of(
    results: Mapping[str, RunResult], state: tuple[StateTensor, ...], *, reads_symbols: bool = True
) -> list[str]:
    """Return the problems of a mapping that the results of its graph show."""
    problems = []
    start = initial_state(state)
    every, carried, again, ramp = (results[name] for name in ("every", "carried", "again", "ramp"))
    what = "symbol" if reads_symbols else "input"
    if not all(np.isfinite(array).all() for array in (carried.probabilities, *carried.states.values())):
        return ["its answers or its state are not finite numbers"]
    if not _same(carried, again):
        problems.append(
            f"the same {what}s from the same state give other answers the second time: it keeps something inside that "
            "is not among its inputs, or draws random numbers"
        )
    for tensor in state:
        moved = (*every.states[tensor.name], carried.states[tensor.name][-1])
        if all(np.array_equal(after, start[tensor.name][0]) for after in moved):
            problems.append(f"no {what} moves the state {tensor.name}: what comes out is not its next value")
        if _same(ramp, results[f"without {tensor.name}"]):
            problems.append(f"nothing that comes out depends on the state {tensor.name}")
    return problems


def activation_of(outputs: Floats) -> tuple[str, str]:
    """Tell from outputs, (T, K), whether they are "softmax", "sigmoid" or "logits", and the reason."""
    sums = outputs.sum(axis=1)
    if outputs.min() >= 0 and outputs.max() <= 1:
        if np.abs(sums - 1).max() < 1e-3:
            return "softmax", "its numbers sum to 1"
        return "sigmoid", f"its numbers lie between 0 and 1 and sum to {sums.min():.3g} to {sums.max():.3g}"
    return "logits", f"its numbers lie between {outputs.min():.3g} and {outputs.max():.3g}"


def golden_of(
    results: Mapping[str, Mapping[str, RunResult]], runs: Mapping[str, RunSpec], manifest: Manifest, name: str
) -> Golden:
    """Record the outputs of the first interpreter; the others must agree.

    Args:
        results: Backend -> name of a run -> its result.
        runs: The runs.
        manifest: The manifest, with the activation of its outputs.
        name: Name of the file, for messages.

    Raises:
        AdoptionError: Two interpreters answer differently.
    """
    (backend, first), *others = results.items()
    allowed = _LARGEST_DISAGREEMENT["int8" if manifest.quantization == "int8" else "float32"]
    # Rounding: the difference of another interpreter, and that of a state which is off by a rounding error.
    rounding = {n: np.abs(a - b).max(axis=0) for n, (a, b) in _pairs(first, "carried", first, "nudged").items()}
    for other, found in others:
        for run in (*_GOLDEN_NAMES, "carried"):
            for output, (one, another) in _pairs(first, run, found, run).items():
                rounding[output] = np.maximum(rounding[output], np.abs(one - another).max(axis=0))
                scale = scale_of(_all_of(first, output), bounded=_activations(manifest)[output] != "linear").coarse
                apart, quanta = float(np.abs(one - another).max()), _QUANTA * _scale_of(manifest, output)
                if not apart <= max(allowed * scale, quanta):
                    raise AdoptionError(
                        f"{name} cannot be adopted: {describe_backend(backend)} and {describe_backend(other)} answer "
                        f"differently, by {apart:.2g} (allowed {max(allowed * scale, quanta):.2g}); one of them does "
                        "not run it as it is meant. Ask: stepcell doctor"
                    )
    outputs = recorded_outputs(np.concatenate([first[run].probabilities for run in _GOLDEN_NAMES]))
    columns = {output: outputs if output == _MAIN else list(range(MOST_OUTPUTS)) for output in rounding}
    tolerance, scales = _tolerance_and_scales(first, rounding, columns, manifest)
    return Golden(
        tolerance=tolerance,
        outputs=tuple(outputs),
        runs=tuple(
            GoldenRun(
                start,
                tuple(runs[run].inputs.ids.tolist()),
                as_rows(first[run].probabilities[:, outputs]),
                {n: as_rows(a.reshape(len(a), -1)) for n, a in runs[run].inputs.features.items()},
                {n: as_rows(a[:, :MOST_OUTPUTS]) for n, a in first[run].extra_outputs.items()},
            )
            for run, (start, _) in zip(_GOLDEN_NAMES, GOLDEN_RUNS, strict=True)
        ),
        scales=scales,
    )


def _tolerance_and_scales(
    first: Mapping[str, RunResult], rounding: Mapping[str, Floats], columns: Mapping[str, list[int]], manifest: Manifest
) -> tuple[float, dict[str, tuple[float, ...]]]:
    """Return the tolerance of the golden sequence, and the scales of values in it."""
    worst, allowed = FLOAT32_TOLERANCE, dict[str, Floats]()
    for output, activation in _activations(manifest).items():
        values = _all_of(first, output)
        kept = [column for column in columns[output] if column < values.shape[1]]
        off = np.maximum(rounding[output], 2 * _scale_of(manifest, output) / ROUNDING_ALLOWED)[kept]
        if activation == "linear":
            allowed[manifest.answer if output == _MAIN else output] = allowed_difference(values[:, kept], off)
        else:
            worst = max(worst, golden_tolerance(float(off.max(initial=0))))
    return worst, {n: tuple(float(f"{x:.2e}") for x in numbers / worst) for n, numbers in allowed.items()}


def _pairs(
    one: Mapping[str, RunResult], run: str, other: Mapping[str, RunResult], other_run: str
) -> dict[str, tuple[Floats, Floats]]:
    """Return name of an output -> what it is in two runs, (T, K) each."""
    a, b = one[run], other[other_run]
    pairs = {_MAIN: (a.probabilities, b.probabilities)}
    return pairs | {name: (array, b.extra_outputs[name]) for name, array in a.extra_outputs.items()}


def _all_of(results: Mapping[str, RunResult], output: str) -> Floats:
    """Return an output in all runs that are recorded or carried, (T, K)."""
    runs = [results[run] for run in (*_GOLDEN_NAMES, "carried")]
    return np.concatenate([run.probabilities if output == _MAIN else run.extra_outputs[output] for run in runs])


def _activations(manifest: Manifest) -> dict[str, str]:
    return {_MAIN: manifest.output} | {output.name: output.activation for output in manifest.extra_outputs}


def _scale_of(manifest: Manifest, output: str) -> float:
    """Return the step between two numbers of a quantised output, 0 of any other."""
    mapping = manifest.io_mapping
    assert mapping is not None, "every draft has one"
    return (mapping.output if output == _MAIN else mapping.outputs[output]).scale


def _repeated(state: Mapping[str, Float32], times: int) -> dict[str, Float32]:
    return {name: np.repeat(array, times, axis=0) for name, array in state.items()}


def _same(one: RunResult, other: RunResult) -> bool:
    states = all(np.array_equal(array, other.states[name]) for name, array in one.states.items())
    return states and np.array_equal(one.probabilities, other.probabilities)
