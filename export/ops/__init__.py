"""The arithmetic that step rules are written in: one protocol, a TensorFlow graph and numpy behind it."""

from .activations import clip, elu, leaky_relu
from .numpy_ops import ACTIVATIONS, NumpyArithmetic
from .protocol import Arithmetic, Value, Weights
from .tensorflow_ops import TensorFlowArithmetic

__all__ = [
    "ACTIVATIONS",
    "Arithmetic",
    "NumpyArithmetic",
    "TensorFlowArithmetic",
    "Value",
    "Weights",
    "clip",
    "elu",
    "leaky_relu",
]
