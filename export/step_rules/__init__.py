"""The rules by which Keras layers are stepped; importing this package registers all of them."""

from . import dense, future, lookup, recurrent
from .rule import CannotStepError, LayerStep, Lookup, Rule, rule_for, step_rule

__all__ = [
    "CannotStepError",
    "LayerStep",
    "Lookup",
    "Rule",
    "dense",
    "future",
    "lookup",
    "recurrent",
    "rule_for",
    "step_rule",
]
