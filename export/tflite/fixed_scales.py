"""Products of integers with fixed scales, in a TFLite graph, a `schema.ModelT`, whose weights are int8.

The other factor of a product with int8 weights is float32, and interpreters choose its scale anew at every step
("dynamic range"). TensorFlow Lite Micro has no such kernels. So the factor is quantised to 8 or 16 bits with a scale
that is fixed here, the product comes out with as many bits, and is brought back to float32. All else stays float32, the
state too, which collects the errors of all steps: with everything in 8 bits an LSTM gave 95.7 % of Keras's answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from ..ops.precision import INT8, INT16
from .weights import NO_TENSOR, computed_like, constant, content_of, is_operator, new_operator, operator_code

Ranges: TypeAlias = Mapping[int, tuple[float, float]]  # tensor -> its smallest and largest number, or 0

BITS = {INT8: 8, INT16: 16}
_MARGIN = {8: 1.1, 16: 4.0}  # beyond the numbers that were met; 16 bits have some to spare
# Bits -> type, and versions of QUANTIZE, FULLY_CONNECTED and DEQUANTIZE.
_TYPES = {8: schema.TensorType.INT8, 16: schema.TensorType.INT16}
_VERSIONS = {8: (1, 4, 2), 16: (2, 7, 3)}
_Operator = schema.BuiltinOperator


def factors_and_products(model: Any) -> set[int]:
    """Return the tensors that `fix_scales` has to know the range of."""
    return {int(index) for operator in _products(model) for index in (operator.inputs[0], operator.outputs[0])}


def fix_scales(model: Any, ranges: Ranges, bits: int) -> None:
    """Let each product of float32 numbers and int8 weights be one of integers of so many bits."""
    (subgraph,) = model.subgraphs
    products = {id(operator) for operator in _products(model)}
    quantized: dict[int, int] = {}  # factor -> the tensor of its integers
    operators = []
    for operator in subgraph.operators:
        if id(operator) not in products:
            operators.append(operator)
            continue
        factor, target = int(operator.inputs[0]), int(operator.outputs[0])
        if factor not in quantized:
            quantized[factor] = _integers(subgraph, factor, ranges[factor], bits)
            operators.append(new_operator(model, "Quantize", [factor], quantized[factor], _VERSIONS[bits][0]))
        operators += _of_integers(model, subgraph, operator, quantized[factor], target, ranges[target], bits)
    subgraph.operators = operators


def _products(model: Any) -> Iterator[Any]:
    """Yield each FULLY_CONNECTED of float32 numbers and int8 weights."""
    (subgraph,) = model.subgraphs
    for operator in subgraph.operators:
        if is_operator(model.operatorCodes[operator.opcodeIndex], _Operator.FULLY_CONNECTED):
            x, weights = (subgraph.tensors[index].type for index in operator.inputs[:2])
            if (x, weights) == (schema.TensorType.FLOAT32, schema.TensorType.INT8):
                yield operator


def _of_integers(
    model: Any, subgraph: Any, operator: Any, factor: int, target: int, reach: tuple[float, float], bits: int
) -> list[Any]:
    """Return the product with the integers `factor`, brought back to float32, and the bias where there is one."""
    _, version, restored = _VERSIONS[bits]
    weights, bias = int(operator.inputs[1]), int(operator.inputs[2]) if len(operator.inputs) > 2 else NO_TENSOR
    if bias != NO_TENSOR:
        most = float(np.abs(content_of(model, subgraph.tensors[bias]).view(np.float32)).max(initial=0))
        reach = reach[0] - most, reach[1] + most
    options = operator.builtinOptions
    activation, options.fusedActivationFunction = options.fusedActivationFunction, schema.ActivationFunctionType.NONE
    options.asymmetricQuantizeInputs = False
    product = _integers(subgraph, target, reach, bits)
    operator.opcodeIndex = operator_code(model, _Operator.FULLY_CONNECTED, version)
    operator.inputs, operator.outputs = [factor, weights, NO_TENSOR], [product]
    if bias == NO_TENSOR and activation == schema.ActivationFunctionType.NONE:
        return [operator, new_operator(model, "Dequantize", [product], target, restored)]
    if bias == NO_TENSOR:
        bias = constant(model, subgraph, np.zeros(1, np.float32))
    number = computed_like(subgraph, target)
    last = new_operator(model, "Add", [number, bias], target)
    last.builtinOptions.fusedActivationFunction = activation
    return [operator, new_operator(model, "Dequantize", [product], number, restored), last]


def _integers(subgraph: Any, like: int, reach: tuple[float, float], bits: int) -> int:
    """Append a tensor of integers for the numbers of the tensor `like`, which lie within `reach`; return its index."""
    index = computed_like(subgraph, like)
    tensor = subgraph.tensors[index]
    tensor.type = _TYPES[bits]
    low, high = (min(limit, 0.0) if limit is reach[0] else max(limit, 0.0) for limit in reach)
    low, high = low * _MARGIN[bits], high * _MARGIN[bits]
    largest = 2 ** (bits - 1) - 1
    scale, zero = max(-low, high) / largest or 1.0, 0
    if bits == 8:  # integers of 16 bits have no zero point
        scale = (high - low) / (2 * largest) or 1.0
        zero = int(np.clip(round(-largest - low / scale), -largest - 1, largest))
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale, tensor.quantization.zeroPoint = [np.float32(scale)], [zero]
    return index
