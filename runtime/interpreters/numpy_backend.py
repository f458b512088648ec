"""numpy as an interpreter: steps files of both formats, whose graph and weights it reads itself.

It is there wherever stepcell is, so it steps where no interpreter exists (32-bit Raspberry Pi OS with Python 3.13); and
it shares no code with the interpreters, so it is a second opinion on what a file answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..common.arrays import AnyArray
from ..common.errors import DamagedFileError
from ..format.containers import is_tflite
from ..format.manifest import Manifest
from ..format.model_file import ModelFile
from ..format.onnx_graph import read_onnx_graph
from ..format.tensor_specs import STEP
from ..format.tflite_graph import read_tflite_graph
from .base import Backend
from .graph_runners import Runner, io_mapping_of, require_ports
from .in_place import InPlaceBackend
from .mapped_backend import MappedBackend
from .mapped_calculation import with_step_around
from .memory import as_bytes
from .numpy_engine import Calculation, Program, build_program, calculation_of


def open_backend(name: str, file: ModelFile, shared: Calculation | None = None) -> Backend:
    """Make the verified `file` ready to step; `name` is "numpy"; `shared` is that of another backend, if there is one.

    Raises:
        CalculationError: It has operators that are not known here; all of them are named.
        FlatbufferError, OnnxGraphError: Its graph cannot be read.
        DamagedFileError: The graph does not have the names, types or shapes that the manifest promises.
    """
    if file.manifest.io_mapping is not None:
        return MappedBackend(_runner(file), file.manifest)
    calculation = shared or _step_of(file)
    backend = NumpyBackend(_program_of(calculation, file, np.float32), file.manifest)
    backend.shared = calculation
    return backend


def open_interpreter(name: str, payload: bytes) -> Program:
    """Return the step of any graph; unknown dimensions are set to 1."""
    calculation = read_calculation(payload)
    shapes = {n: tuple(size or 1 for size in source.shape or ()) for n, source in calculation.inputs.items()}
    return build_program(calculation, shapes)


def read_calculation(payload: bytes, signature: str | None = None) -> Calculation:
    """Return the calculation of one step of a graph; `signature` and errors as for `calculation_of`."""
    return calculation_of((read_tflite_graph if is_tflite(payload) else read_onnx_graph)(payload), signature)


def step_program(file: ModelFile, floats: Any = np.float32, *, merge: bool = True) -> Program:
    """Return the step of a file for one stream, after a check of its names, types and shapes.

    Args:
        file: The file.
        floats: What floats are computed in; see `build_program`.
        merge: Do together what is done to the parts of a tensor; see `build_program`.

    Raises:
        As `open_backend`.
    """
    return _program_of(_step_of(file), file, floats, merge=merge)


def _step_of(file: ModelFile) -> Calculation:
    if file.manifest.io_mapping is not None:
        return with_step_around(read_calculation(file.payload, file.manifest.io_mapping.signature), file)
    try:
        return read_calculation(file.payload, STEP)
    except KeyError as error:
        raise DamagedFileError(f"{file.name} has no signature {error}. Export the model again.") from error


def _program_of(calculation: Calculation, file: ModelFile, floats: Any, *, merge: bool = True) -> Program:
    manifest = file.manifest
    wanted = {name: (np.dtype(dtype).name, _of_one(shape)) for name, (dtype, shape) in manifest.graph_inputs().items()}
    found = {
        name: (source.dtype, None if source.shape is None else (1, *source.shape[1:]))
        for name, source in calculation.inputs.items()
    }
    _compare(file, found, wanted)
    program = build_program(calculation, {name: shape for name, (_, shape) in wanted.items()}, floats, merge=merge)
    outputs = {name: (np.dtype(floats).name, _of_one(shape)) for name, (_, shape) in manifest.graph_outputs().items()}
    _compare(file, {name: (array.dtype.name, array.shape) for name, array in program.outputs.items()}, outputs)
    return program


def _of_one(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """Return the shape for one stream and one step, given that without its first dimension."""
    return (1, *(1 if isinstance(size, str) else size for size in shape))


def _compare(file: ModelFile, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if found != wanted:
        raise DamagedFileError(
            f"{file.name} is not as its manifest says: the graph has {found}, the manifest promises {wanted}. "
            "Export the model again."
        )


class NumpyBackend(InPlaceBackend):
    """A program, with the resident state in the arrays that it reads."""

    def __init__(self, program: Program, manifest: Manifest) -> None:
        """Take hold of the arrays of `program`. The resident state is the initial one."""
        tensors = {**program.outputs, **program.inputs}
        feedback = [(as_bytes(tensors[tensor.name]), as_bytes(tensors[tensor.next])) for tensor in manifest.state]
        super().__init__((program.run, ()), tensors, feedback, manifest)


def _runner(file: ModelFile) -> Runner:
    """Return the function that runs a graph which stepcell did not make.

    Raises:
        DamagedFileError: The graph does not have the ports that the manifest names.
    """
    mapping = io_mapping_of(file)
    calculation = read_calculation(file.payload, mapping.signature)
    found = {name: (source.dtype, source.shape or ()) for name, source in calculation.inputs.items()}
    require_ports(mapping.inputs, found, file)
    if set(found) != {port.name for port in mapping.inputs}:
        raise DamagedFileError(f"{file.name} is not as its manifest says: the graph has the inputs {sorted(found)}.")
    program = build_program(calculation, {port.name: port.shape for port in mapping.inputs})
    require_ports(mapping.read_outputs, {n: (a.dtype.name, a.shape) for n, a in program.outputs.items()}, file)

    def run(feed: Mapping[str, AnyArray]) -> Mapping[str, AnyArray]:
        for name, array in feed.items():
            program.inputs[name][...] = array
        program.run()
        return {port.name: program.outputs[port.name].copy() for port in mapping.read_outputs}

    return run
