"""Store the weights of a TFLite graph, a `schema.ModelT`, in fewer bytes, in operators that every interpreter has.

float16: the graph computes in float32. The converter can do that by itself (`supported_types`), but then it rounds
every constant of the graph, also those that it folded and those that are no weights: 1/3 became 0.33325, and the 1e-12
that guards a division became 0. So it converts in float32, and weights that lose nothing by it are stored in half the
bytes here. DEQUANTIZE brings them back, which interpreters do once, when they load: same kernels, same speed.

int8: one scale per column of a matrix. With one scale for the whole matrix, a column of small weights keeps few of its
8 bits: an LSTM of 128 units trained on text then gave 95.8 % of Keras's answers, with a scale per column 97.3 % (and
97.9 % with one per column of its lookup table as well). The converter writes such scales as FULLY_CONNECTED version 12;
tflite-runtime 2.14 has versions up to 10, which know one scale. The same numbers come out when the product is made with
a scale of 1 and multiplied by the scales afterwards.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ...runtime.common.arrays import AnyArray
from ..ops.precision import half_scales, is_half

_DEQUANTIZE_VERSION = 3  # the first that reads float16
_FULLY_CONNECTED_VERSION = 9  # dynamic range with inputs quantised asymmetrically
_COMPUTED = 0  # the buffer of tensors that are computed (schema.fbs)
NO_TENSOR = -1
_Operator = schema.BuiltinOperator


def new_operator(model: Any, name: str, inputs: list[int], output: int, version: int = 1) -> Any:
    """Return a new operator, "Dequantize" for example, without options of its own."""
    operator = schema.OperatorT()
    operator.opcodeIndex = operator_code(model, getattr(_Operator, name.upper()), version)
    operator.inputs, operator.outputs = inputs, [output]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
    operator.builtinOptions = getattr(schema, f"{name}OptionsT")()
    return operator


def is_operator(code: Any, builtin: int) -> bool:
    """Tell whether an operator code of a model is that of `builtin`."""
    return bool(max(code.builtinCode, code.deprecatedBuiltinCode) == builtin)


def operator_code(model: Any, builtin: int, version: int = 1) -> int:
    """Return the index of the operator code of `builtin`, appended if the model has none yet; its version rises."""
    for index, code in enumerate(model.operatorCodes):
        if is_operator(code, builtin):
            code.version = max(code.version, version)
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def content_of(model: Any, tensor: Any) -> AnyArray:
    """Return the bytes of a constant, uint8 of shape (N,); none for a tensor that is computed."""
    data = model.buffers[tensor.buffer].data
    return np.empty(0, np.uint8) if data is None else np.frombuffer(bytes(bytearray(data)), np.uint8)


def constant_buffer(model: Any, values: AnyArray) -> int:
    """Append a buffer with `values`; return its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def store_as_half(model: Any) -> None:
    """Store every weight of `model`, a `schema.ModelT`, as float16 that loses nothing by it."""
    halves: dict[int, int | None] = {}  # buffer of float32 -> buffer of float16; None: it would lose something
    for subgraph in model.subgraphs:
        restoring = []
        for index, tensor in enumerate(subgraph.tensors[:]):
            if tensor.type != schema.TensorType.FLOAT32 or tensor.buffer == _COMPUTED:
                continue
            if tensor.buffer not in halves:
                weights = content_of(model, tensor).view(np.float32)
                halves[tensor.buffer] = constant_buffer(model, weights.astype(np.float16)) if is_half(weights) else None
            half = halves[tensor.buffer]
            if half is None:
                continue
            stored = copy.copy(tensor)
            stored.type, stored.buffer = schema.TensorType.FLOAT16, half
            tensor.buffer = _COMPUTED
            subgraph.tensors.append(stored)
            source = len(subgraph.tensors) - 1
            restoring.append(new_operator(model, "Dequantize", [source], index, _DEQUANTIZE_VERSION))
        subgraph.operators = [*restoring, *subgraph.operators]


def move_scales_behind_products(model: Any) -> None:
    """Rewrite each FULLY_CONNECTED of `model`, a `schema.ModelT`, whose weights have a scale per column."""
    rewritten = False
    for subgraph in model.subgraphs:
        operators = []
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            product = is_operator(code, _Operator.FULLY_CONNECTED)
            scales = _column_scales(subgraph.tensors[operator.inputs[1]]) if product else None
            if scales is None:
                operators.append(operator)
            else:
                rewritten = True
                operators += _rewritten(model, subgraph, operator, half_scales(np.asarray(scales, np.float32)))
        subgraph.operators = operators
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            if _column_scales(tensor) is not None:
                tensor.quantization.scale, tensor.quantization.zeroPoint = [1.0], [0]
                tensor.quantization.quantizedDimension = 0
    for code in model.operatorCodes:
        if rewritten and is_operator(code, _Operator.FULLY_CONNECTED):
            code.version = min(code.version, _FULLY_CONNECTED_VERSION)


def _rewritten(model: Any, subgraph: Any, operator: Any, scales: Any) -> list[Any]:
    """Return x @ W, times `scales`, plus the bias where there is one, in place of `operator`."""
    inputs, target = list(operator.inputs), int(operator.outputs[0])
    bias = inputs[2] if len(inputs) > 2 else NO_TENSOR
    activation = operator.builtinOptions.fusedActivationFunction
    operator.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
    operator.inputs = [*inputs[:2], NO_TENSOR]
    product = computed_like(subgraph, target)
    operator.outputs = [product]
    factor = constant(model, subgraph, scales)
    scaled = target if bias == NO_TENSOR else computed_like(subgraph, target)
    operators = [operator, new_operator(model, "Mul", [product, factor], scaled)]
    if bias != NO_TENSOR:
        operators.append(new_operator(model, "Add", [scaled, bias], target))
    operators[-1].builtinOptions.fusedActivationFunction = activation
    return operators


def _column_scales(tensor: Any) -> Any:
    """Return the scales of a tensor that has one per column, else None."""
    scales = None if tensor.quantization is None else tensor.quantization.scale
    return None if scales is None or len(scales) < 2 else scales


def computed_like(subgraph: Any, like: int) -> int:
    """Append a tensor of the shape and type of the computed tensor `like`; return its index."""
    subgraph.tensors.append(copy.deepcopy(subgraph.tensors[like]))
    return len(subgraph.tensors) - 1


def constant(model: Any, subgraph: Any, values: Any) -> int:
    """Append a float32 constant of shape (N,); return its index."""
    tensor = schema.TensorT()
    tensor.shape, tensor.type, tensor.buffer = [len(values)], schema.TensorType.FLOAT32, constant_buffer(model, values)
    tensor.hasRank = True
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1
