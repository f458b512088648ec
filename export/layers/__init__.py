"""The rules by which Keras layers are stepped; importing this package registers all of them."""

from . import convolution, dense, elementwise, normalization, operations, recurrent, shape
from . import dense as lookup
from . import elementwise as masking
from . import elementwise as merge
from . import unsupported as future
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
