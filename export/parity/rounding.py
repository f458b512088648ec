"""Rounding: how far apart two right computations of a step may be, from the step function in float64 and in float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...runtime.common.arrays import Floats, Ids
from ...runtime.format.tensor_specs import Inputs
from ...runtime.worker.messages import RunResult, State
from ..ops import NumpyOps, RoundedOps
from ..ops.golden import FLOAT32_TOLERANCE, ROUNDING_ALLOWED
from ..step_function.build import StepFunction
from ..step_function.run import as_mapping
from .metrics import outputs_of
from .scale import Scale, scale_of

_MOST_STEPS = 2_000  # the largest error of so many, each of another symbol and state, is known well enough
_NUMBERS_AT_ONCE = 1 << 20


def rounding_of_single_steps(
    step_function: StepFunction, inputs: Inputs, states: State, answered: Ids | None = None
) -> dict[str, Floats]:
    """Return the largest rounding error of each number in a single step, by the name of its output or next state.

    Args:
        step_function: The step function of the model.
        inputs: Inputs, one for each step.
        states: The state before each step, (N, ...).
        answered: Indices of the steps whose outputs count; None: all.
    """
    names = {output.name for output in step_function.interface.outputs}
    counts = np.isin(np.arange(len(inputs)), np.arange(len(inputs)) if answered is None else answered)
    width = sum(output.size for output in step_function.interface.outputs)
    width += sum(array[0].size for array in states.values())
    size = max(1, _NUMBERS_AT_ONCE // width)
    exact, rounded = NumpyOps(), RoundedOps()
    largest: dict[str, Floats] = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, min(len(inputs), _MOST_STEPS), size):
            part = slice(begin, begin + size)
            given = as_mapping(inputs[part])
            in_double, in_single = (
                _named(*step_function.advance(ops, given, {name: a[part].astype(dtype) for name, a in states.items()}))
                for ops, dtype in ((exact, np.float64), (rounded, np.float32))
            )
            for name, array in in_double.items():
                errors = np.abs(in_single[name] - array)
                errors = errors[counts[part]] if name in names else errors
                largest[name] = np.maximum(largest.get(name, 0.0), errors.max(axis=0, initial=0.0))
    return largest


def _named(outputs: Mapping[str, Floats], following: Mapping[str, Floats]) -> dict[str, Floats]:
    return {**outputs, **{f"next_{name}": array for name, array in following.items()}}


def scales_of(
    step_function: StepFunction,
    result: RunResult,
    states: Mapping[str, Floats],
    rounding: Mapping[str, Floats],
    *,
    carried: bool = False,
) -> dict[str, Scale]:
    """Return the scale of each output and next state.

    Where the state is carried, a unit that hardly changes adds up the rounding errors of many steps. So the scale of
    its number is at least that of the whole tensor then; the single steps show each number on its own.

    Args:
        step_function: The step function of the model.
        result: A run with the right outputs.
        states: Name of a state -> the right next states of many steps, (N, ...).
        rounding: The rounding errors of a single step.
        carried: The state is carried from step to step.
    """
    activations = {output.name: output.activation for output in step_function.interface.outputs}
    outputs = {
        name: scale_of(array, rounding[name], bounded=activations[name] != "linear")
        for name, array in outputs_of(step_function, result).items()
    }
    following = {
        f"next_{name}": replace(
            scale_of(array, rounding[f"next_{name}"]), coarse=float(np.abs(array).max(initial=1e-30))
        )
        for name, array in states.items()
    }
    if carried:
        following = {n: replace(scale, fine=np.maximum(scale.fine, scale.coarse)) for n, scale in following.items()}
    return {**outputs, **following}


def limits_of(outputs: Mapping[str, Floats], states: Mapping[str, Floats], kept: Ids, steps: int) -> dict[str, Floats]:
    """Return the difference that a float32 file may have at each step of a carried run, by the name of the tensor.

    It is the tolerance, or some times the rounding error up to that step where that is more. Some models magnify
    rounding errors from step to step until two right computations part. From where rounding alone is beyond the
    tolerance they prove nothing, and the limit is infinite.

    Args:
        outputs: Name of an output -> the error of float32 arithmetic at each of the steps `kept`, on its scale.
        states: Name of a next state -> that after each of the last steps.
        kept: Indices of the steps whose outputs are known.
        steps: Steps of the run.
    """
    known = {name: (kept, errors) for name, errors in outputs.items()}
    known.update({n: (np.arange(steps - len(errors), steps, dtype=np.int32), errors) for n, errors in states.items()})
    beyond = [indices[errors > FLOAT32_TOLERANCE] for indices, errors in known.values()]
    last = min((int(found[0]) for found in beyond if found.size), default=steps)
    return {
        name: np.where(
            indices < last, np.maximum(FLOAT32_TOLERANCE, ROUNDING_ALLOWED * np.maximum.accumulate(errors)), np.inf
        )
        for name, (indices, errors) in known.items()
    }
