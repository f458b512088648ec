"""The arithmetic that step rules are written in: one protocol, a TensorFlow graph and numpy behind it."""

from .activations import clip, elu, leaky_relu
from .numpy_ops import ACTIVATIONS, NumpyOps
from .protocol import Ops, Value, Weights
from .tensorflow_ops import TensorFlowOps

__all__ = [
    "ACTIVATIONS",
    "NumpyOps",
    "Ops",
    "TensorFlowOps",
    "Value",
    "Weights",
    "clip",
    "elu",
    "leaky_relu",
]
