"""Run a step function in numpy: in float64 it is the reference whose rounding errors do not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.common.arrays import AnyArray, Ids
from ...runtime.format.tensor_specs import SYMBOL, Inputs
from ...runtime.worker.messages import RunResult, State
from ..ops import NumpyOps, RoundedOps
from ..ops.precision import Rounding, unrounded
from .build import StepFunction

_AT_ONCE = 256  # windows that are computed in one batch


def run_numpy(
    step_function: StepFunction,
    inputs: Inputs,
    starts: Sequence[State],
    dtype: type[np.floating[Any]] = np.float64,
    rounding: Rounding = unrounded,
    recorded: int | None = None,
    kept: Ids | None = None,
) -> list[RunResult]:
    """Step `inputs` in numpy from each of `starts`, all of them in one batch: in float64, or rounded as float32 may be.

    Returns:
        The outputs of the steps `kept` (None: all), and the state after each step, or after each of the last `recorded`
        ones: the past inputs of a few convolutions over 10,000 steps would fill the memory. Overflow gives infinities
        and no warning.
    """
    ops = NumpyOps(dtype, rounding) if dtype is np.float64 else RoundedOps(rounding)
    if step_function.whole is not None:
        return [_at_once(step_function, ops, inputs, start, dtype, recorded, kept) for start in starts]
    current = {name: np.concatenate([start[name] for start in starts]).astype(dtype) for name in starts[0]}
    places = {step: place for place, step in enumerate(range(len(inputs)) if kept is None else kept.tolist())}
    outputs = {o.name: np.empty((len(starts), len(places), o.size), dtype) for o in step_function.interface.outputs}
    skipped = 0 if recorded is None else max(len(inputs) - recorded, 0)
    steps = len(inputs) - skipped
    states = {name: np.empty((len(starts), steps, *array.shape[1:]), dtype) for name, array in current.items()}
    rows = np.zeros(len(starts), int)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(len(inputs)):
            made, current = step_function.advance(ops, as_mapping(inputs[rows + step]), current)
            if step in places:
                for name, array in made.items():
                    outputs[name][:, places[step]] = array
            if step >= skipped:
                for name, array in current.items():
                    states[name][:, step - skipped] = array
    main = outputs.pop(step_function.main.name)
    return [
        RunResult(main[row], {n: a[row] for n, a in states.items()}, None, {n: a[row] for n, a in outputs.items()})
        for row in range(len(starts))
    ]


def _at_once(
    step_function: StepFunction,
    ops: NumpyOps,
    inputs: Inputs,
    start: State,
    dtype: type[np.floating[Any]],
    recorded: int | None,
    kept: Ids | None,
) -> RunResult:
    """Return what `run_numpy` does of a window that is computed anew: its state is known before it is stepped."""
    assert step_function.whole is not None, "another step function is stepped"
    states = step_function.whole.states_before(inputs, {name: array.astype(dtype) for name, array in start.items()})
    steps = np.arange(len(inputs)) if kept is None else kept
    parts = []
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(steps), _AT_ONCE):
            part = steps[first : first + _AT_ONCE]
            before = {name: array[part] for name, array in states.items()}
            parts.append(step_function.advance(ops, as_mapping(inputs[part]), before)[0])
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    after = {name: array[1:][-(recorded or len(inputs)) :] for name, array in states.items()}
    return RunResult(outputs.pop(step_function.main.name), after, None, outputs)


def as_mapping(inputs: Inputs) -> dict[str, AnyArray]:
    """Return `inputs` as a step function takes them, the steps as its batch."""
    return {SYMBOL: inputs.ids, **inputs.features}
