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
    GOLDEN_RUNS,
    MOST_OUTPUTS,
    ROUNDING_ALLOWED,
    as_rows,
    golden_tolerance,
    recorded_outputs,
)

_MOST_IDS = 2_000  # stepped one by one from the initial state, spread over the vocabulary
_CARRIED = 64
_SEED = 16
_NUDGE = 1e-6  # of the state: about the rounding of another interpreter
_MOST_NUMBERS = 2_000  # of the features of a golden run
# Two interpreters run the same float32 graph to within 1e-6 of each other, int8 ones to within a tenth; if they are
# farther apart than this, one of them does not do what the graph says.
_LARGEST_DISAGREEMENT = {"float32": 0.02, "int8": 0.1}
_QUANTA = 4  # of a quantised output: rounding in other places moves it by one or two
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
        if all(np.array_equal(after, start[tensor.name][0]) for after in every.states[tensor.name]):
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
    # Rounding: the difference of another interpreter, and that of a state which is off by a rounding error.
    rounding = _apart(first, "carried", first, "nudged", manifest, each=True)
    allowed = _allowed_difference(manifest)
    for other, found in others:
        apart = max(_apart(first, run, found, run, manifest) for run in (*_GOLDEN_NAMES, "carried"))
        if not apart <= allowed:
            raise AdoptionError(
                f"{name} cannot be adopted: {describe_backend(backend)} and {describe_backend(other)} answer "
                f"differently, by {apart:.2g} (allowed {allowed:.2g}); one of them does not run it as it is "
                "meant. Ask: stepcell doctor"
            )
        runs_of_both = (*_GOLDEN_NAMES, "carried")
        rounding = max(rounding, *(_apart(first, run, found, run, manifest, each=True) for run in runs_of_both))
    outputs = recorded_outputs(np.concatenate([first[run].probabilities for run in _GOLDEN_NAMES]))
    return Golden(
        tolerance=golden_tolerance(max(rounding, _quantum(manifest) / ROUNDING_ALLOWED)),
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
    )


def _apart(
    one: Mapping[str, RunResult], run: str, other: Mapping[str, RunResult], other_run: str, manifest: Manifest,
    *, each: bool = False,
) -> float:  # fmt: skip
    """Return the largest difference of an output in two runs.

    Above 1, that of values is in units of the largest one; with `each` in units of the value itself, as a replay of the
    golden sequence compares.
    """
    a, b = one[run], other[other_run]
    linear = {output.name: output.activation == "linear" for output in manifest.extra_outputs}
    pairs = [(a.probabilities, b.probabilities, manifest.output == "linear")]
    pairs += [(array, b.extra_outputs[name], linear[name]) for name, array in a.extra_outputs.items()]
    worst = 0.0
    for x, y, values in pairs:
        size = np.abs(x) if each else np.abs(x).max()
        worst = max(worst, float((np.abs(x - y) / (np.maximum(1.0, size) if values else 1.0)).max()))
    return worst


def _allowed_difference(manifest: Manifest) -> float:
    """Return how far interpreters may be apart, for a file of the precision that `manifest` says."""
    of_file = _LARGEST_DISAGREEMENT["int8" if manifest.quantization == "int8" else "float32"]
    return max(of_file, _QUANTA * _quantum(manifest))


def _quantum(manifest: Manifest) -> float:
    """Return the largest step between two numbers of a quantised output, in units of its range if that is above 1."""
    mapping = manifest.io_mapping
    assert mapping is not None, "every draft has one"
    ports = (mapping.output, *mapping.outputs.values())
    return max(port.scale / max(1.0, port.scale * 127) if port.scale else 0.0 for port in ports)


def _repeated(state: Mapping[str, Float32], times: int) -> dict[str, Float32]:
    return {name: np.repeat(array, times, axis=0) for name, array in state.items()}


def _same(one: RunResult, other: RunResult) -> bool:
    states = all(np.array_equal(array, other.states[name]) for name, array in one.states.items())
    return states and np.array_equal(one.probabilities, other.probabilities)
