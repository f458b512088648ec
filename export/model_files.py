"""Build the model files of a prepared model, and prove each against Keras."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..runtime.common.atomic_write import atomic_write
from ..runtime.common.errors import MissingPackageError, ParityError
from ..runtime.format.manifest import Manifest
from ..runtime.format.model_file import FORMATS, ONNX, TFLITE, pack, read_model_file, unpack
from ..runtime.format.tensor_specs import Inputs, MicroGraph
from .c.micro_header import micro_header
from .ops.golden import with_measured_tolerance
from .ops.precision import FEW_BITS, FLOAT32, SEQUENCE, TFLM, container_of, file_name
from .parity.check import measure, require
from .parity.device_process import DeviceProcesses, those_that_take
from .parity.expected import Expected
from .parity.golden import golden_of
from .parity.parity import Parity
from .parity.sample_inputs import typical_inputs
from .prepare import PreparedModel
from .step_function.build import StepFunction
from .tflite.convert import tflite_payload
from .tflite.micro import micro_payload

_ONNX_PACKAGES = ("onnx", "tf2onnx")  # only files of ONNX need them: TensorFlow alone brings all that .tflite files do
_TYPICAL_STEPS = 1_000  # over which the range of each integer is measured
_SEED = 18


@dataclass(frozen=True)
class BuiltFile:
    """A converted file, written but not proven.

    Attributes:
        path: Where it is.
        format: "tflite", "onnx", "sequence.onnx" or "tflm.tflite".
        payload: The graph.
        manifest: Its manifest, without measurements; its golden sequence is that of the float64 reference.
    """

    path: Path
    format: str
    payload: bytes
    manifest: Manifest

    def write(self) -> None:
        """Write graph and manifest to `path`."""
        content = pack(self.payload, self.manifest, container_of(self.format))
        unpack(content, self.path.name)
        atomic_write(self.path, content)


@dataclass(frozen=True)
class ProvenFile:
    """A file that was compared with Keras.

    Attributes:
        path: Where it is.
        parity: The measurements, one entry per runtime and start state.
        refusal: Why its precision is refused; None: it is complete, with the measurements in its manifest.
        header: The C header beside it; None: it needs none.
        notes: What else is to be known of it, in sentences.
    """

    path: Path
    parity: tuple[Parity, ...]
    refusal: str | None = None
    header: Path | None = None
    notes: tuple[str, ...] = ()


def available_formats() -> list[str]:
    """Return the formats of model files that the packages installed here can write."""
    return [format for format in FORMATS if not _missing_packages(format)]


def check_packages(formats: Collection[str]) -> None:
    """Make sure that the packages are installed that writing `formats` needs.

    Raises:
        MissingPackageError: One is not. It is named, with the ways out.
    """
    for format in formats:
        if missing := _missing_packages(format):
            raise MissingPackageError(
                f"Writing .{format} files needs {' and '.join(missing)}: pip install 'stepcell[export]'. "
                "Or write .tflite files alone: --format tflite. Nothing was written."
            )


def _missing_packages(format: str) -> list[str]:
    return [name for name in _ONNX_PACKAGES if container_of(format) == ONNX and find_spec(name) is None]


def convert(step_function: StepFunction, format: str, precision: str) -> tuple[bytes, dict[str, int]]:
    """Return the graph of a step function, and the versions of operators that it requires."""
    if format == TFLITE:
        return tflite_payload(step_function, precision)
    if format == SEQUENCE:
        from .onnx.sequence import sequence_payload

        return sequence_payload(step_function, precision)
    from .onnx.convert import onnx_payload

    return onnx_payload(step_function, precision)


def build_file(
    prepared: PreparedModel, format: str, precision: str, workdir: Path, sample: Inputs | None = None
) -> BuiltFile:
    """Convert `prepared` to a file in the folder `workdir`; its golden sequence has features of `sample`.

    Raises:
        NotSteppableError: The converter makes no file that interpreters can run.
    """
    micro = None
    if format == TFLM:
        payload, requires = micro_payload(prepared.step_function, precision, _typical(prepared, sample))
        micro = MicroGraph(0, tuple(prepared.manifest.graph_inputs()), tuple(prepared.manifest.graph_outputs()))
    else:
        payload, requires = convert(prepared.step_function, format, precision)
    manifest = replace(
        prepared.manifest,
        golden=golden_of(prepared.step_function, precision, sample),
        quantization=precision,
        requires=requires,
        sequence=format == SEQUENCE,
        micro=micro,
        one_signature=format == TFLITE and not prepared.manifest.features,
    )
    built = BuiltFile(workdir / file_name(format, precision), format, payload, manifest)
    built.write()
    return built


def prove_file(
    built: BuiltFile,
    expected: Expected,
    backends: Sequence[str],
    device: DeviceProcesses,
    *,
    allow_inaccurate: Collection[str] = (),
    memory: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> ProvenFile:
    """Step `built` on all `backends`, compare it with Keras, write the measurements into it and load it once more.

    `memory` is how many steps the model remembers.

    Raises:
        ParityError: A float32 file is beyond its tolerance. (Other precisions are returned with a refusal, so that all
            of them can be named.)
        BackendError: An interpreter fails on the file, or does not repeat its golden sequence.
    """
    manifest, exact = built.manifest, built.manifest.quantization == FLOAT32
    backends = those_that_take(built.path, backends)
    parity = measure(expected, built.path, built.format, manifest.quantization, backends, device, progress)
    try:
        require(expected, built.path, parity, manifest.vocabulary, "Nothing was written." if exact else "")
    except ParityError as error:
        if exact:
            raise
        if manifest.quantization not in allow_inaccurate:
            return ProvenFile(built.path, tuple(parity), str(error))
    if manifest.micro is not None:
        manifest = replace(manifest, micro=replace(manifest.micro, arena=device.smallest_arena(built.path)))
    assert manifest.golden is not None, "a built file has one"
    if manifest.quantization in FEW_BITS:
        worst = max(device.replay(built.path, backend) for backend in backends)
        manifest = replace(manifest, golden=with_measured_tolerance(manifest.golden, worst))
    manifest = replace(manifest, parity=tuple(entry.to_json() for entry in parity), memory=memory)
    replace(built, manifest=manifest).write()
    for backend in backends:
        device.replay(built.path, backend)
    if manifest.micro is None:
        return ProvenFile(built.path, tuple(parity))
    header = built.path.with_suffix(".h")
    atomic_write(header, micro_header(read_model_file(built.path)).encode())
    return ProvenFile(built.path, tuple(parity), header=header, notes=(_describe_micro(built, manifest.micro),))


def _typical(prepared: PreparedModel, sample: Inputs | None) -> Inputs:
    """Return inputs as the model may meet them, of which the scales of integers are made."""
    return typical_inputs(prepared.step_function, _TYPICAL_STEPS, np.random.default_rng(_SEED), sample)


def _describe_micro(built: BuiltFile, micro: MicroGraph) -> str:
    return (
        f"{built.path.name}: {len(built.payload):,} bytes of graph; TensorFlow Lite Micro steps it in an arena of "
        f"{micro.arena:,} bytes on this machine"
    )
