"""How long a model remembers, measured on the states and symbols of the parity check."""

from __future__ import annotations

from math import prod

import numpy as np

from ...runtime.common.arrays import AnyArray
from ...runtime.format.manifest import LONGEST_MEMORY
from ...runtime.format.tensor_specs import Inputs
from ...runtime.interpreters.base import initial_state
from ...runtime.interpreters.numpy_engine.blas import one_thread
from ...runtime.tasks.memory_length import States, memory_length
from ..layers import Lookup
from ..ops import NumpyOps
from ..step_function.build import StepFunction
from ..step_function.run import as_mapping
from .expected import Expected, recorded_states
from .parity import EACH, INITIAL

_PAIRS = 100
_MOST_PRODUCTS = 3 << 34  # in all steps together, a few seconds of one processor; not a time, so that files are equal
_FEWEST_STEPS = 64


def memory_of(expected: Expected) -> int:
    """Return how many steps a model remembers: see `runtime.tasks.memory_length`.

    The carried states are those that the float64 reference reached on the carried sequence, which is the sample, where
    there is one. Steps are made in float32.
    """
    step_function = expected.step_function
    if step_function.window is not None:
        return min(step_function.window.length, LONGEST_MEMORY)
    inputs, each = expected.runs[INITIAL].spec.inputs, expected.runs[EACH].spec
    rows, places = _pairs(expected)
    if not len(rows):
        return LONGEST_MEMORY
    carried = {name: array[rows] for name, array in each.state.items()}
    anew = {name: np.repeat(array, len(rows), axis=0) for name, array in initial_state(step_function.state).items()}
    anew.update({tensor.name: carried[tensor.name] for tensor in step_function.state if tensor.given})
    arithmetic = NumpyOps(np.float32)

    def advance(inputs: Inputs, states: States) -> States:
        return step_function.advance(arithmetic, as_mapping(inputs), states)[1]

    steps = min(LONGEST_MEMORY, max(_FEWEST_STEPS, _MOST_PRODUCTS // (2 * len(rows) * _weights(step_function))))
    with np.errstate(over="ignore", invalid="ignore"), one_thread():
        return memory_length(advance, inputs, places, carried, anew, steps=steps)


def _pairs(expected: Expected) -> tuple[AnyArray, AnyArray]:
    """Return where pairs begin: the rows of their states in the run of single steps, and the next steps to make.

    A pair begins where the period of the steps that answer does, as a stream that begins anew does.
    """
    total, each = len(expected.runs[INITIAL].spec.inputs), expected.runs[EACH].spec
    rows = np.arange(min(recorded_states(expected.step_function), total))
    places = (total - len(rows) + 1 + rows) % total
    seen = np.zeros(len(rows), int) if each.seen is None else each.seen[rows]
    fitting = np.flatnonzero(seen % expected.step_function.answers.every == 0)
    rows = fitting[np.linspace(0, len(fitting) - 1, min(_PAIRS, len(fitting))).astype(int)]
    return rows, places[rows]


def _weights(step_function: StepFunction) -> int:
    """Return the number of weights that a step multiplies with, about."""
    layers = {id(call.layer): call.layer for call, found in step_function.calls if not isinstance(found, Lookup)}
    weights = sum(int(prod(weight.shape)) for layer in layers.values() for weight in getattr(layer, "weights", ()))
    return max(weights, 1)
