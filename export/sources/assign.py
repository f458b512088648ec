"""Saved weights into a rebuilt model: by layer, by name and by shape, and in order where several have all in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from keras import layers

from ...runtime.common.arrays import AnyArray
from ...runtime.common.errors import SourceError
from ..layers.keras_graph import KerasLayer, KerasModel
from .keras2 import entries
from .saved_weights import Config, LayerArrays, Stored

_GATES = {layers.LSTMCell: 4, layers.GRUCell: 3}
_ALIASES = {"depthwise_kernel": "kernel"}  # of DepthwiseConv1D and 2D, where Keras 3 says kernel
_FREE = {"count"}  # of Normalization: how many numbers its mean is of, which a prediction does not need
# Options that stand for a size of a weight, and what a number of features may be without one.
_SIZES, _MOST_FEATURES = ("units", "filters", "output_dim", "input_dim", "num_tokens"), 1 << 16
_MOST_TOKENS = 1 << 20


def require_plausible(config: Config, stored: LayerArrays) -> None:
    """Raise SourceError if a configuration asks for sizes that none of its weights has, and for the memory of them."""
    largest = max((size for arrays in stored.values() for each in arrays for size in each.array.shape), default=0)
    for class_name, entry in entries(config):
        options = entry["config"]
        sizes = {key: options[key] for key in _SIZES if isinstance(options.get(key), int)}
        most = {key: _MOST_TOKENS if key == "num_tokens" else max(largest, 1) for key in sizes}
        shape = [size for size in options.get("batch_input_shape") or () if isinstance(size, int)]
        sizes["features"], most["features"] = max(shape[-1:], default=0), max(largest, _MOST_FEATURES)
        absurd = [f"{key}={size:,}" for key, size in sizes.items() if not 0 <= size <= most[key]]
        if absurd:
            raise SourceError(
                f"The layer {options.get('name', class_name)!r} has {', '.join(absurd)}, and no saved weight is that "
                f"large (the largest has {largest:,}). Give the configuration and the weights of one model."
            )


def assign_weights(model: KerasModel, stored: LayerArrays) -> None:
    """Set all weights of `model`.

    Raises:
        SourceError: A weight of the model or a saved one is left over; all of these are named.
    """
    problems: list[str] = []
    own = {layer.name: layer for layer in model.layers}
    for name, arrays in stored.items():
        layer = own.get(name.replace("/", "_"))
        if layer is None:
            problems += [f"{each.path} of shape {each.array.shape} belongs to no layer" for each in arrays]
    for layer in model.layers:
        found = next((arrays for name, arrays in stored.items() if name.replace("/", "_") == layer.name), [])
        problems += _assign(layer, found)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise SourceError(
            f"The saved weights are not those of the model {model.name!r}:\n{listed}\n"
            "Give the configuration and the weights of one model."
        )
    for layer in _all(model):
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()


def _assign(layer: KerasLayer, stored: Sequence[Stored]) -> list[str]:
    """Set the weights of one layer of the outermost model; return what is left over."""
    left = list(stored)
    missing = []
    for owner, variable in _variables(layer):
        given = _find(left, stored, owner, variable)
        if given is None and variable.name in _FREE:
            continue
        if given is None:
            missing.append(f"{layer.name}: {variable.path} of shape {tuple(variable.shape)} is not among them")
            continue
        left.remove(given[0])
        variable.assign(given[1])
    extra = [each for each in left if not (_base(each.name) in _FREE if each.name else each.array.shape == ())]
    return missing + [f"{layer.name}: {each.path} of shape {each.array.shape} fits nowhere" for each in extra]


def _find(
    left: Sequence[Stored], siblings: Sequence[Stored], owner: KerasLayer, variable: Any
) -> tuple[Stored, AnyArray] | None:
    """Return the saved array for `variable`: with its name and shape, best with the name of its layer in its path."""
    shape, name = tuple(variable.shape), variable.name
    # cuDNN has both biases in one row.
    flat = [(2 * gates * owner.units,) for gates in [_GATES.get(type(owner), 0)] if gates]
    cudnn = any(each.array.shape in flat and _base(each.name or "bias") == "bias" for each in siblings)
    fitting = []
    for each in left:
        if each.name is not None and name not in (_base(each.name), _ALIASES.get(_base(each.name))):
            continue
        array = _in_layout(each.array, owner, variable, cudnn)
        if array.shape == shape:
            fitting.append((each, array))
    names = set(variable.path.split("/"))

    def in_common(pair: tuple[Stored, AnyArray]) -> int:
        # Without names the path says what kind of layer it is and not which: the order counts alone.
        return 0 if pair[0].name is None else len(names & set(pair[0].path.split("/")[:-1]))

    return max(fitting, key=in_common, default=None)  # the first of equals


def _base(name: str) -> str:
    """Return the name of a weight without the number of the tensor and of the layer."""
    return re.sub(r"_\d+$", "", name.split(":")[0])


def _in_layout(array: AnyArray, owner: KerasLayer, variable: Any, cudnn: bool) -> AnyArray:
    """Return a weight of CuDNNLSTM or CuDNNGRU as LSTM and GRU have it; others as they are.

    See `_convert_rnn_weights` of tf_keras: kernels are transposed gate by gate, in the order of Fortran; the two biases
    of an LSTM are added.
    """
    gates = _GATES.get(type(owner))
    if gates is None or not cudnn or (array.ndim == 2 and array.shape[1] % gates):
        return array
    units = owner.units
    if variable.name == "bias":
        if gates == 4 and array.shape == (8 * units,):
            return np.asarray(array.reshape(2, -1).sum(0))
        return array.reshape(2, -1) if array.shape == (6 * units,) else array
    parts = np.hsplit(array, gates)
    if variable.name == "kernel":
        return np.hstack([part.T.reshape(part.shape, order="F") for part in parts])
    return np.hstack([part.T for part in parts])


def _variables(layer: KerasLayer) -> Iterable[tuple[KerasLayer, Any]]:
    """Yield the weights below a layer in order, each with the layer that owns it."""
    owners = {id(v): each for each in _all(layer) for v in (*each._trainable_variables, *each._non_trainable_variables)}
    for variable in layer.weights:
        yield owners.get(id(variable), layer), variable


def _all(layer: KerasLayer) -> list[KerasLayer]:
    return list(layer._flatten_layers(include_self=True, recursive=True))
