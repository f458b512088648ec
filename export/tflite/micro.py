"""From a step function to the payload of a .tflite file that TensorFlow Lite Micro steps.

TFLite Micro takes graphs of fixed shapes: one stream, and the signature `step` alone. It knows inputs and outputs by
their positions: the inputs of `Manifest.graph_inputs` and the outputs of `Manifest.graph_outputs`, in that order.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from ...runtime.format.tensor_specs import STEP, Inputs
from ...runtime.interpreters.base import initial_state
from ..ops.precision import FLOAT32
from ..ops.tensorflow_ops import TensorFlowOps
from ..step_function.build import StepFunction
from ..step_function.run import as_mapping
from ..step_function.tf_graph import input_specs, step_graph
from .convert import AS_CONVERTED, EvenTables, converted, converter_of, operator_versions
from .fixed_scales import BITS, Ranges, factors_and_products, fix_scales
from .layout import repack
from .weights import move_scales_behind_products


def micro_payload(step_function: StepFunction, quantization: str, typical: Inputs) -> tuple[bytes, dict[str, int]]:
    """Convert `step_function` to TFLite for one stream, with weights and products of the precision `quantization`.

    Args:
        step_function: The step function.
        quantization: "float32"; "int8" or "int16": weights of 8 bits, and products of so many bits with fixed scales.
        typical: Inputs as the model may meet them, of which the scales are made.

    Returns:
        The payload, and the highest version of each operator in it.

    Raises:
        NotSteppableError: TFLite has no operator for something.
    """
    ops = TensorFlowOps() if quantization == FLOAT32 else EvenTables()
    converter = converter_of(step_graph(step_function, ops, 1))
    if quantization != FLOAT32:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    names = _port_names(step_function)

    def prepare(model: Any) -> None:
        move_scales_behind_products(model)
        _sort_ports(model, *names)

    payload = repack(converted(converter), {AS_CONVERTED: STEP}, prepare)
    if quantization != FLOAT32:
        ranges = _measure_ranges(payload, step_function, typical)
        payload = repack(payload, {}, lambda model: fix_scales(model, ranges, BITS[quantization]))
    return payload, operator_versions(payload)


def _port_names(step_function: StepFunction) -> tuple[list[str], list[str]]:
    """Return the names of the inputs and of the outputs by their positions."""
    inputs = [spec.name for specs in input_specs(step_function, 1) for spec in specs]
    outputs = [output.name for output in step_function.interface.outputs]
    return inputs, [*outputs, *(tensor.next for tensor in step_function.state)]


def _sort_ports(model: Any, inputs: list[str], outputs: list[str]) -> None:
    """Let the positions of the inputs and outputs of a `schema.ModelT` be those of their names."""
    (signature,), (subgraph,) = model.signatureDefs, model.subgraphs
    for ports, names, side in ((signature.inputs, inputs, "inputs"), (signature.outputs, outputs, "outputs")):
        tensors = {port.name.decode(): port.tensorIndex for port in ports}
        setattr(subgraph, side, np.array([tensors[name] for name in names], np.int32))


def _measure_ranges(payload: bytes, step_function: StepFunction, typical: Inputs) -> Ranges:
    """Step `typical` and return the smallest and largest number of each factor and product, by tensor."""
    with warnings.catch_warnings():  # says that another package has this interpreter too
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(
            model_content=payload,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    interpreter.allocate_tensors()
    watched = factors_and_products(schema.ModelT.InitFromObj(schema.Model.GetRootAs(payload, 0)))
    ranges = dict.fromkeys(watched, (0.0, 0.0))
    inputs, outputs = _port_names(step_function)
    into = {name: each["index"] for name, each in zip(inputs, interpreter.get_input_details(), strict=True)}
    out = {name: each["index"] for name, each in zip(outputs, interpreter.get_output_details(), strict=True)}
    state = dict(initial_state(step_function.state))
    for step in range(len(typical)):
        fed = {**as_mapping(typical[step : step + 1]), **state}
        for name, index in into.items():
            interpreter.set_tensor(index, fed[name])
        interpreter.invoke()
        state = {tensor.name: interpreter.get_tensor(out[tensor.next]) for tensor in step_function.state}
        for tensor, (low, high) in ranges.items():
            array = interpreter.get_tensor(tensor)
            ranges[tensor] = min(low, float(array.min())), max(high, float(array.max()))
    return ranges
