"""Model files made in a second: without the parity check of an export, for tests of what comes after it."""

from __future__ import annotations

from pathlib import Path

from stepcell.export import StepFunction
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.tflite.convert import tflite_payload
from stepcell.runtime import Manifest, Vocabulary
from stepcell.runtime.format.model_file import pack

PAYLOADS = {"tflite": tflite_payload, "onnx": onnx_payload}


def write_model(step_function: StepFunction, path: Path, *, quantization: str = "float32", **changes) -> Path:
    """Write `step_function` as the model file `path`; `changes` to its manifest."""
    vocabulary = Vocabulary.of_ids(step_function.outputs)
    state, cells = step_function.state, step_function.cells
    format = path.suffix[1:]
    changes = {"one_signature": format == "tflite" and not step_function.features, **changes}
    manifest = Manifest(path.stem, vocabulary, state, cells, quantization=quantization, **changes)
    path.write_bytes(pack(PAYLOADS[format](step_function, quantization)[0], manifest, format))
    return path
