"""A model file's step, computed with numpy alone: operators are read from the file and become numpy calls.

For machines that no interpreter exists for, and as an independent second opinion on those that one exists for.
"""

from ...format.onnx_graph import OnnxGraph
from ...format.tflite_graph import TfliteGraph, likely_signature
from .from_onnx import onnx_calculation
from .from_tflite import tflite_calculation
from .graph import Calculation, CalculationError
from .program import Program, build_program


def calculation_of(graph: TfliteGraph | OnnxGraph, signature: str | None = None) -> Calculation:
    """Return what one step of a graph computes.

    Args:
        graph: The graph.
        signature: Which signature of a TFLite graph is a step; None: the likeliest one.

    Raises:
        CalculationError: Operators are not known here, all of which are named, or used in a way that is not.
        ValueError: A constant cannot be read.
        KeyError: There is no such signature.
    """
    if isinstance(graph, OnnxGraph):
        return onnx_calculation(graph)
    if signature is None:
        names = [each.name for each in graph.signatures]
        likely = likely_signature(names)
        signature = names[0] if likely is None else likely
    return tflite_calculation(graph, signature)


__all__ = ["Calculation", "CalculationError", "Program", "build_program", "calculation_of"]
