"""Cells without a step rule: their own `call`, traced once, is the step."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import keras
import numpy as np
from keras import layers

from ..ops import Ops, Value, Weights
from .keras_graph import KerasLayer
from .rule import CannotStepError, LayerStep, State

# Cells whose subclasses keep the order of their states.
_STATE_NAMES: tuple[tuple[type, tuple[str, ...]], ...] = (
    (layers.LSTMCell, ("h", "c")),
    (layers.GRUCell, ("h",)),
    (layers.SimpleRNNCell, ("h",)),
)
OUTPUT = "output"  # the state of a masked cell that holds its last output


def traced_cell(cell: KerasLayer, shape: tuple[int, ...], start: Any, *, masked: bool) -> LayerStep:
    """Trace the call of `cell` on one step.

    Args:
        cell: A built cell: `call(inputs, states)` returns the output and the next states.
        shape: Shape of its input in a step, without the batch.
        start: Its states before the first step, nested as it takes them, with a batch of 1.
        masked: It gets masked steps, at which its last output is repeated: that becomes a state too.

    Returns:
        The step; its states are called "h" and "c" where the cell is one of Keras's or a subclass of such, else
        "state", or "state_a", "state_b", ... where there are several.

    Raises:
        CannotStepError: It cannot be traced.
    """
    from ..tracing.trace import CannotTraceError, trace  # not needed by models of known layers

    start = start if keras.tree.is_nested(start) else [start]  # as Keras hands them in
    before = [np.array(each, np.float32) for each in keras.tree.flatten(start)]
    names = state_names(cell, len(before))
    training = {"training": False} if getattr(cell, "_call_has_training_arg", False) else {}

    def call(given: list[Any]) -> list[Any]:
        x, *states = given
        function = cell if callable(cell) else cell.call
        y, after = function(x, keras.tree.pack_sequence_as(start, states), **training)
        return [y, *keras.tree.flatten(after)]

    try:
        graph = trace(call, [(shape, "float32"), *((each.shape[1:], "float32") for each in before)])
    except CannotTraceError as error:
        raise CannotStepError(f"its cell {type(cell).__name__} cannot be stepped: {error}") from error
    made, *following = graph.output_shapes
    wrong = [each.shape[1:] for each, shape in zip(before, following, strict=False) if each.shape[1:] != shape]
    if wrong or len(following) != len(before) or None in made:
        raise CannotStepError(
            f"its cell {type(cell).__name__} takes states of the shapes {[each.shape[1:] for each in before]} and "
            f"returns {following}"
        )

    def apply(a: Ops, x: Value, state: State) -> tuple[Value, State]:
        y, *after = a.traced(graph, [x, *(state[name] for name in names)])
        moved = dict(zip(names, after, strict=True))
        return y, {**moved, OUTPUT: y} if masked else moved

    shapes = {name: each.shape[1:] for name, each in zip(names, before, strict=True)}
    return LayerStep(
        apply,
        state={**shapes, **({OUTPUT: tuple(size or 0 for size in made)} if masked else {})},
        start={name: each[0] for name, each in zip(names, before, strict=True) if each.any()},
        held=(lambda state: state[OUTPUT]) if masked else None,
        traced=True,
    )


def state_names(cell: KerasLayer, count: int) -> tuple[str, ...]:
    """Return the local names of the `count` states of `cell`."""
    for known, names in _STATE_NAMES:
        if isinstance(cell, known) and len(names) == count:
            return names
    return ("state",) if count == 1 else tuple(f"state_{_letters(number)}" for number in range(count))


def _letters(number: int) -> str:
    """Return a, b, ..., z, aa, ab, ...: a local name does not end in a digit."""
    high, low = divmod(number, len(ascii_lowercase))
    return (_letters(high - 1) if high else "") + ascii_lowercase[low]


def output_shape(step: LayerStep, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the output of `step` for an input of `shape`, by taking it on zeros."""
    from ..ops import NumpyOps

    zeros = {name: np.zeros((1, *size)) for name, size in (step.state or {}).items()}
    width: Weights | None = step.kernel
    x = np.zeros((1, *shape) if width is None else (1, *shape[:-1], width.shape[1]))
    return tuple(step.apply(NumpyOps(), x, zeros)[0].shape[1:])
