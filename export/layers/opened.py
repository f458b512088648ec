"""Open composite layers: their `call` on symbolic tensors gives the graph of the layers inside them.

A layer of a user or of a package that is made of other layers has no step rule and needs none: those inside it have.
Layers of Keras and layers with a rule of their own stay closed, and so does a layer whose call needs numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, TypeAlias

import keras
import numpy as np

from .packages import substitute

KerasLayer: TypeAlias = Any
KerasModel: TypeAlias = Any
_L = keras.layers
_STEPS, _ROWS, _SEED = 32, 2, 0
_TOLERANCE = 1e-6  # of a model and its opened form, which compute the same in the same order: 0 where it was measured


def functional_of(model: KerasModel) -> Any:
    """Return the functional model behind `model`, or None. A Sequential holds one once its input is known."""
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if hasattr(model, "_nodes_by_depth") else None


def opened(model: KerasModel, stays: Callable[[KerasLayer], bool]) -> Any:
    """Return a functional model that computes what `model` does, with its composite layers opened.

    Args:
        model: A functional or Sequential model, or one of a class of its own that has been built or called.
        stays: Tells whether a layer has a step rule and stays closed.

    Returns:
        None where there is none: the input of the model is not known, or its call needs numbers. The functional model
        itself where nothing is to be opened, or where opening would change it.
    """
    functional = functional_of(model)
    if functional is not None and not any(_may_open(layer, stays) for layer in functional._flatten_layers()):
        return functional
    inputs = _inputs(model, functional)
    if inputs is None:
        return None
    flat = keras.tree.flatten(inputs)
    with _opening(stays):
        try:
            if functional is None:
                made = _entered(model, (inputs,), {})
            else:
                made = keras.tree.flatten(functional._run_through_graph(flat, operation_fn=lambda op: op))
            found = keras.Model(flat[0] if len(flat) == 1 else flat, keras.tree.flatten(made))
        except Exception:  # whatever its code runs into without numbers
            return functional
    same = _answer_alike(model, inputs, found)
    return found if same else functional


def _may_open(layer: KerasLayer, stays: Callable[[KerasLayer], bool]) -> bool:
    return type(layer) is _L.Lambda or _enters(layer, stays)


def _enters(layer: KerasLayer, stays: Callable[[KerasLayer], bool]) -> bool:
    """Tell whether `layer` is opened: it holds other layers and nothing is known about its class."""
    if isinstance(layer, keras.Model) and functional_of(layer) is not None:
        return any(_may_open(inner, stays) for inner in layer._flatten_layers() if inner is not layer)
    if isinstance(layer, keras.Model):
        return True
    if type(layer).__module__.split(".")[0] == "keras" or isinstance(layer, _L.RNN) or stays(layer):
        return False
    return substitute(layer) is layer and any(inner is not layer for inner in layer._flatten_layers())


@contextmanager
def _opening(stays: Callable[[KerasLayer], bool]) -> Iterator[None]:
    """Let the calls of composite layers on symbolic tensors be those of the layers inside them."""
    original = keras.Layer.__call__
    names: dict[str, KerasLayer] = {}
    renamed: dict[int, tuple[KerasLayer, str]] = {}

    def call(layer: KerasLayer, *args: Any, **options: Any) -> Any:
        if not any(isinstance(each, keras.KerasTensor) for each in keras.tree.flatten((args, options))):
            return original(layer, *args, **options)
        if _may_open(layer, stays):
            try:
                return _entered(layer, args, options)
            except Exception:  # its code needs numbers: it stays as it is
                pass
        if type(layer) is _L.TimeDistributed and _may_open(layer.layer, stays):
            x = args[0]
            inner = keras.Input(batch_shape=(x.shape[0], *x.shape[2:]), dtype=x.dtype)
            layer = _L.TimeDistributed(keras.Model(inner, layer.layer(inner)), name=layer.name)
        # A layer that is made anew in every call bears one name each time, and a model wants different ones.
        name, number = layer.name, 1
        while names.setdefault(layer.name, layer) is not layer:
            number += 1
            renamed.setdefault(id(layer), (layer, name))
            layer.name = f"{name}_{number}"
        return original(layer, *args, **options)

    keras.Layer.__call__ = call
    try:
        yield
    finally:
        keras.Layer.__call__ = original
        for layer, name in renamed.values():
            layer.name = name


def _entered(layer: KerasLayer, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return the result of the call of `layer` itself, as Keras would call it outside of training."""
    if type(layer) is _L.Lambda:
        return layer.function(*args, **{**(layer.arguments or {}), **options})
    if not layer.built:
        raise ValueError(f"{layer.name} is not built")
    known = signature(layer.call).parameters
    masks = keras.tree.map_structure(lambda x: getattr(x, "_keras_mask", None), args[0]) if args else None
    if "training" in known and options.get("training") is None:
        options = {**options, "training": False}
    if "mask" in known and options.get("mask") is None and any(each is not None for each in keras.tree.flatten(masks)):
        options = {**options, "mask": masks}
    made = layer.call(*args, **options)
    if not all(isinstance(each, keras.KerasTensor) for each in keras.tree.flatten(made)):
        raise TypeError(f"{layer.name} returns something else than tensors")
    if getattr(layer, "supports_masking", False) and masks is not None and not isinstance(layer, keras.Model):
        layer._set_mask_metadata(args[0], made, masks)
    return made


def _inputs(model: KerasModel, functional: Any) -> Any:
    """Return symbolic inputs like those of `model`, in the structure in which it takes them; None: not known."""
    if functional is not None:
        return [_L.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in functional.inputs]
    shapes = getattr(model, "_build_shapes_dict", None)
    if not isinstance(model, keras.Model) or not model.built or not shapes or len(shapes) != 1:
        return None
    (shape,) = shapes.values()
    # It was called on some sequence, whose length and number say nothing.
    single = all(size is None or isinstance(size, int) for size in shape) if isinstance(shape, (list, tuple)) else False
    if single:
        return keras.Input(batch_shape=(None, None, *shape[2:]), dtype=_dtype(model, shape))
    return None


def _dtype(model: KerasModel, shape: Any) -> str:
    """Return the dtype of the input of a model of which only the shape is known: ids, or numbers."""
    return "int32" if len(shape) == 2 and any(type(e) is _L.Embedding for e in model._flatten_layers()) else "float32"


def _answer_alike(model: KerasModel, inputs: Any, other: Any) -> bool:
    """Tell whether both answer alike to a random sequence, with masked steps in it."""
    random = np.random.default_rng(_SEED)

    def values(tensor: Any) -> Any:
        rows, steps, *rest = tensor.shape
        shape = (rows or _ROWS, steps or _STEPS, *(size or 1 for size in rest))
        if "float" not in tensor.dtype:
            return random.integers(0, 2, shape)  # ids that every table has
        return (random.normal(size=shape) * random.integers(0, 2, shape[:2] + (1,) * len(rest))).astype(np.float32)

    given = keras.tree.map_structure(values, inputs)
    stateful = [layer for layer in model._flatten_layers() if getattr(layer, "stateful", False)]
    carried = [variable for layer in stateful for variable in keras.tree.flatten(layer.states)]
    before = [np.array(variable) for variable in carried]
    try:
        answers = []
        for function, read in ((model, given), (other, keras.tree.flatten(given))):
            for variable in carried:
                variable.assign(np.zeros(variable.shape))
            single = isinstance(read, list) and len(read) == 1
            answers.append(keras.tree.flatten(function(read[0] if single else read, training=False)))
    finally:
        for variable, value in zip(carried, before, strict=True):
            variable.assign(value)
    pairs = [(np.asarray(one), np.asarray(two)) for one, two in zip(*answers, strict=True)]
    return all(
        one.shape == two.shape
        and np.abs(one.astype(np.float64) - two).max() <= _TOLERANCE * max(1.0, float(np.abs(one).max()))
        for one, two in pairs
    )
