"""Model files made in a second: without the parity check of an export, for tests of what comes after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.models import DATA

from stepcell.export import StepFunction
from stepcell.export.onnx.convert import onnx_payload
from stepcell.export.tflite.convert import tflite_payload
from stepcell.runtime import Manifest, Vocabulary, read_model_file
from stepcell.runtime.format.model_file import pack

PAYLOADS = {"tflite": tflite_payload, "onnx": onnx_payload}


def write_model(step_function: StepFunction, path: Path, *, quantization: str = "float32", **changes) -> Path:
    """Write `step_function` as the model file `path`; `changes` to its manifest."""
    vocabulary = Vocabulary.of_ids(step_function.outputs)
    state, cells = step_function.state, step_function.cells
    manifest = Manifest(path.stem, vocabulary, state, cells, quantization=quantization, **changes)
    format = path.suffix[1:]
    path.write_bytes(pack(PAYLOADS[format](step_function, quantization)[0], manifest, format))
    return path


def changed_memory(path: Path, **changes) -> Path:
    """Write the checked-in memory model as `path`, with `changes` to its manifest."""
    file = read_model_file(DATA / f"memory{path.suffix}")
    path.write_bytes(pack(file.payload, replace(file.manifest, **changes), file.format))
    return path
