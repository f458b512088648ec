"""The operations that step rules are written in: one protocol, implemented by numpy and by TensorFlow graphs.

`tensorflow_ops` is imported by its own name: nothing else here needs TensorFlow.
"""

from .numpy_ops import ACTIVATIONS, NumpyOps
from .protocol import HARD_SIGMOID_KERAS2, Ops, Value, Weights, clip, elu, leaky_relu
from .rounded_ops import RoundedOps

__all__ = [
    "ACTIVATIONS",
    "HARD_SIGMOID_KERAS2",
    "NumpyOps",
    "Ops",
    "RoundedOps",
    "Value",
    "Weights",
    "clip",
    "elu",
    "leaky_relu",
]
