"""Cells and layers without a step rule: their own `call`, traced on one time step, is the step.

A layer is believed only after it has been compared with itself on whole random sequences: one that looks along the time
answers otherwise there.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers

from ..ops import Ops, Value, Weights
from .keras_graph import KerasLayer, LayerCall
from .rule import CannotStepError, LayerStep, State, shapes_of, weights_of

if TYPE_CHECKING:
    from ..tracing.traced_graph import TracedGraph

# Cells whose subclasses keep the order of their states.
_STATE_NAMES: tuple[tuple[type, tuple[str, ...]], ...] = (
    (layers.LSTMCell, ("h", "c")),
    (layers.GRUCell, ("h",)),
    (layers.SimpleRNNCell, ("h",)),
)
# Time steps of the sequences on which a layer is compared with itself, and the numbers in them.
_LENGTHS, _ROWS, _MAGNITUDES, _SEED = (5, 12), 2, (0.1, 1.0, 10.0), 0
_TOLERANCE = 1e-5  # of the largest number: what float32 can hold
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
    if isinstance(cell, layers.Layer):
        weights_of(cell)
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


def traced_layer(call: LayerCall) -> LayerStep:
    """Trace `call`, of a layer or operation without a rule, on one time step.

    Raises:
        CannotStepError: It cannot be traced, or it answers otherwise on whole sequences.
    """
    from ..tracing.trace import CannotTraceError, trace

    if call.mask is not None:
        raise CannotStepError("it gets masked steps, and it has no step rule to say what it does with them")
    if isinstance(call.layer, layers.Layer):
        weights_of(call.layer)
    shapes = shapes_of(call)

    def one_step(given: list[Any]) -> list[Any]:
        y = _called(call, [x[:, None] for x in given] if call.timed else given)
        if not (call.timed and call.whole):
            return [y]
        if len(y.shape) < 2 or y.shape[1] != 1:
            raise CannotTraceError(f"it answers to one time step with the shape {tuple(y.shape)}")
        return [y[:, 0]]

    try:
        graph = trace(one_step, list(zip(shapes, call.dtypes, strict=True)))
    except CannotTraceError as error:
        raise CannotStepError(
            f"it has no step rule, and its call cannot be traced: {error}; export a model without it, or write a rule "
            "(stepcell.export.step_rule) if it needs nothing that comes later"
        ) from error
    if call.timed:
        _require_alike(call, graph, shapes)

    def apply(a: Ops, x: Any, state: State) -> tuple[Value, State]:
        return a.traced(graph, x if len(call.inputs) > 1 else [x])[0], {}

    return LayerStep(apply, traced=True)


def _called(call: LayerCall, values: Sequence[Any]) -> Any:
    options = {"training": False} if getattr(call.layer, "_call_has_training_arg", False) else {}
    return call.call_with(values, **options)


def _require_alike(call: LayerCall, graph: TracedGraph, shapes: Sequence[tuple[int, ...]]) -> None:
    """Compare the steps of `graph` with the layer on whole sequences.

    Raises:
        CannotStepError: It cannot be called on them, or they differ: it looks along the time.
    """
    fixed = next((shape[1] for shape in call.input_shapes if shape[1] is not None), None)
    random = np.random.default_rng(_SEED)

    def drawn(shape: tuple[int, ...], dtype: str, positive: bool) -> Any:
        if not dtype.startswith("float"):
            return random.integers(0, 2, shape).astype(dtype)
        scale = random.choice(_MAGNITUDES, (*shape[:2], *[1] * (len(shape) - 2)))
        numbers = random.normal(size=shape) * scale
        return (np.abs(numbers) if positive else numbers).astype(dtype)

    for number, steps in enumerate(_LENGTHS if fixed is None else (fixed, fixed)):
        given = [
            drawn((_ROWS, steps, *shape), dtype, number > 0) for shape, dtype in zip(shapes, call.dtypes, strict=True)
        ]
        (rows,) = graph.run([x.reshape(-1, *x.shape[2:]) for x in given], np.float64)
        stepped = rows.reshape(_ROWS, steps, *rows.shape[1:])
        for end in (steps,) if call.whole else (1, steps // 2, steps) if fixed is None else (steps,):
            try:
                whole = np.asarray(_called(call, [keras.ops.convert_to_tensor(x[:, :end]) for x in given]), np.float64)
            except Exception as error:  # whatever the code of the layer runs into
                raise CannotStepError(f"its call fails on a sequence of {end} steps: {error}") from error
            expected = stepped if call.whole else stepped[:, end - 1]
            if whole.shape != expected.shape:
                raise CannotStepError(
                    f"it looks along the time: a sequence of {end} steps gives {whole.shape}, stepped {expected.shape}"
                )
            same = (whole == expected) | (np.isnan(whole) & np.isnan(expected))  # the root of a negative number
            off = float(np.where(same, 0.0, np.abs(whole - expected)).max(initial=0.0))
            if not off <= _TOLERANCE * max(1.0, float(np.abs(whole[np.isfinite(whole)]).max(initial=0.0))):
                raise CannotStepError(
                    f"it looks along the time: it differs by {off:.2g} when it is stepped, on {steps} random steps"
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
