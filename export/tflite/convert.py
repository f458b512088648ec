"""From a step function to the payload of a .tflite file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from ...runtime.common.errors import NotSteppableError
from ...runtime.format.tensor_specs import STEP
from ..ops import Value, Weights
from ..ops.precision import BYTES_PER_WEIGHT, FEWEST_INT8, FLOAT16, FLOAT32, INT8, half_scales, rounding_of
from ..ops.tensorflow_ops import TensorFlowOps
from ..step_function.build import StepFunction
from ..step_function.tf_graph import step_graph
from .layout import repack
from .weights import move_scales_behind_products, store_as_half

AS_CONVERTED = "serving_default"  # the name that the converter gives a lone signature
# In a file whose weights were left outside (variables in place of constants), or that wants TensorFlow itself.
_FORBIDDEN_OPERATORS = ("READ_VARIABLE", "VAR_HANDLE", "ASSIGN_VARIABLE", "CALL_ONCE", "CUSTOM")
# The highest versions that tflite-runtime 2.14 registers; it refuses a file with later ones, and that with a message
# about an old TensorFlow. Converters of today write later ones for some quantised operators.
_HIGHEST_VERSIONS = {
    "ADD": 5, "BATCH_MATMUL": 4, "CONCATENATION": 4, "DEQUANTIZE": 5, "EMBEDDING_LOOKUP": 3, "FULLY_CONNECTED": 10,
    "GATHER": 6, "LESS": 3, "LOGISTIC": 3, "MEAN": 3, "MUL": 7, "QUANTIZE": 3, "RSQRT": 2, "SLICE": 6, "SOFTMAX": 3,
    "SPLIT": 4, "STRIDED_SLICE": 8, "SUB": 5, "TANH": 3, "WHILE": 1,
}  # fmt: skip
_UNKNOWN_OPERATOR = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")


def _int8_for_all(model: Any) -> None:
    """Let every interpreter read a file of int8 weights; its scales are float16."""
    move_scales_behind_products(model)
    store_as_half(model)


# Precision -> the change of a file after its conversion.
_REWRITES: dict[str, Callable[[Any], None]] = {FLOAT32: lambda model: None, FLOAT16: store_as_half, INT8: _int8_for_all}


def tflite_payload(step_function: StepFunction, quantization: str = FLOAT32) -> tuple[bytes, dict[str, int]]:
    """Convert `step_function` to TFLite with weights of the precision `quantization`.

    Returns:
        The payload, whose only signature is `step`, and the highest version of each operator in it.

    Raises:
        NotSteppableError: The converter made a file that cannot be right, or that tflite-runtime cannot run.
    """
    ops = EvenTables() if quantization == INT8 else TensorFlowOps(rounding_of(quantization))
    # A whole model has shapes that depend on the batch, which would move its tensors in memory at every step.
    converter = converter_of(step_graph(step_function, ops, None if step_function.whole is None else 1))
    if quantization == INT8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    payload = repack(converted(converter), {AS_CONVERTED: STEP}, _REWRITES[quantization])
    operators = operator_versions(payload)
    forbidden = [name for name in _FORBIDDEN_OPERATORS if name in operators]
    weight_bytes = ops.bytes_used() * BYTES_PER_WEIGHT[quantization] // BYTES_PER_WEIGHT[FLOAT32]
    if forbidden or len(payload) < weight_bytes:
        raise NotSteppableError(
            f"The TFLite converter made a file of {len(payload)} bytes for {weight_bytes} bytes of weights, "
            f"with the operators {', '.join(sorted(operators))}. Its weights are missing, or it "
            "needs TensorFlow to run."
        )
    require_loadable(operators, quantization)
    return payload, operators


def converter_of(graph: Any) -> Any:
    """Return the converter of the TensorFlow function `graph`."""
    module = tf.Module()  # holds the function alone: with Keras layers in it, the file has no weights
    module.step = graph
    return tf.lite.TFLiteConverter.from_concrete_functions([module.step.get_concrete_function()], module)


def converted(converter: Any) -> bytes:
    """Convert, or raise NotSteppableError that names the operators that TFLite does not have."""
    from tensorflow.lite.python.convert import ConverterError

    try:
        converted: bytes = converter.convert()
    except ConverterError as error:
        names = sorted(set(_UNKNOWN_OPERATOR.findall(str(error))))
        lacking = f"TFLite has no operator for {', '.join(names)}" if names else str(error).strip().split("\n")[0]
        raise NotSteppableError(
            f"The step of this model cannot be converted to TFLite: {lacking}. Write that part with other operations, "
            "or leave this format out (--format onnx). Nothing was written."
        ) from None
    return converted


class EvenTables(TensorFlowOps):
    """Looks rows up in tables whose columns reach equally far: the converter gives a table one scale for all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._even: dict[int, tuple[Weights, Weights, Weights]] = {}  # the table itself keeps its id its own

    def gather(self, table: Weights, ids: Value) -> Value:
        """See `Ops.gather`."""
        if table.ndim != 2 or table.size < FEWEST_INT8:
            return super().gather(table, ids)
        if id(table) not in self._even:
            reach = np.abs(table).max(axis=0)
            reach[reach == 0] = 1
            reach = half_scales(reach)
            self._even[id(table)] = table, table / reach, reach
        _, even, reach = self._even[id(table)]
        return super().gather(even, ids) * self.constant(reach)


def require_loadable(operators: dict[str, int], quantization: str) -> None:
    """Raise NotSteppableError if a file with these operators needs more than the oldest supported interpreter has."""
    later = [
        f"{name} version {version} (at most {_HIGHEST_VERSIONS[name]})"
        for name, version in operators.items()
        if version > _HIGHEST_VERSIONS.get(name, version)
    ]
    if later:
        raise NotSteppableError(
            f"The TFLite converter made a {quantization} file that tflite-runtime 2.14 cannot load: it has "
            f"{', '.join(later)}. Nothing was written. Install the TensorFlow of constraints.txt, which makes one that "
            "loads, or leave this precision out."
        )


def operator_versions(payload: bytes) -> dict[str, int]:
    """Return operator name -> highest version of it in a TFLite file, sorted by name."""
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    model = schema.Model.GetRootAs(payload, 0)
    versions: dict[str, int] = {}
    for index in range(model.OperatorCodesLength()):
        operator = model.OperatorCodes(index)
        name = names[max(operator.BuiltinCode(), operator.DeprecatedBuiltinCode())]
        versions[name] = max(versions.get(name, 0), operator.Version())
    return dict(sorted(versions.items()))
