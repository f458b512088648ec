"""A model of Keras 2 in Keras 3: layer by layer from the configuration that `keras2.complete` returns."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import keras
from keras import layers

from ...runtime.common.errors import SourceError
from ..layers.keras2_activation import hard_sigmoid_keras2
from ..layers.keras_graph import KerasLayer, KerasModel
from .keras2 import HARD_SIGMOID, MODELS, OPERATIONS, layers_of, name_of
from .operations import operation, slices
from .saved_weights import Config

_CONSTANT = "_CONSTANT_VALUE"
_RENAMED = {"ThresholdedReLU": "ReLU", "SyncBatchNormalization": "BatchNormalization"}
_OPTIONS = {
    "LeakyReLU": {"alpha": "negative_slope"},
    "ThresholdedReLU": {"theta": "threshold"},
    "CategoryEncoding": {"max_tokens": "num_tokens"},
}
# Options that are dropped: of the input of a layer, and of the base classes that other options stand for.
_OF_THE_INPUT = (
    "batch_input_shape", "input_length", "input_dim", "input_shape", "query_shape", "key_shape", "value_shape",
)  # fmt: skip
_BY_DEFAULT = {"groups": 1, "trainable": True}  # what some layers of Keras 3 do not have
_NOT_CAUSAL = ("SeparableConv1D", "DepthwiseConv1D")
_STATEFUL = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D")


def rebuild(config: Config) -> KerasModel:
    """Build the model that a completed configuration describes; its weights are still random.

    Raises:
        SourceError: Something in the configuration has no counterpart in Keras 3, or contradicts the rest.
    """
    try:
        return _model(config)
    except SourceError:
        raise
    except Exception as error:  # Keras raises whatever the wrong part ran into
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise SourceError(f"Its configuration cannot be rebuilt in Keras 3: {reason}") from error


def _model(entry: Config) -> KerasModel:
    return _sequential(entry) if entry["class_name"] == "Sequential" else _functional(entry)


def _sequential(entry: Config) -> KerasModel:
    given = layers_of(entry)
    made: list[Any] = []
    if given and given[0]["class_name"] != "InputLayer":
        shape = _input_shape(given[0]) or entry["config"].get("build_input_shape")
        if not shape:
            raise SourceError(
                f"The model {name_of(entry)!r} has no known input: it was saved before it was built. Call it once "
                "before model.save, or give its first layer an input_shape."
            )
        made.append(keras.Input(batch_shape=shape, dtype=_id_type(given[0])))
    for layer in given:
        is_input = layer["class_name"] == "InputLayer"
        reads_ids = is_input and len(given) > 1 and given[1]["class_name"] == "Embedding"
        made.append(_input(layer, "int32" if reads_ids else None) if is_input else _layer(layer))
    return keras.Sequential(made, name=_safe(name_of(entry)))


def _input_shape(entry: Config) -> Any:
    """Return the shape that a layer says its input has; None: it does not say."""
    if entry["class_name"] in MODELS:
        first = layers_of(entry)[:1]
        return _input_shape(first[0]) if first else None
    return entry["config"].get("batch_input_shape")


def _id_type(first: Config) -> str:
    return "int32" if first["class_name"] == "Embedding" else "float32"


def _input(entry: Config, dtype: str | None = None) -> Any:
    options = entry["config"]
    return keras.Input(
        batch_shape=options["batch_input_shape"], dtype=dtype or options["dtype"], name=_safe(name_of(entry))
    )


def _functional(entry: Config) -> KerasModel:
    """Call the layers of a functional model as its nodes say, each as soon as its inputs are there."""
    reader = _Nodes(entry)
    options = entry["config"]
    inputs = [reader.tensor(place) for place in _places(options["input_layers"])]
    outputs = [reader.tensor(place) for place in _places(options["output_layers"])]
    one_or_all = [each[0] if len(each) == 1 else each for each in (inputs, outputs)]
    return keras.Model(*one_or_all, name=_safe(name_of(entry)))


class _Nodes:
    """The tensors of a functional model, by layer, number of the call and number of the output."""

    def __init__(self, entry: Config) -> None:
        self._made: dict[tuple[str, int], list[Any]] = {}
        self._layers: dict[str, Any] = {}
        self._first: dict[str, int] = {}
        waiting = []
        for layer in layers_of(entry):
            name = name_of(layer)
            if layer["class_name"] == "InputLayer":
                self._made[name, 0] = [_input(layer)]
                continue
            # A model inside a model has a call of its own, from its inputs to its outputs, which is not listed.
            self._first[name] = int(layer["class_name"] in MODELS and _begins_with_input(layer))
            self._layers[name] = None if layer["class_name"] in OPERATIONS else _layer(layer)
            waiting += [(layer, self._first[name] + n, node) for n, node in enumerate(layer["inbound_nodes"])]
        while waiting:
            later = [each for each in waiting if not self._call(*each)]
            if len(later) == len(waiting):
                names = ", ".join(dict.fromkeys(name_of(layer) for layer, _, _ in later))
                raise SourceError(f"Its layers wait for each other: {names}.")
            waiting = later

    def tensor(self, place: Any) -> Any:
        """Return the tensor at [layer, call, output]."""
        name, call, output = place[:3]
        return self._made[str(name), int(call)][int(output)]

    def _call(self, entry: Config, number: int, node: Any) -> bool:
        """Call a layer, unless one of its inputs is missing; tell whether it was called."""
        name = name_of(entry)
        given, options = _arguments(node)
        if not all(self._is_there(each) for each in [*given, *options.values()]):
            return False
        tensors = [each[2] if each[0] == _CONSTANT else self.tensor(each) for each in given]
        values = {key: self._decoded(value) for key, value in options.items() if value is not None}
        kind = entry["class_name"]
        if kind == "SlicingOpLambda":
            made = tensors[0][slices(values.get("slice_spec"))]
        elif kind == "TFOpLambda":
            listed = isinstance(node[0], list)
            made = operation(entry["config"]["function"], tensors if listed else tensors[0], values)
        else:
            values.pop("training", None)
            if kind in _STATEFUL and len(tensors) > 1:
                values["initial_state"] = tensors[1:]
                tensors = tensors[:1]
            layer = self._layers[name]
            made = layer(tensors if len(tensors) > 1 else tensors[0], **values)
        self._made[name, number] = keras.tree.flatten(made)
        return True

    def _is_there(self, value: Any) -> bool:
        if _is_place(value):
            return value[0] not in self._first or (value[0], value[1]) in self._made
        return all(map(self._is_there, value)) if isinstance(value, list) else True

    def _decoded(self, value: Any) -> Any:
        if _is_place(value) and (value[0], value[1]) in self._made:
            return self.tensor(value)
        return [self._decoded(part) for part in value] if isinstance(value, list) else value


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str) and type(value[1]) is int


def _begins_with_input(entry: Config) -> bool:
    return any(layer["class_name"] == "InputLayer" for layer in layers_of(entry)[:1])


def _places(value: Any) -> list[Any]:
    """Return the places in a structure of [layer, call, output], named ones in the order of their names."""
    if isinstance(value, Mapping):
        return [place for name in sorted(value) for place in _places(value[name])]
    return [value] if _is_place(value) else [place for part in value for place in _places(part)]


def _arguments(node: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return the places of the inputs of a call, and its other arguments."""
    given = [] if not node else _places(node)
    options = next((place[3] for place in given if len(place) > 3 and isinstance(place[3], dict)), {})
    return given, dict(options)


def _layer(entry: Config) -> KerasLayer:
    """Build a layer of Keras 3 from the entry of one of Keras 2."""
    class_name = str(entry["class_name"])
    if class_name in MODELS:
        return _model(entry)
    made = getattr(layers, _RENAMED.get(class_name, class_name), None)
    if made is None:
        raise SourceError(f"{name_of(entry)} ({class_name}): Keras {keras.__version__} has no such layer.")
    renamed = _OPTIONS.get(class_name, {})
    options = {renamed.get(key, key): value for key, value in entry["config"].items()}
    options = {key: value for key, value in options.items() if key not in _BY_DEFAULT or value != _BY_DEFAULT[key]}
    for key in ("layer", "backward_layer", "cell"):
        if isinstance(options.get(key), Mapping):
            options[key] = _layer(options[key])
    if "cells" in options:
        options["cells"] = [_layer(cell) for cell in options["cells"]]
    for key in ("activation", "recurrent_activation"):
        if options.get(key) == HARD_SIGMOID:
            options[key] = hard_sigmoid_keras2
    known = _parameters(made)
    dropped = [key for key in options if key in _OF_THE_INPUT and (key not in known or class_name != "Embedding")]
    options = {key: value for key, value in options.items() if key not in dropped}
    unknown = {key: value for key, value in options.items() if key not in known and value is not None}
    if unknown:
        listed = ", ".join(f"{key}={value}" for key, value in unknown.items())
        raise SourceError(f"{name_of(entry)} ({class_name}): its options {listed} have no counterpart in Keras 3.")
    options = {key: value for key, value in options.items() if key in known}
    options["name"] = _safe(name_of(entry))
    if class_name in _NOT_CAUSAL and options.get("padding") == "causal":
        return _causal(made, options)
    return made(**options)


def _causal(made: type, options: dict[str, Any]) -> KerasLayer:
    """Return a convolution with padding="causal", which this one no longer has: zeros before the sequence."""
    (size,), (dilation,) = (keras.tree.flatten(options.get(key, 1)) for key in ("kernel_size", "dilation_rate"))
    zeros = layers.ZeroPadding1D(((size - 1) * dilation, 0))
    inner = made(**{**options, "padding": "valid", "name": f"{options['name']}_valid"})
    return keras.Sequential([zeros, inner], name=options["name"])


@lru_cache
def _parameters(layer_type: type) -> frozenset[str]:
    """Return the names of the options of a layer, those of its base classes too."""
    found = set()
    for each in layer_type.__mro__:
        if "__init__" in vars(each):
            parameters = inspect.signature(vars(each)["__init__"]).parameters.values()
            found |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
            if not any(p.kind == p.VAR_KEYWORD for p in parameters):
                break  # nothing reaches the classes below
    return frozenset(found - {"self"})


def _safe(name: str) -> str:
    """Return a name that Keras 3 takes for a layer: it forbids slashes."""
    return name.replace("/", "_")
