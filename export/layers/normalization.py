"""Normalizations over the numbers of one step, or by constants."""

from __future__ import annotations

from math import prod

import keras
import numpy as np
from keras import layers
from numpy.typing import ArrayLike

from ..ops import Ops, Value, Weights
from .keras_graph import KerasLayer, LayerCall
from .rule import (
    CannotStepError,
    LayerStep,
    axes_of,
    constant_of_step,
    shapes_of,
    stateless,
    step_rule,
    types_named,
    weights_of,
)


@step_rule(layers.LayerNormalization)
def layer_normalization(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Ba et al. 2016: mean 0 and variance 1 over the axes, then scaled and moved."""
    axes, shape = axes_of(call, layer.axis), shapes_of(call)[0]
    weights_of(layer)  # for its check
    gamma, beta = (_along(axes, shape, weights) for weights in (layer.gamma, layer.beta))
    count, epsilon = prod(shape[axis] for axis in axes), float(layer.epsilon)
    root_mean_square = bool(getattr(layer, "rms_scaling", False))

    def apply(a: Ops, x: Value) -> Value:
        centred = x - a.total(x, axes) * (1 / count)
        variance = a.total(centred * centred, axes) * (1 / count)
        y = (x if root_mean_square else centred) / a.sqrt(variance + epsilon)
        y = y if gamma is None else y * a.constant(gamma)
        return y if beta is None or root_mean_square else y + a.constant(beta)

    return stateless(apply)


@step_rule(*types_named(layers, "RMSNormalization"))
def rms_normalization(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Zhang and Sennrich 2019: a root mean square of 1 over the axes, then scaled."""
    axes, shape = axes_of(call, layer.axis), shapes_of(call)[0]
    weights_of(layer)
    scale = _along(axes, shape, layer.scale)
    count, epsilon = prod(shape[axis] for axis in axes), float(layer.epsilon)

    def apply(a: Ops, x: Value) -> Value:
        y = x / a.sqrt(a.total(x * x, axes) * (1 / count) + epsilon)
        return y if scale is None else y * a.constant(scale)

    return stateless(apply)


@step_rule(layers.UnitNormalization)
def unit_normalization(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Divide by the Euclidean norm over the axes."""
    axes = axes_of(call, layer.axis)
    return stateless(lambda a, x: x / a.maximum(a.sqrt(a.total(x * x, axes)), 1e-12))


@step_rule(layers.BatchNormalization)
def batch_normalization(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Ioffe and Szegedy 2015, with the moving averages of the training: one factor and one addend."""
    axes, shape = axes_of(call, layer.axis), shapes_of(call)[0]
    weights_of(layer)
    factor = 1 / np.sqrt(np.array(layer.moving_variance, np.float64) + layer.epsilon)
    factor = factor if layer.gamma is None else factor * np.array(layer.gamma, np.float64)
    addend = -np.array(layer.moving_mean, np.float64) * factor
    addend = addend if layer.beta is None else addend + np.array(layer.beta, np.float64)
    return _affine(_along(axes, shape, factor), _along(axes, shape, addend))


@step_rule(layers.Rescaling)
def rescaling(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Multiply by constants and add constants."""
    return _affine(constant_of_step(layer.scale, call), constant_of_step(layer.offset, call))


@step_rule(layers.Normalization)
def normalization(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Subtract the mean and divide by the standard deviation of the data it was adapted to.

    First subtract, as Keras does: of a number far from 0 a product would lose the digits that count.
    """
    if layer.mean is None:
        raise CannotStepError("it has not been adapted to data; call its adapt(data) first")
    mean = np.array(layer.mean, np.float64)
    deviation = np.maximum(np.sqrt(np.array(layer.variance, np.float64)), keras.config.epsilon())
    if layer.invert:
        return _affine(constant_of_step(deviation, call), constant_of_step(mean, call))
    centre, factor = constant_of_step(mean, call), constant_of_step(1 / deviation, call)
    return stateless(lambda a, x: (x - a.constant(centre)) * a.constant(factor))


def _affine(factor: Weights | None, addend: Weights | None) -> LayerStep:
    assert factor is not None, "only weights that a layer may leave out are None"
    assert addend is not None, "only weights that a layer may leave out are None"
    return stateless(lambda a, x: x * a.constant(factor) + a.constant(addend))


def _along(axes: tuple[int, ...], shape: tuple[int, ...], weights: ArrayLike | None) -> Weights | None:
    """Return weights that Keras has along `axes` of a step of `shape` so that they broadcast."""
    if weights is None:
        return None
    return np.array(weights, np.float32).reshape([size if axis in axes else 1 for axis, size in enumerate(shape)])
