"""Model files: a payload, which the interpreter reads, and a manifest, packed together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from ..common.errors import DamagedFileError, ForeignFileError, ModelFileNotFoundError
from .containers import Container, OnnxContainer, TfliteContainer
from .manifest import Manifest
from .manifest_reader import read_manifest
from .onnx_graph import OnnxGraphError, has_external_data

TFLITE, ONNX = "tflite", "onnx"
FORMATS = (TFLITE, ONNX)
CONTAINERS: dict[str, Container] = {TFLITE: TfliteContainer(), ONNX: OnnxContainer()}


@dataclass(frozen=True)
class ModelFile:
    """A verified model file in memory.

    Attributes:
        name: File name, for messages.
        format: "tflite" or "onnx".
        payload: The bytes for the interpreter, without the manifest; their sha256 is the fingerprint.
        manifest: What the file says about itself.
    """

    name: str
    format: str
    payload: bytes
    manifest: Manifest


def pack(payload: bytes, manifest: Manifest, format: str) -> bytes:
    """Return the bytes of a model file: `payload` with `manifest`, its fingerprint filled in."""
    content = replace(manifest, fingerprint=sha256(payload).hexdigest()).to_bytes()
    return CONTAINERS[format].append_manifest(payload, content, sha256(content).hexdigest().encode())


def read_model_file(path: str | Path) -> ModelFile:
    """Read and verify a model file; no interpreter takes part.

    Args:
        path: A .tflite or .onnx file. Its bytes decide which, not its name.

    Raises:
        ModelFileNotFoundError: There is no such file.
        ForeignFileError: It is not a TFLite or ONNX file, or carries no manifest.
        DamagedFileError: A byte of it is not what was exported.
        NewerFormatError: It is of a later format.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelFileNotFoundError(
            f"There is no file {path}. Model files are made by: stepcell export RUN --out DIR"
        ) from None
    except OSError as error:
        raise ModelFileNotFoundError(f"Cannot read {path}: {error.strerror or error}.") from error
    return unpack(content, path.name)


def unpack(content: bytes, name: str) -> ModelFile:
    """Verify the bytes of a model file called `name`. Raises as `read_model_file` does."""
    format = format_of(content, name)
    try:
        parts = CONTAINERS[format].split_manifest(content)
    except ValueError as error:
        raise DamagedFileError(f"{name} is damaged: {error}. Copy it again.") from error
    if parts is None:
        raise ForeignFileError(
            f"{name} carries no stepcell manifest. stepcell runs files made by 'stepcell export'; "
            "if this is one, it has been cut short: copy it again. Others get a manifest from 'stepcell adopt'."
        )
    payload, manifest_bytes, checksum = parts
    _compare(name, "manifest", manifest_bytes, "checksum beside it", checksum.decode(errors="replace"))
    manifest = read_manifest(manifest_bytes, name)
    _compare(name, "content", payload, "manifest", manifest.fingerprint)
    if format == ONNX:
        _require_one_file(payload, name)
    return ModelFile(name, format, payload, manifest)


def _require_one_file(payload: bytes, name: str) -> None:
    try:
        problem = "weights of it are in another file, which no checksum covers" if has_external_data(payload) else ""
    except OnnxGraphError as error:
        problem = str(error)
    if problem:
        raise DamagedFileError(f"{name} is damaged: {problem}. Export it again, or save the model as one file.")


def format_of(content: bytes, name: str) -> str:
    """Return the format of a file called `name`, "tflite" or "onnx"; raise ForeignFileError if it is neither."""
    suffix = Path(name).suffix.lstrip(".").lower()
    likely = [format for format, container in CONTAINERS.items() if container.matches(content)]
    if suffix in likely or (suffix in FORMATS and not likely):
        return suffix  # a damaged first byte must not turn a known file into a foreign one
    if likely:
        return likely[0]
    raise ForeignFileError(
        f"{name} is neither a TFLite nor an ONNX file. stepcell runs files made by 'stepcell export'."
    )


def _compare(name: str, part: str, content: bytes, expected_from: str, expected: str) -> None:
    found = sha256(content).hexdigest()
    if found != expected:
        raise DamagedFileError(
            f"{name} is damaged: its {part} has sha256 {found[:12]}..., its {expected_from} says {expected[:12]}... "
            "Copy it again."
        )
