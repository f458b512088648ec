"""Step rules: what one Keras layer does with one time step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ...runtime.manifest import Cell
from ..arithmetic import Arithmetic, Value, Weights
from ..graph import KerasLayer

State: TypeAlias = Mapping[str, Value]
# (arithmetic, input, state) -> (output, next state); the input is of shape (B, ...), the names of the state are local.
Apply: TypeAlias = Callable[[Arithmetic, Value, State], tuple[Value, State]]


class CannotStepError(Exception):
    """A layer that cannot be stepped: the reason, and what to use instead. Collected, never shown alone."""


@dataclass(frozen=True)
class Lookup:
    """A layer that turns ids into rows of `table`, float32 of shape (V, N)."""

    table: Weights


@dataclass(frozen=True)
class LayerStep:
    """One layer, ready to be stepped.

    Attributes:
        apply: The computation. Where `kernel` is given its input is x @ kernel + bias, shape (B, N), and not x, so
            that a lookup before the layer can be folded into it.
        kernel: float32 of shape (M, N), or None.
        bias: float32 of shape (N,), or None for none.
        state: Local name ("h", "c") -> shape without the batch.
        cell: What to write into the manifest for a recurrent layer.
    """

    apply: Apply
    kernel: Weights | None = None
    bias: Weights | None = None
    state: Mapping[str, tuple[int, ...]] | None = None
    cell: Cell | None = None


Rule: TypeAlias = Callable[[KerasLayer], LayerStep | Lookup]
_RULES: dict[type, Rule] = {}


def step_rule(*layer_types: type) -> Callable[[Rule], Rule]:
    """Register the decorated function as the rule for `layer_types`.

    The function gets the built layer and returns its `LayerStep` or `Lookup`, or raises `CannotStepError`.
    Subclasses do not inherit a rule: they may do something else in a step.
    """

    def register(rule: Rule) -> Rule:
        for layer_type in layer_types:
            _RULES[layer_type] = rule
        return rule

    return register


def rule_for(layer: KerasLayer) -> Rule | None:
    """Return the rule for the type of `layer`, or None."""
    return _RULES.get(type(layer))
