"""Configurations of Keras 2 as data: what is refused, and what a layer meant that Keras 3 reads otherwise.

Everything here works on JSON values, without Keras. `complete` returns a configuration with the old meanings written
out, which the reference (`referee.py`) and the rebuilt model (`rebuild.py`) both come from.

What changed from Keras 2 to Keras 3 (sources of tf_keras 2.21 and keras 3.15 compared, every constructor):

| where | Keras 2 | Keras 3 |
|---|---|---|
| activation `hard_sigmoid` | clip(0.2 x + 0.5, 0, 1) | relu6(x + 3) / 6 |
| `recurrent_activation` of LSTM, GRU, absent in a configuration | hard_sigmoid (up to 2.2) | sigmoid |
| `recurrent_activation` of ConvLSTM1D, 2D, 3D, absent | hard_sigmoid | sigmoid |
| `reset_after` of GRU, absent | False (up to 2.2) | True |
| `pool_size` of AveragePooling1D, 2D, 3D, absent | 2 | has no default |
| `data_format` of 1D layers, absent | channels_last | that of the user's keras.json |
| `alpha` of LeakyReLU | alpha | negative_slope |
| ThresholdedReLU(theta) | a layer | ReLU(threshold=theta) |
| CuDNNLSTM, CuDNNGRU | layers, kernels transposed, two biases | LSTM, GRU(reset_after=True) |
| `axis` of BatchNormalization | a list of one axis | the axis |
| `batch_input_shape` of any layer, `input_length` | an input | InputLayer(batch_shape=...) |
| `time_major`, `implementation`, `fused`, `renorm`, `virtual_batch_size` | options | gone |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MODELS = ("Model", "Functional", "Sequential")
OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
HARD_SIGMOID = "hard_sigmoid"
_LOOKUPS = frozenset(["StringLookup", "IntegerLookup", "TextVectorization"])
_CODE = ("Lambda",)
_POOLINGS = ("AveragePooling", "MaxPooling", "AvgPool", "MaxPool")
_GLOBAL = ("GlobalAveragePooling", "GlobalMaxPooling", "GlobalAvgPool", "GlobalMaxPool")
_CONVOLUTIONS = ("Conv", "Convolution", "ZeroPadding", "UpSampling", "Cropping")
LAYERS = frozenset([
    "InputLayer", "Dense", "EinsumDense", "Embedding", "Activation", "Masking", "Dropout", "SpatialDropout1D",
    "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout", "GaussianNoise",
    "ActivityRegularization", "Flatten", "Reshape", "Permute", "RepeatVector", "Identity",
    "LSTM", "GRU", "SimpleRNN", "RNN", "LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells", "CuDNNLSTM",
    "CuDNNGRU", "ConvLSTM1D", "ConvLSTM2D", "Bidirectional", "TimeDistributed",
    "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "Conv1DTranspose", "Conv2DTranspose",
    "BatchNormalization", "SyncBatchNormalization", "LayerNormalization", "UnitNormalization", "GroupNormalization",
    "LeakyReLU", "ELU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU",
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot",
    "Attention", "AdditiveAttention", "MultiHeadAttention",
    "Normalization", "Rescaling", "CategoryEncoding", "Discretization",
    *(f"{name}{n}D" for name in (*_POOLINGS, *_GLOBAL, *_CONVOLUTIONS) for n in (1, 2, 3)),
    *OPERATIONS,
])  # fmt: skip
_ACTIVATIONS = frozenset([
    "elu", "exponential", "gelu", "hard_sigmoid", "linear", "mish", "relu", "selu", "sigmoid", "softmax", "softplus",
    "softsign", "swish", "silu", "tanh", "relu6", "leaky_relu", "log_softmax",
])  # fmt: skip
# Class -> what an absent option meant.
DEFAULTS: dict[str, dict[str, Any]] = {
    **{name: {"recurrent_activation": HARD_SIGMOID} for name in ("LSTM", "LSTMCell", "ConvLSTM1D", "ConvLSTM2D")},
    **{name: {"recurrent_activation": HARD_SIGMOID, "reset_after": False} for name in ("GRU", "GRUCell")},
    **{f"{name}{n}D": {"pool_size": 2} for name in _POOLINGS for n in (1, 2, 3)},
}
_CUDNN: dict[str, tuple[str, dict[str, Any]]] = {
    "CuDNNLSTM": ("LSTM", {"activation": "tanh", "recurrent_activation": "sigmoid"}),
    "CuDNNGRU": ("GRU", {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True}),
}
# Of training, or of the way in which TensorFlow computed the same numbers.
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
_WITHOUT_EFFECT = ("dynamic", "implementation", "fused", "force_generator", "rng_type", "sparse_gradients")
_OTHER_FLOATS = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "float64")
_NESTED = ("layer", "backward_layer", "cell")
# Options that Keras 3 does not have, and the values that mean nothing.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "time_major": (False, None),
    "renorm": (False, None),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "sparse": (False, None),
    "ragged": (False, None),
    "softmax_robust_masking": (False, None),
    "robust_masking": (False, None),
    "type_spec": (None,),
}


def entries(config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the class name and the entry of every layer in a configuration, nested ones after those around them."""
    pending = [config]
    while pending:
        entry = pending.pop()
        if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str):
            raise ValueError(f"{str(entry)[:80]!r} is no layer")
        yield entry["class_name"], entry
        pending += reversed(nested_entries(entry))


def nested_entries(entry: Mapping[str, Any]) -> list[Any]:
    """Return the entries of the layers inside a model, a wrapper or a recurrent layer."""
    config = entry.get("config")
    if entry["class_name"] in MODELS:
        return layers_of(entry)
    if not isinstance(config, dict):
        return []
    inside = [config[key] for key in _NESTED if isinstance(config.get(key), dict)]
    return inside + (list(config["cells"]) if isinstance(config.get("cells"), list) else [])


def layers_of(entry: Mapping[str, Any]) -> list[Any]:
    """Return the entries of the layers of a model; the oldest files have a bare list."""
    config = entry.get("config")
    found = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(found, list):
        raise ValueError(f"the model {name_of(entry)!r} has no list of layers")
    return found


def name_of(entry: Mapping[str, Any]) -> str:
    """Return the name of a layer."""
    config = entry.get("config")
    inside = config.get("name") if isinstance(config, dict) else None
    return str(entry.get("name") or inside or entry.get("class_name"))


def problems_of(config: Any) -> list[str]:
    """Return what in a configuration of Keras 2 cannot be rebuilt, each in a sentence without a stop."""
    problems = []
    for class_name, entry in entries(config):
        where = f"{name_of(entry)} ({class_name})"
        options = entry.get("config")
        if class_name in _CODE:
            problems.append(f"{where}: its Lambda layer holds arbitrary code, which is not run; put layers of Keras "
                            "in its place")  # fmt: skip
        elif class_name in _LOOKUPS:
            problems.append(f"{where}: its words are not read from files of Keras 2; save the model without it, so "
                            "that it reads ids, and give the words: --vocabulary FILE")  # fmt: skip
        elif class_name not in LAYERS and class_name not in MODELS:
            problems.append(f"{where}: it needs code that is not known here, the class {class_name}")
        elif isinstance(options, dict):
            problems += [f"{where}: {problem}" for problem in _option_problems(options)]
    return problems


def _option_problems(options: Mapping[str, Any]) -> Iterator[str]:
    for key in ("activation", "recurrent_activation"):
        name = activation_of(options.get(key))
        if name is not None and name not in _ACTIVATIONS:
            yield f"its {key} {name} is code that is not known here"
    for key, harmless in _HARMLESS.items():
        if key in options and options[key] not in harmless:
            yield f"its option {key}={options[key]} has no counterpart in Keras 3"


def notes_of(config: Any) -> tuple[str, ...]:
    """Return what a rebuilt model does otherwise than its configuration says, in sentences."""
    found = set()
    for _, entry in entries(config):
        options = entry.get("config")
        dtype = options.get("dtype") if isinstance(options, dict) else None
        policy = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
        found |= {policy} if policy in _OTHER_FLOATS else set()
    return tuple(f"The layers compute in {policy}; exported is float32." for policy in sorted(found))


def activation_of(given: Any) -> str | None:
    """Return the name of an activation in a configuration; None: it names none."""
    if isinstance(given, dict):
        function = given.get("class_name") == "function"
        given = given.get("config") if function else given.get("class_name")
    return None if given is None else str(given)


def complete(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration that means the same in tf_keras, whatever wrote it, reduced to what a prediction needs."""
    return _completed(_plain(dict(entry)))


def _plain(value: Any) -> Any:
    """Return a JSON value with lists in the place of the tuples and shapes that Keras 2 writes as objects."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape") and isinstance(value.get("items"), list):
        return _plain(value["items"])
    return {key: _plain(part) for key, part in value.items()}


def _completed(entry: Mapping[str, Any]) -> dict[str, Any]:
    class_name = str(entry["class_name"])
    found: dict[str, Any] = {key: entry[key] for key in ("name", "inbound_nodes") if key in entry}
    options: dict[str, Any]
    if class_name in MODELS:
        options = dict(entry["config"]) if isinstance(entry["config"], dict) else {"name": "sequential"}
        kept = ("name", "trainable", "input_layers", "output_layers", "build_input_shape")
        layers = [_completed(layer) for layer in layers_of(entry)]
        model = {**{key: options[key] for key in kept if key in options}, "layers": layers}
        return {**found, "class_name": "Functional" if class_name == "Model" else class_name, "config": model}
    class_name, changes = _CUDNN.get(class_name, (class_name, {}))
    options = {**DEFAULTS.get(class_name, {}), **dict(entry["config"]), **changes}
    if class_name.endswith("1D") and "data_format" not in options and _has_data_format(class_name):
        options["data_format"] = "channels_last"
    for key in list(options):
        if key.endswith(_OF_TRAINING) or key in _WITHOUT_EFFECT or key in _HARMLESS:
            del options[key]
        elif isinstance(options[key], dict) and options[key].get("type") == "ndarray":
            options[key] = options[key].get("value")
    for key in ("activation", "recurrent_activation"):
        if key in options:
            options[key] = activation_of(options[key]) or "linear"
    for key in _NESTED:
        if isinstance(options.get(key), dict):
            options[key] = _completed(options[key])
    if isinstance(options.get("cells"), list):
        options["cells"] = [_completed(cell) for cell in options["cells"]]
    if class_name == "InputLayer":
        shape = options.pop("batch_shape", None) or options.get("batch_input_shape")
        options = {"batch_input_shape": shape, "dtype": _input_dtype(options), "name": options.get("name")}
    elif "dtype" in options:
        options["dtype"] = "float32"  # also of mixed precision: the weights are float32
    if "axis" in options and class_name == "BatchNormalization" and isinstance(options["axis"], list):
        (options["axis"],) = options["axis"]
    return {**found, "class_name": class_name, "config": options}


def _input_dtype(options: Mapping[str, Any]) -> str:
    dtype = options.get("dtype")
    return dtype if isinstance(dtype, str) and dtype.startswith(("int", "uint", "bool", "string")) else "float32"


def _has_data_format(class_name: str) -> bool:
    return class_name.startswith((*_POOLINGS, *_GLOBAL, "Conv", "SeparableConv", "DepthwiseConv"))
