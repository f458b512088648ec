"""Operations that Keras 2 wrote down as layers (TFOpLambda, SlicingOpLambda), in Keras 3.

`x * 2.0` on a symbolic tensor became a layer with the name of the function of TensorFlow and its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from ...runtime.common.errors import SourceError

Arguments = Mapping[str, Any]


def _unary(function: Callable[[Any], Any]) -> Callable[[Any, Arguments], Any]:
    return lambda x, a: function(x)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[Any, Arguments], Any]:
    return lambda x, a: function(x, a["y"])


def _along(function: Callable[..., Any]) -> Callable[[Any, Arguments], Any]:
    return lambda x, a: function(x, axis=a.get("axis", -1))


def _reduced(function: Callable[..., Any]) -> Callable[[Any, Arguments], Any]:
    return lambda x, a: function(x, axis=a.get("axis"), keepdims=bool(a.get("keepdims", False)))


# Name in TensorFlow, without "compat.v1." -> (first argument, the others by name) -> result.
_FUNCTIONS: dict[str, Callable[[Any, Arguments], Any]] = {
    **dict.fromkeys(("__operators__.add", "math.add", "add"), _binary(ops.add)),
    **dict.fromkeys(("math.subtract", "subtract"), _binary(ops.subtract)),
    **dict.fromkeys(("math.multiply", "multiply"), _binary(ops.multiply)),
    **dict.fromkeys(("math.truediv", "math.divide", "truediv", "divide", "math.realdiv"), _binary(ops.true_divide)),
    **dict.fromkeys(("math.maximum", "maximum"), _binary(ops.maximum)),
    **dict.fromkeys(("math.minimum", "minimum"), _binary(ops.minimum)),
    **dict.fromkeys(("math.pow", "pow"), _binary(ops.power)),
    "math.squared_difference": lambda x, a: ops.square(ops.subtract(x, a["y"])),
    **dict.fromkeys(("math.negative", "negative"), _unary(ops.negative)),
    **dict.fromkeys(("math.abs", "abs"), _unary(ops.absolute)),
    **dict.fromkeys(("math.exp", "exp"), _unary(ops.exp)),
    "math.log": _unary(ops.log),
    **dict.fromkeys(("math.sqrt", "sqrt"), _unary(ops.sqrt)),
    **dict.fromkeys(("math.square", "square"), _unary(ops.square)),
    **dict.fromkeys(("math.tanh", "nn.tanh", "tanh"), _unary(ops.tanh)),
    **dict.fromkeys(("math.sigmoid", "nn.sigmoid", "sigmoid"), _unary(ops.sigmoid)),
    "nn.relu": _unary(ops.relu),
    "nn.relu6": _unary(ops.relu6),
    "nn.elu": _unary(ops.elu),
    "nn.selu": _unary(ops.selu),
    **dict.fromkeys(("nn.silu", "nn.swish"), _unary(ops.silu)),
    **dict.fromkeys(("math.softplus", "nn.softplus"), _unary(ops.softplus)),
    **dict.fromkeys(("nn.softsign", "math.softsign"), _unary(ops.softsign)),
    "nn.leaky_relu": lambda x, a: ops.leaky_relu(x, negative_slope=a.get("alpha", 0.2)),
    "nn.gelu": lambda x, a: ops.gelu(x, approximate=bool(a.get("approximate", False))),
    "nn.softmax": _along(ops.softmax),
    "nn.log_softmax": _along(ops.log_softmax),
    "math.reduce_mean": _reduced(ops.mean),
    "math.reduce_sum": _reduced(ops.sum),
    "math.reduce_max": _reduced(ops.max),
    "math.reduce_min": _reduced(ops.min),
    "clip_by_value": lambda x, a: ops.clip(x, a["clip_value_min"], a["clip_value_max"]),
    "concat": lambda x, a: ops.concatenate(x, axis=a["axis"]),
    "stack": lambda x, a: ops.stack(x, axis=a.get("axis", 0)),
    "expand_dims": lambda x, a: ops.expand_dims(x, a["axis"]),
    "squeeze": lambda x, a: ops.squeeze(x, axis=_one(a.get("axis"))),
    "reshape": lambda x, a: ops.reshape(x, a["shape"]),
    "transpose": lambda x, a: ops.transpose(x, a.get("perm")),
    "cast": lambda x, a: ops.cast(x, "float32" if str(a["dtype"]).startswith(("float", "bfloat")) else a["dtype"]),
    "one_hot": lambda x, a: ops.one_hot(ops.cast(x, "int32"), a["depth"]),
    "split": lambda x, a: ops.split(x, _split_points(a["num_or_size_splits"]), axis=a.get("axis", 0)),
    **dict.fromkeys(("identity", "stop_gradient", "convert_to_tensor"), _unary(lambda x: x)),
}


def _one(axis: Any) -> Any:
    return axis[0] if isinstance(axis, list) and len(axis) == 1 else tuple(axis) if isinstance(axis, list) else axis


def _split_points(sizes: Any) -> Any:
    """Return where to cut for parts of these sizes; a number of equal parts stays one."""
    return [sum(sizes[: index + 1]) for index in range(len(sizes) - 1)] if isinstance(sizes, list) else sizes


def operation(name: str, first: Any, arguments: Arguments) -> Any:
    """Apply the function of TensorFlow called `name`, a symbolic operation of Keras 3.

    Raises:
        SourceError: It is none of those that are known here.
    """
    function = _FUNCTIONS.get(name.removeprefix("compat.v1."))
    if function is None:
        raise SourceError(
            f"Its operation tf.{name} has no counterpart here; known are {', '.join(sorted(_FUNCTIONS))}."
        )
    return function(first, {key: value for key, value in arguments.items() if key != "name"})


def slices(spec: Any) -> Any:
    """Return what stands in the brackets of x[...], from its JSON form."""
    if isinstance(spec, list):
        return tuple(slices(part) for part in spec)
    return slice(spec["start"], spec["stop"], spec["step"]) if isinstance(spec, dict) else spec
