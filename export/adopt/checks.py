"""Checks of a mapping by stepping: the runs of a graph, the problems they show, and their golden sequence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...runtime.common.arrays import Float32, Floats
from ...runtime.common.errors import AdoptionError
from ...runtime.format.manifest import Golden, GoldenRun, Manifest, StateTensor
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.golden import start_state
from ...runtime.interpreters.registry import describe_backend
from ...runtime.worker.messages import RunResult, RunSpec
from ..ops.golden import GOLDEN_RUNS, as_rows, golden_tolerance, recorded_outputs

_MOST_IDS = 2_000  # stepped one by one from the initial state, spread over the vocabulary
_CARRIED = 64
_SEED = 16
_NUDGE = 1e-6  # of the state: about the rounding of another interpreter
# Two interpreters run the same float32 graph to within 1e-6 of each other, int8 ones to within a tenth; if they are
# farther apart than this, one of them does not do what the graph says.
_LARGEST_DISAGREEMENT = 0.02
_GOLDEN_NAMES = tuple(f"golden{number}" for number in range(len(GOLDEN_RUNS)))


def runs_to_make(manifest: Manifest) -> dict[str, RunSpec]:
    """Return everything that a graph has to step before its mapping is believed, by name."""
    random = np.random.default_rng(_SEED)
    size, state = len(manifest.vocabulary), manifest.state
    ids = random.integers(0, size, _CARRIED).astype(np.int32)
    every = np.unique(np.linspace(0, size - 1, min(size, _MOST_IDS)).astype(np.int32))
    start, ramp = initial_state(state), start_state("ramp", state)
    runs = {
        "every": RunSpec(Inputs(every), _repeated(start, len(every)), each=True),
        "carried": RunSpec(Inputs(ids), start),
        "again": RunSpec(Inputs(ids), start),
        "ramp": RunSpec(Inputs(ids[:4]), _repeated(ramp, 4), each=True),
        "nudged": RunSpec(Inputs(ids), {name: array + np.float32(_NUDGE) for name, array in start.items()}),
    }
    for tensor in state:  # do the outputs depend on this input?
        changed = {**ramp, tensor.name: -ramp[tensor.name]}
        runs[f"without {tensor.name}"] = RunSpec(Inputs(ids[:4]), _repeated(changed, 4), each=True)
    for name, (golden_start, steps) in zip(_GOLDEN_NAMES, GOLDEN_RUNS, strict=True):
        runs[name] = RunSpec(Inputs(ids[:steps]), start_state(golden_start, state))
    return runs


def problems_of(results: Mapping[str, RunResult], state: tuple[StateTensor, ...]) -> list[str]:
    """Return the problems of a mapping that the results of its graph show."""
    problems = []
    start = initial_state(state)
    every, carried, again, ramp = (results[name] for name in ("every", "carried", "again", "ramp"))
    if not all(np.isfinite(array).all() for array in (carried.probabilities, *carried.states.values())):
        return ["its answers or its state are not finite numbers"]
    if not _same(carried, again):
        problems.append(
            "the same symbols from the same state give other answers the second time: it keeps something inside that "
            "is not among its inputs, or draws random numbers"
        )
    for tensor in state:
        if all(np.array_equal(after, start[tensor.name][0]) for after in every.states[tensor.name]):
            problems.append(f"no symbol moves the state {tensor.name}: what comes out is not its next value")
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


def golden_of(results: Mapping[str, Mapping[str, RunResult]], runs: Mapping[str, RunSpec], name: str) -> Golden:
    """Record the outputs of the first interpreter; the others must agree.

    Args:
        results: Backend -> name of a run -> its result.
        runs: The runs.
        name: Name of the file, for messages.

    Raises:
        AdoptionError: Two interpreters answer differently.
    """
    (backend, first), *others = results.items()
    # Rounding: the difference of another interpreter, and that of a state which is off by a rounding error.
    rounding = float(np.abs(first["nudged"].probabilities - first["carried"].probabilities).max())
    for other, found in others:
        apart = max(
            float(np.abs(first[run].probabilities - found[run].probabilities).max())
            for run in (*_GOLDEN_NAMES, "carried")
        )
        if not apart <= _LARGEST_DISAGREEMENT:
            raise AdoptionError(
                f"{name} cannot be adopted: {describe_backend(backend)} and {describe_backend(other)} answer "
                f"differently, by {apart:.2g} (allowed {_LARGEST_DISAGREEMENT}); one of them does not run it as it is "
                "meant. Ask: stepcell doctor"
            )
        rounding = max(rounding, apart)
    outputs = recorded_outputs(np.concatenate([first[run].probabilities for run in _GOLDEN_NAMES]))
    return Golden(
        tolerance=golden_tolerance(rounding),
        outputs=tuple(outputs),
        runs=tuple(
            GoldenRun(start, tuple(runs[run].inputs.ids.tolist()), as_rows(first[run].probabilities[:, outputs]))
            for run, (start, _) in zip(_GOLDEN_NAMES, GOLDEN_RUNS, strict=True)
        ),
    )


def _repeated(state: Mapping[str, Float32], times: int) -> dict[str, Float32]:
    return {name: np.repeat(array, times, axis=0) for name, array in state.items()}


def _same(one: RunResult, other: RunResult) -> bool:
    states = all(np.array_equal(array, other.states[name]) for name, array in one.states.items())
    return states and np.array_equal(one.probabilities, other.probabilities)
