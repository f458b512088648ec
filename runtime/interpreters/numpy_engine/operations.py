"""The operations that a step is made of, in numpy: each records its calls on a tape and returns its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ...common.arrays import AnyArray
from . import activations, products
from . import shapes as shaping
from .recorder import Tape, axes_of

Make: TypeAlias = Callable[..., AnyArray | Sequence[AnyArray]]


def _of_one(*kinds: str) -> Make:
    """Return the operation that applies functions of one operand, one after the other."""

    def make(t: Tape, x: AnyArray) -> AnyArray:
        for kind in kinds:
            x = t(kind, x)
        return x

    return make


def _of_all(kind: str) -> Make:
    """Return the operation that applies a function of two operands to two or more."""

    def make(t: Tape, x: AnyArray, *others: AnyArray) -> AnyArray:
        for other in others:
            x = t(kind, x, other)
        return x

    return make


def _over(kind: str) -> Make:
    """Return the operation that reduces over axes."""

    def make(t: Tape, x: AnyArray, axes: AnyArray | None = None, *, keep: bool, at: Any = None) -> AnyArray:
        return t.reduce(kind, x, axes_of(at if axes is None else axes, x.ndim), keep)

    return make


def _mean(t: Tape, x: AnyArray, axes: AnyArray | None = None, *, keep: bool, at: Any = None) -> AnyArray:
    over = axes_of(at if axes is None else axes, x.ndim)
    return t("divide", t.reduce("sum", x, over, keep), float(prod(x.shape[axis] for axis in over)))


def _select(t: Tape, condition: AnyArray, x: AnyArray, y: AnyArray) -> AnyArray:
    out = t.new(np.broadcast_shapes(condition.shape, x.shape, y.shape), x.dtype)
    return t.record("select", [condition, x, y], out)


def _cast(t: Tape, x: AnyArray, *, to: str) -> AnyArray:
    dtype = t.floats if to in ("float16", "float32") else np.dtype(to)
    return x if x.dtype == dtype else t.copy(x, x.shape, dtype)


OPERATIONS: dict[str, Make] = {
    "abs": _of_one("abs"),
    "add": _of_all("add"),
    "and": _of_all("and"),
    "between": shaping.between,
    "broadcast": shaping.broadcast,
    "cast": _cast,
    "clip": activations.clip,
    "concatenate": shaping.concatenate,
    "dense": products.dense,
    "divide": _of_all("divide"),
    "elu": activations.elu,
    "equal": _of_all("equal"),
    "erf": activations.error_function,
    "exp": _of_one("exp"),
    "expand": shaping.expand,
    "flatten": shaping.flatten,
    "gelu": activations.gelu,
    "greater": _of_all("greater"),
    "greater_equal": _of_all("greater_equal"),
    "hard_sigmoid": activations.hard_sigmoid,
    "hard_swish": activations.hard_swish,
    "leaky_relu": activations.leaky_relu,
    "less": _of_all("less"),
    "less_equal": _of_all("less_equal"),
    "log": _of_one("log"),
    "log_softmax": activations.log_softmax,
    "logistic": activations.logistic,
    "matmul": products.matmul,
    "max": _over("max"),
    "maximum": _of_all("maximum"),
    "mean": _mean,
    "min": _over("min"),
    "minimum": _of_all("minimum"),
    "multiply": _of_all("multiply"),
    "negative": _of_one("negative"),
    "not": _of_one("not"),
    "not_equal": _of_all("not_equal"),
    "one_hot": products.one_hot,
    "or": _of_all("or"),
    "pad": shaping.pad,
    "pad_around": shaping.pad_around,
    "part": shaping.part,
    "power": _of_all("power"),
    "product": products.product,
    "reciprocal": _of_one("reciprocal"),
    "relu": partial(activations.clip, low=0.0),
    "relu6": partial(activations.clip, low=0.0, high=6.0),
    "relu_n1_to_1": partial(activations.clip, low=-1.0, high=1.0),
    "relu_0_to_1": partial(activations.clip, low=0.0, high=1.0),
    "reshape": shaping.reshape,
    "rsqrt": _of_one("sqrt", "reciprocal"),
    "same": lambda t, x: x,
    "select": _select,
    "shape": shaping.shape_of,
    "softmax": activations.softmax,
    "split": shaping.split,
    "sqrt": _of_one("sqrt"),
    "square": _of_one("square"),
    "squared_difference": lambda t, x, y: t("square", t("subtract", x, y)),
    "squeeze": shaping.squeeze,
    "stack": shaping.stack,
    "strided": shaping.strided,
    "subtract": _of_all("subtract"),
    "sum": _over("sum"),
    "take": products.take,
    "tanh": _of_one("tanh"),
    "transpose": shaping.transpose,
    "unstack": shaping.unstack,
}
