"""Layers that change the shape of a step and leave the time as it is."""

from __future__ import annotations

from math import prod

from keras import layers

from .keras_graph import KerasLayer, LayerCall
from .rule import CannotStepError, LayerStep, shapes_of, stateless, step_rule


@step_rule(layers.Reshape)
def reshape(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Give the numbers of a step another shape."""
    (before,) = shapes_of(call)
    after = [size or -1 for size in call.output_shape[2 if call.timed else 1 :]]
    time_stays = not call.timed or call.output_shape[1:2] == call.input_shapes[0][1:2]
    if not time_stays or -1 in after or prod(after) != prod(before):
        raise CannotStepError(
            f"it makes {call.output_shape} of {call.input_shapes[0]}, which mixes the time steps; keep the first of "
            "target_shape at -1 or at the number of time steps, and the others as many numbers as before"
        )
    return stateless(lambda a, x: a.reshape(x, after))


@step_rule(layers.Flatten)
def flatten(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Put the numbers of a step in a row."""
    if call.timed:
        raise CannotStepError("it puts the whole sequence in a row, so it looks at the future; let a recurrent layer "
                              "with return_sequences=False sum it up")  # fmt: skip
    size = prod(shapes_of(call)[0])
    return stateless(lambda a, x: a.reshape(x, [size]))


@step_rule(layers.RepeatVector)
def repeat_vector(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Repeat the vector of a step."""
    if call.timed:
        raise CannotStepError("it repeats the time steps; put it behind a layer with return_sequences=False")
    (size,), n = shapes_of(call)[0], layer.n
    return stateless(lambda a, x: a.concatenate([a.reshape(x, [1, size])] * n, 0))


@step_rule(layers.Permute)
def permute(layer: KerasLayer, call: LayerCall) -> LayerStep:
    """Reorder the axes of a step."""
    outer = 1 if call.timed else 0
    if layer.dims[:outer] != (1,) * outer:
        raise CannotStepError(f"its dims {layer.dims} move the time, so it looks at the future; keep 1 in first place")
    axes = [axis - 1 - outer for axis in layer.dims[outer:]]
    return stateless(lambda a, x: a.transpose(x, axes))
