"""Layers that work on each number by itself, and those that act in training alone."""

from __future__ import annotations

import keras
from keras.src.activations import activations
from keras.src.ops import nn

from ..arithmetic import Arithmetic, Value, leaky_relu
from ..arithmetic import elu as elu_formula
from ..graph import KerasLayer, LayerCall
from .recurrent import activation_name
from .rule import CannotStepError, LayerStep, axes_of, shapes_of, stateless, step_rule, types_named
from .weights import weights_of

_LAYERS = keras.layers


@step_rule(_LAYERS.Activation)
def activation(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Apply the activation."""
    name = activation_name(layer.activation)
    if not call.step_shapes[0] and name in ("softmax", "log_softmax"):
        raise CannotStepError(f"its activation {name!r} works along the time steps, so it looks at the future")
    return stateless(lambda a, x: a.activation(name, x))


@step_rule(
    _LAYERS.Dropout,
    _LAYERS.SpatialDropout1D,
    _LAYERS.SpatialDropout2D,
    _LAYERS.SpatialDropout3D,
    _LAYERS.AlphaDropout,
    _LAYERS.GaussianDropout,
    _LAYERS.GaussianNoise,
    _LAYERS.ActivityRegularization,
    _LAYERS.Identity,
)
def identity(layer: KerasLayer) -> LayerStep:
    """Return x: these layers act in training alone."""
    return stateless(lambda a, x: x)


@step_rule(_LAYERS.ReLU, *types_named(activations, "ReLU"))
def relu(layer: KerasLayer) -> LayerStep:
    """Return x above the threshold, up to max_value; below the threshold the slope times what is missing to it."""
    slope, largest, threshold = float(layer.negative_slope), layer.max_value, float(layer.threshold)

    def apply(a: Arithmetic, x: Value) -> Value:
        y = x * a.differs(a.maximum(x, threshold), threshold) if threshold else a.activation("relu", x)
        y = y if largest is None else a.minimum(y, float(largest))
        return y - a.activation("relu", threshold - x) * slope if slope else y

    return stateless(apply)


@step_rule(_LAYERS.LeakyReLU, *types_named(nn, "LeakyRelu"))
def leaky(layer: KerasLayer) -> LayerStep:
    """Return x above 0, slope x below."""
    slope = float(layer.negative_slope)
    return stateless(lambda a, x: leaky_relu(a, x, slope))


@step_rule(_LAYERS.ELU, *types_named(nn, "Elu"))
def elu(layer: KerasLayer) -> LayerStep:
    """Clevert et al. 2016."""
    alpha = float(layer.alpha)
    return stateless(lambda a, x: elu_formula(a, x, alpha))


@step_rule(_LAYERS.PReLU)
def prelu(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """He et al. 2015: a leaky ReLU with learned slopes."""
    (slopes,) = weights_of(layer)
    if call.timed:
        if slopes.shape[0] != 1:
            raise CannotStepError("it has another slope for each time step; give it shared_axes=[1]")
        slopes = slopes[0]
    return stateless(lambda a, x: leaky_relu(a, x, a.constant(slopes)))


@step_rule(_LAYERS.Softmax, *types_named(nn, "Softmax"))
def softmax(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Return e^x over its sum along the axis."""
    axes, rank = axes_of(call, layer.axis), len(shapes_of(call)[0])
    if call.mask is not None:
        raise CannotStepError("it gets masked steps, which it takes for masked numbers; put it before the masking")

    def apply(a: Arithmetic, x: Value) -> Value:
        if axes == (rank - 1,):
            return a.activation("softmax", x)
        powers = a.exp(x - a.largest(x, axes))
        return powers / a.total(powers, axes)

    return stateless(apply)
