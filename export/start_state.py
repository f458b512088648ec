"""Start states: what the state of a model is after a reset, where that is not zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..runtime.common.arrays import Float32, Ids
from ..runtime.common.errors import StateMismatchError
from ..runtime.format.tensor_specs import Inputs
from ..runtime.interpreters.base import initial_state
from .parity.reference import run_numpy
from .step_function.build import StepFunction


def with_start_state(
    step_function: StepFunction, given: Mapping[str, ArrayLike] | None = None, warm_up: Ids | None = None
) -> StepFunction:
    """Return `step_function` with another state after a reset.

    Args:
        step_function: The model taken apart.
        given: Name -> numbers of the shape of the state tensor, with a batch of 1 before it or without: a learned
            state, or `Stream.state`. None: the state it has now.
        warm_up: Ids of shape (T,) that are stepped from there, in float64; the state after them, rounded to float32, is
            the start state.

    Raises:
        StateMismatchError: Names or shapes are not those of the state, or a number is not finite; all of that is named.
    """
    state = step_function.state
    start = initial_state(state) if given is None else _checked(step_function, given)
    if warm_up is not None and len(warm_up):
        if step_function.features:
            names = ", ".join(feature.describe() for feature in step_function.features)
            raise StateMismatchError(
                f"A model that reads {names} beside its symbols cannot be warmed up with symbols alone. Step it in "
                "Python and give its state (initial_state, --initial-state). Nothing was written."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            states = run_numpy(step_function, Inputs(warm_up), [start], recorded=1)[0].states
            start = {name: array.astype(np.float32) for name, array in states.items()}
        endless = [name for name, array in start.items() if not np.isfinite(array).all()]
        if endless:
            names = ", ".join(endless)
            raise StateMismatchError(f"After the warm-up {names} is no longer finite. Nothing was written.")
    return replace(step_function, state=tuple(tensor.starting_from(start[tensor.name]) for tensor in state))


def _checked(step_function: StepFunction, given: Mapping[str, ArrayLike]) -> dict[str, Float32]:
    """Return `given` as float32 of shape (1, ...) by name, or refuse it."""
    shapes = {tensor.name: tensor.shape for tensor in step_function.state}
    problems = [f"{name} is not given" for name in shapes if name not in given]
    found = {}
    for name, value in given.items():
        if name not in shapes:
            problems.append(f"{name} is none of its states")
            continue
        try:
            with np.errstate(over="ignore"):
                array = np.array(value, np.float32)
        except (TypeError, ValueError) as error:
            problems.append(f"{name} is not made of numbers ({error})")
            continue
        if array.shape not in (shapes[name], (1, *shapes[name])):
            problems.append(f"{name} has the shape {array.shape}, not {shapes[name]}")
        elif not np.isfinite(array).all():
            problems.append(f"{name} is not finite everywhere")
        else:
            found[name] = array.reshape((1, *shapes[name]))
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise StateMismatchError(
            f"The model cannot start from this state; it wants {shapes}:\n{listed}\nNothing was written."
        )
    return found
