"""Step rules of Keras layers; importing this package registers all of them."""

from . import convolution, convolution_2d, dense, elementwise, normalization, operations, recurrent, shape, unsupported
from .apply import apply_rule
from .rule import CannotStepError, LayerStep, Lookup, registered_rule, step_rule

__all__ = [
    "CannotStepError",
    "LayerStep",
    "Lookup",
    "apply_rule",
    "convolution",
    "convolution_2d",
    "dense",
    "elementwise",
    "normalization",
    "operations",
    "recurrent",
    "registered_rule",
    "shape",
    "step_rule",
    "unsupported",
]
