"""Stores the weights of a TFLite graph as float16; it computes in float32.

The converter can do that by itself (`supported_types`), but then it rounds every constant of the graph, also those that
it folded and those that are no weights: 1/3 became 0.33325, and the 1e-12 that guards a division became 0. So it
converts in float32, and what loses nothing by it is stored in half the bytes here. DEQUANTIZE brings it back, which
interpreters do once, when they load: the same kernels and the same speed as float32.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ..runtime.arrays import AnyArray
from .precision import is_half
from .tflite_operators import constant_buffer, content_of, operator_code

_VERSION = 3  # of DEQUANTIZE: the first that reads float16
_COMPUTED = 0  # the buffer of tensors that are computed (schema.fbs)


def store_as_half(model: Any) -> None:
    """Store every weight of `model`, a `schema.ModelT`, as float16 that loses nothing by it."""
    halves: dict[int, int | None] = {}  # buffer of float32 -> buffer of float16; None: it would lose something
    for subgraph in model.subgraphs:
        restoring = []
        for index, tensor in enumerate(subgraph.tensors[:]):
            if tensor.type != schema.TensorType.FLOAT32 or tensor.buffer == _COMPUTED:
                continue
            if tensor.buffer not in halves:
                halves[tensor.buffer] = _half_buffer(model, content_of(model, tensor).view(np.float32))
            half = halves[tensor.buffer]
            if half is None:
                continue
            stored = copy.copy(tensor)
            stored.type, stored.buffer = schema.TensorType.FLOAT16, half
            tensor.buffer = _COMPUTED
            subgraph.tensors.append(stored)
            restoring.append(_restored(model, len(subgraph.tensors) - 1, index))
        subgraph.operators = [*restoring, *subgraph.operators]


def _half_buffer(model: Any, weights: AnyArray) -> int | None:
    return constant_buffer(model, weights.astype(np.float16)) if is_half(weights) else None


def _restored(model: Any, stored: int, target: int) -> Any:
    """Return the operator that makes the float32 tensor `target` of the float16 tensor `stored`."""
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, schema.BuiltinOperator.DEQUANTIZE, _VERSION)
    operator.inputs, operator.outputs = [stored], [target]
    operator.builtinOptionsType, operator.builtinOptions = (
        schema.BuiltinOptions.DequantizeOptions,
        schema.DequantizeOptionsT(),
    )
    return operator
