"""Step rules: one Keras layer in one time step.

A rule is a function of a built Keras layer (and of its call, if it needs shapes) that returns a `LayerStep`. To add one
write it into the module of its kind in this package, decorated with `step_rule`, and add a case to
tests/export/layers: `run_rule_test` makes all checks that every rule must pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ...runtime.format.manifest import Cell
from ...runtime.format.tensor_specs import EVERY_STEP, AnswerTimes
from ..ops import Ops, Value, Weights
from .keras_graph import KerasLayer, LayerCall

State: TypeAlias = Mapping[str, Value]
# (arithmetic, input, state) -> (output, next state); the input is of shape (B, ...), or a list of such where the layer
# has several; the names of the state are local.
Apply: TypeAlias = Callable[[Ops, Any, State], tuple[Value, State]]


class CannotStepError(Exception):
    """A layer that cannot be stepped: the reason and the remedy. Collected, never shown alone."""


class NoRuleError(CannotStepError):
    """A part of a layer has no rule, an activation for example: its call may be traced."""


@dataclass(frozen=True)
class Lookup:
    """A layer that turns ids into rows of a table.

    Attributes:
        table: float32 of shape (V, N), a row for each id.
    """

    table: Weights


@dataclass(frozen=True)
class Recurrent:
    """Weights for the output of the step before: `kernel` (U, G U), and `bias` (G U,) or None."""

    kernel: Weights
    bias: Weights | None = None


@dataclass(frozen=True)
class LayerStep:
    """One layer, ready to be stepped.

    Attributes:
        apply: The computation. Where `kernel` is given its input is x @ kernel + bias, shape (B, N), and not x, so
            that a lookup before the layer can be folded into it.
        kernel: float32 of shape (M, N), or None.
        bias: float32 of shape (N,), or None for none.
        state: Local name ("h", "c") -> shape without the batch. The name in the file gets a number behind it, so a
            local name does not end in a digit.
        cell: Description of a recurrent layer for the manifest.
        recurrent: The weights inside the recurrence of a recurrent layer, for graphs of whole sequences; None: `cell`
            does not say all that it does.
        held: The output of a masked step, in which the state stays as it is; None: the layer knows no masks.
        start: Local name -> value after a reset, of the shape in `state`; those that are not here start at 0.
        traced: It is the layer's own call, traced; there is no rule for it.
        answers: The steps of its input at which it answers; between them its output means nothing.
    """

    apply: Apply
    kernel: Weights | None = None
    bias: Weights | None = None
    state: Mapping[str, tuple[int, ...]] | None = None
    cell: Cell | None = None
    recurrent: Recurrent | None = None
    held: Callable[[State], Value] | None = None
    start: Mapping[str, Weights] | None = None
    traced: bool = False
    answers: AnswerTimes = EVERY_STEP


Steps: TypeAlias = LayerStep | Lookup | Sequence[LayerStep]
Rule: TypeAlias = Callable[[KerasLayer, LayerCall], Steps]
UserRule: TypeAlias = Callable[..., Steps]


@dataclass(frozen=True)
class Registered:
    """A rule, and the calls that it can follow; see `step_rule`."""

    rule: Rule
    several: bool
    padded: bool


_RULES: dict[type, Registered] = {}


def step_rule(*layer_types: type, several: bool = False, padded: bool = False) -> Callable[[UserRule], UserRule]:
    """Register the decorated function as the rule for `layer_types`.

    The function gets the built layer, and if it has a second parameter the `LayerCall`, which knows the shapes. It
    returns the `LayerStep` or `Lookup`, or several `LayerStep` to be done one after the other, or raises
    `CannotStepError`. Subclasses do not inherit a rule: they may do something else in a step.

    Args:
        layer_types: The types of layers.
        several: The layer may have several inputs (or none but constants).
        padded: The layer may read a sequence with zeros before its beginning (ZeroPadding1D, ZeroPadding2D).
    """

    def register(rule: UserRule) -> UserRule:
        takes_call = len(inspect.signature(rule).parameters) > 1
        with_call: Rule = rule if takes_call else lambda layer, _: rule(layer)
        for layer_type in layer_types:
            _RULES[layer_type] = Registered(with_call, several, padded)
        return rule

    return register


def registered_rule(layer: KerasLayer) -> Registered | None:
    """Return the rule for the type of `layer`, a cell or a layer."""
    return _RULES.get(type(layer))


def types_named(module: Any, *names: str) -> list[type]:
    """Return the layers or operations of these names that this version of Keras has in `module`."""
    return [getattr(module, name) for name in names if hasattr(module, name)]


def stateless(function: Callable[[Ops, Any], Value]) -> LayerStep:
    """Return the step of a layer without weights to fold and without a state."""

    def apply(a: Ops, x: Any, state: State) -> tuple[Value, State]:
        return function(a, x), {}

    return LayerStep(apply)


def axes_of(call: LayerCall, axis: int | Sequence[int]) -> tuple[int, ...]:
    """Return the Keras axes `axis` of the first input as axes of a step, where 0 is the first after the batch.

    Raises:
        CannotStepError: One of them is the batch or the time.
    """
    rank = len(call.input_shapes[0])
    given = [axis] if isinstance(axis, int) else list(axis)
    found = sorted(a % rank - (2 if call.timed else 1) for a in given)
    if found and found[0] < 0:
        raise CannotStepError(
            f"it works along axis {axis} of {call.input_shapes[0]}, which is the time or the batch, so it looks at the "
            "future; use the last axis"
        )
    return tuple(found)


def shapes_of(call: LayerCall) -> list[tuple[int, ...]]:
    """Return the shapes of the inputs in a step.

    Raises:
        CannotStepError: One of them is not known.
    """
    if any(size is None for shape in call.step_shapes for size in shape):
        raise CannotStepError(f"the shape of its input {call.input_shapes} is not known; fix all of it but the time")
    return [tuple(size or 0 for size in shape) for shape in call.step_shapes]


def constant_of_step(value: ArrayLike, call: LayerCall) -> Weights:
    """Return a constant that Keras broadcasts over the whole input as it is in a step.

    Raises:
        CannotStepError: It has another value for each time step.
    """
    array = np.array(value, np.float32)
    extra = array.shape[: max(array.ndim - len(call.step_shapes[0]), 0)]
    if any(size != 1 for size in extra):
        raise CannotStepError(
            f"its constants of shape {array.shape} have another value for each time step; give it axis=-1, or "
            "constants without the time"
        )
    return array.reshape(array.shape[len(extra) :])


def weights_of(layer: KerasLayer) -> list[Weights]:
    """Return copies of the layer's weights, float32, in the order of Keras.

    `layer.variables` would not do: they hold the state of random seeds too, which passes for a bias.
    They are copied because a graph that refers to Keras variables is converted to a file without weights, silently.

    Raises:
        CannotStepError: A weight is not finite.
    """
    weights = [np.array(variable, np.float32) for variable in layer.weights]
    for array, variable in zip(weights, layer.weights, strict=True):
        bad = int(np.size(array) - np.isfinite(array).sum())
        if bad:
            raise CannotStepError(f"its {variable.name} holds {bad} numbers that are not finite; train it again")
    return weights
