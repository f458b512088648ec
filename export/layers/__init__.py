"""Step rules of Keras layers; importing this package registers all of them."""

from . import convolution, convolution_2d, dense, elementwise, normalization, operations, recurrent, shape, unsupported
from .apply import apply_rule
from .rule import CannotStepError, LayerStep, Lookup, step_rule

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
    "shape",
    "step_rule",
    "unsupported",
]
