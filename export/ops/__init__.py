"""The operations that step rules are written in: one protocol, implemented by numpy and by TensorFlow graphs.

`tensorflow_ops` is imported by its own name: nothing else here needs TensorFlow.
"""

from .numpy_ops import ACTIVATIONS, NumpyOps
from .protocol import Ops, Value, Weights, clip, elu, leaky_relu

__all__ = ["ACTIVATIONS", "NumpyOps", "Ops", "Value", "Weights", "clip", "elu", "leaky_relu"]
