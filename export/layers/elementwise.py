"""Layers that work on each number by itself or on several inputs, and layers that act in training alone."""

from __future__ import annotations

from functools import reduce

from keras import layers
from keras.src.activations import activations
from keras.src.ops import nn

from ..ops import Ops, Value, leaky_relu
from ..ops import elu as elu_formula
from .keras_graph import KerasLayer, LayerCall
from .operations import PAIRWISE, require_equal_ranks
from .recurrent import activation_name
from .rule import CannotStepError, LayerStep, axes_of, shapes_of, stateless, step_rule, types_named, weights_of


@step_rule(layers.Activation)
def activation(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Apply the activation."""
    name = activation_name(layer.activation)
    if not call.step_shapes[0] and name in ("softmax", "log_softmax"):
        raise CannotStepError(f"its activation {name!r} works along the time steps, so it looks at the future")
    return stateless(lambda a, x: a.activation(name, x))


@step_rule(
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.AlphaDropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.ActivityRegularization,
    layers.Identity,
)
def identity(layer: KerasLayer) -> LayerStep:
    """Return x: these layers act in training alone."""
    return stateless(lambda a, x: x)


@step_rule(layers.ReLU, *types_named(activations, "ReLU"))
def relu(layer: KerasLayer) -> LayerStep:
    """Return x above the threshold, up to max_value; below the threshold the slope times the distance to it."""
    slope, largest, threshold = float(layer.negative_slope), layer.max_value, float(layer.threshold)

    def apply(a: Ops, x: Value) -> Value:
        y = x * a.differs(a.maximum(x, threshold), threshold) if threshold else a.activation("relu", x)
        y = y if largest is None else a.minimum(y, float(largest))
        return y - a.activation("relu", threshold - x) * slope if slope else y

    return stateless(apply)


@step_rule(layers.LeakyReLU, *types_named(nn, "LeakyRelu"))
def leaky(layer: KerasLayer) -> LayerStep:
    """Return x above 0, slope x below."""
    slope = float(layer.negative_slope)
    return stateless(lambda a, x: leaky_relu(a, x, slope))


@step_rule(layers.ELU, *types_named(nn, "Elu"))
def elu(layer: KerasLayer) -> LayerStep:
    """Clevert et al. 2016."""
    alpha = float(layer.alpha)
    return stateless(lambda a, x: elu_formula(a, x, alpha))


@step_rule(layers.PReLU)
def prelu(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """He et al. 2015: a leaky ReLU with learned slopes."""
    (slopes,) = weights_of(layer)
    if call.timed:
        if slopes.shape[0] != 1:
            raise CannotStepError("it has another slope for each time step; give it shared_axes=[1]")
        slopes = slopes[0]
    return stateless(lambda a, x: leaky_relu(a, x, a.constant(slopes)))


@step_rule(layers.Softmax, *types_named(nn, "Softmax"))
def softmax(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Return e^x over its sum along the axis."""
    axes, rank = axes_of(call, layer.axis), len(shapes_of(call)[0])
    if call.mask is not None:
        raise CannotStepError("it gets masked steps, which it takes for masked numbers; put it before the masking")

    def apply(a: Ops, x: Value) -> Value:
        if axes == (rank - 1,):
            return a.activation("softmax", x)
        powers = a.exp(x - a.largest(x, axes))
        return powers / a.total(powers, axes)

    return stateless(apply)


@step_rule(layers.Masking)
def masking(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Return x, or zeros where all of x has the value that masks; Keras writes the mask down as operations."""
    last = len(shapes_of(call)[0]) - 1
    value = float(layer.mask_value)
    if last < 0 or not call.timed:
        raise CannotStepError(f"it reads {call.input_shapes[0]}, whose last axis is the time; give it features")

    def apply(a: Ops, x: Value) -> Value:
        return x * a.largest(a.differs(x, value), [last])

    return stateless(apply)


@step_rule(*(getattr(layers, name) for name in ("Add", "Average", "Subtract", "Multiply", "Maximum", "Minimum")),
           several=True)  # fmt: skip
def merge(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Combine the inputs number by number."""
    require_equal_ranks(call)
    if type(layer) in (layers.Multiply, layers.Maximum, layers.Minimum) and call.mixed_masks:
        raise CannotStepError(
            "some of its inputs are masked and some are not, and Keras leaves out masked numbers in it; use Add, or an "
            "operation (x * y) in its place"
        )
    average = type(layer) is layers.Average
    pair = PAIRWISE["Add" if average else type(layer).__name__]

    def apply(a: Ops, values: list[Value]) -> Value:
        result = reduce(lambda x, y: pair(a, x, y), values)
        return result * (1 / len(call.inputs)) if average else result

    return stateless(apply)
