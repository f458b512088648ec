"""Evidence that a mapping is right: what a graph does on every installed interpreter, each in a process of its own.

Makes the golden sequence of an adopted file: what the interpreters themselves answer, for want of a referee.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.common.arrays import Float32, Floats
from ...runtime.common.errors import AdoptionError, BackendError
from ...runtime.common.run_worker import WorkerProcess
from ...runtime.format.manifest import Golden, GoldenRun, Manifest, StateTensor
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.golden import start_state
from ...runtime.interpreters.registry import describe_backend
from ...runtime.worker.messages import RunResult, RunSpec, trace_in_worker

_MOST_IDS = 2_000  # stepped one by one from the initial state, spread over the vocabulary
_CARRIED = 64
_SEED = 16
_NUDGE = 1e-6  # of the state: about what float32 arithmetic of another interpreter may do to it
GOLDEN_RUNS = (("initial", 10), ("ramp", 10), ("initial", 4))


def golden_name(number: int) -> str:
    """Return what the course of golden run `number` is called."""
    return f"golden{number}"


def courses(manifest: Manifest) -> dict[str, RunSpec]:
    """Return everything a graph has to step before it is believed."""
    random = np.random.default_rng(_SEED)
    size, state = len(manifest.vocabulary), manifest.state
    ids = random.integers(0, size, _CARRIED).astype(np.int32)
    every = np.unique(np.linspace(0, size - 1, min(size, _MOST_IDS)).astype(np.int32))
    ramp = start_state("ramp", state)
    found = {
        "every": RunSpec(Inputs(every), _repeated(initial_state(state), len(every)), each=True),
        "carried": RunSpec(Inputs(ids), initial_state(state)),
        "again": RunSpec(Inputs(ids), initial_state(state)),
        "ramp": RunSpec(Inputs(ids[:4]), _repeated(ramp, 4), each=True),
        "nudged": RunSpec(
            Inputs(ids), {name: array + np.float32(_NUDGE) for name, array in initial_state(state).items()}
        ),
    }
    for tensor in state:  # does what comes out depend on what goes in here?
        changed = {**ramp, tensor.name: -ramp[tensor.name]}
        found[f"without {tensor.name}"] = RunSpec(Inputs(ids[:4]), _repeated(changed, 4), each=True)
    for number, (start, steps) in enumerate(GOLDEN_RUNS):
        found[golden_name(number)] = RunSpec(Inputs(ids[:steps]), start_state(start, state))
    return found


def trace_file(path: Path, backend: str, all_courses: Mapping[str, RunSpec]) -> dict[str, RunResult]:
    """Step `all_courses` through the file at `path` in a process of its own.

    Raises:
        AdoptionError: The interpreter failed or crashed.
    """
    with WorkerProcess() as worker:
        try:
            return trace_in_worker(worker, path, backend, all_courses, timeout=600)
        except BackendError as error:
            raise AdoptionError(f"{describe_backend(backend)} does not step it: {error}") from None


def problems_of(traces: Mapping[str, RunResult], state: tuple[StateTensor, ...]) -> list[str]:
    """Say what is wrong with a step, by what it did."""
    problems = []
    start = initial_state(state)
    every, carried, again, ramp = (traces[name] for name in ("every", "carried", "again", "ramp"))
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
        if _same(ramp, traces[f"without {tensor.name}"], but=tensor.name):
            problems.append(f"nothing that comes out depends on the state {tensor.name}")
    return problems


@dataclass(frozen=True)
class Answer:
    """What the numbers are that a graph answers with.

    Attributes:
        activation: "softmax", "sigmoid" or "logits".
        why: What showed it.
    """

    activation: str
    why: str


def activation_of(answers: Floats) -> Answer:
    """Find out what the numbers are that a graph answers with, shape (T, K)."""
    sums = answers.sum(axis=1)
    if answers.min() >= 0 and answers.max() <= 1:
        if np.abs(sums - 1).max() < 1e-3:
            return Answer("softmax", "its numbers sum to 1")
        return Answer("sigmoid", f"its numbers lie between 0 and 1 and sum to {sums.min():.3g} to {sums.max():.3g}")
    return Answer("logits", f"its numbers lie between {answers.min():.3g} and {answers.max():.3g}")


def difference(one: Mapping[str, RunResult], other: Mapping[str, RunResult], names: list[str]) -> float:
    """Return the largest difference of a probability in the courses `names`."""
    return max(float(np.abs(one[name].probabilities - other[name].probabilities).max()) for name in names)


def likely_and_spread(answers: Floats, most: int) -> list[int]:
    """Return the answers worth recording, `most` at the most: the most likely ones, then some spread over the rest."""
    likely = sorted({int(id) for id in answers.argmax(axis=1)})
    spread = np.linspace(0, answers.shape[1] - 1, min(answers.shape[1], most)).astype(int).tolist()
    return sorted([*likely, *(id for id in spread if id not in likely)][:most])


def _repeated(state: Mapping[str, Float32], times: int) -> dict[str, Float32]:
    return {name: np.repeat(array, times, axis=0) for name, array in state.items()}


def _same(one: RunResult, other: RunResult, but: str = "") -> bool:
    states = all(np.array_equal(array, other.states[name]) for name, array in one.states.items() if name != but)
    own = but == "" or np.array_equal(one.states[but], other.states[but])
    return states and own and np.array_equal(one.probabilities, other.probabilities)


# Two interpreters run the same float32 graph to within 1e-6 of each other, int8 ones to within a tenth; where they are
# farther apart than this, one of them does not do what the graph says.
_LARGEST_DISAGREEMENT = 0.02
_TOLERANCE = 1e-5
_ROUNDING_ALLOWED = 10  # as in exported files: times what rounding was seen to do
_MOST_OUTPUTS = 32


def golden_of(traces: Mapping[str, Mapping[str, RunResult]], all_courses: Mapping[str, RunSpec], name: str) -> Golden:
    """Record what the first interpreter answers; the others must answer alike.

    Args:
        traces: Backend -> name of a course -> what came out.
        all_courses: What went in.
        name: Name of the file, for messages.

    Raises:
        AdoptionError: Two interpreters answer differently.
    """
    backends = list(traces)
    first = traces[backends[0]]
    names = [golden_name(number) for number in range(len(GOLDEN_RUNS))]
    # Rounding: what another interpreter does, and what a state that is off by a rounding error does.
    rounding = float(np.abs(first["nudged"].probabilities - first["carried"].probabilities).max())
    for backend in backends[1:]:
        apart = difference(first, traces[backend], [*names, "carried"])
        if not apart <= _LARGEST_DISAGREEMENT:
            raise AdoptionError(
                f"{name} cannot be adopted: {describe_backend(backends[0])} and {describe_backend(backend)} answer "
                f"differently, by {apart:.2g} (allowed {_LARGEST_DISAGREEMENT}); one of them does not run it as it is "
                "meant. Ask: stepcell doctor"
            )
        rounding = max(rounding, apart)
    answers = np.concatenate([first[each].probabilities for each in names])
    outputs = likely_and_spread(answers, _MOST_OUTPUTS)
    return Golden(
        tolerance=max(_TOLERANCE, float(f"{_ROUNDING_ALLOWED * rounding:.0e}")),
        outputs=tuple(outputs),
        runs=tuple(
            GoldenRun(
                start,
                tuple(all_courses[each].inputs.ids.tolist()),
                tuple(tuple(float(f"{p:.7g}") for p in row[outputs]) for row in first[each].probabilities),
            )
            for each, (start, _) in zip(names, GOLDEN_RUNS, strict=True)
        ),
    )
