"""The rules by which Keras layers are stepped; importing this package registers all of them."""

from . import (
    convolution,
    dense,
    elementwise,
    future,
    lookup,
    masking,
    merge,
    normalization,
    operations,
    recurrent,
    shape,
)
from .rule import CannotStepError, LayerStep, Lookup, apply_rule, step_rule

__all__ = [
    "CannotStepError",
    "LayerStep",
    "Lookup",
    "apply_rule",
    "convolution",
    "dense",
    "elementwise",
    "future",
    "lookup",
    "masking",
    "merge",
    "normalization",
    "operations",
    "recurrent",
    "shape",
    "step_rule",
]
