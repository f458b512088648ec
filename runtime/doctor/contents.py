"""The contents of a file and its requirements, read from its bytes without an interpreter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..common.errors import DamagedFileError, ForeignFileError, ModelFileError, ModelFileNotFoundError
from ..format.flatbuffer import FlatbufferError
from ..format.manifest import Manifest
from ..format.model_file import TFLITE, format_of, unpack
from ..format.onnx_graph import OnnxGraph, OnnxGraphError, read_onnx_graph
from ..format.tensor_specs import EVERY_STEP
from ..format.tflite_graph import TfliteGraph, likely_signature, read_tflite_graph, tensors_of
from ..interpreters.registry import MICRO


@dataclass(frozen=True)
class Contents:
    """A file, as far as it can be read.

    Attributes:
        path: The file.
        bytes: Its size.
        format: "tflite" or "onnx", None if it is neither.
        graph: Its graph, None if it cannot be read.
        manifest: Its manifest, None if it has none or is damaged.
        problem: Why stepcell cannot use it, "" if it can.
        foreign: It is a complete file without a manifest.
    """

    path: Path
    bytes: int
    format: str | None
    graph: TfliteGraph | OnnxGraph | None
    manifest: Manifest | None
    problem: str
    foreign: bool = False

    @property
    def formats(self) -> tuple[str | None, ...]:
        """The formats that interpreters step it as: that of TensorFlow Lite Micro too, if it was exported for it."""
        micro = self.manifest is not None and self.manifest.micro is not None
        return (self.format, MICRO) if micro else (self.format,)

    @property
    def signature(self) -> str | None:
        """The signature of a TFLite graph that is the step, None without a manifest."""
        if self.manifest is None:
            return None
        return "step" if self.manifest.io_mapping is None else self.manifest.io_mapping.signature

    def describe(self) -> str:
        """Return size and origin of the file in a line."""
        parts = [f"{self.path}: {self.bytes:,} bytes"]
        if self.manifest is not None:
            times = self.manifest.answers
            parts += [] if times == EVERY_STEP else [f"answers {times.describe()}"]
            parts += [] if self.manifest.window is None else [self.manifest.window.describe()]
            micro = self.manifest.micro
            parts += [] if micro is None else [f"for TensorFlow Lite Micro in an arena of {micro.arena:,} bytes"]
            parts += ["sha256 verified", self.manifest.quantization, f"made by {self.manifest.producer or 'unknown'}"]
        elif self.foreign:
            parts.append("no stepcell manifest")
        return ", ".join(parts)

    def needs(self) -> str:
        """Return the operators and versions that an interpreter must have, "" if the graph cannot be read."""
        if isinstance(self.graph, TfliteGraph):
            names: dict[int, list[str]] = {}
            for name, custom, version in sorted(self.graph.operators):
                names.setdefault(version, []).append(custom or name)
            return "; ".join(f"version {version} of {', '.join(names[version])}" for version in sorted(names))
        if isinstance(self.graph, OnnxGraph):
            opsets = ", ".join(f"{name or 'ONNX'} {version}" for name, version in sorted(self.graph.opsets.items()))
            types = ", ".join(sorted({type for _, type in self.graph.operators}))
            return f"IR version {self.graph.ir_version}, opset {opsets}; operators: {types}"
        return ""

    def interface(self) -> list[str]:
        """Return the inputs and outputs of the graph, a line for each."""
        if isinstance(self.graph, OnnxGraph):
            return [
                f"{side} {value.name}: {value.type} {list(value.shape or ())}"
                for side, values in (("input ", self.graph.inputs), ("output", self.graph.outputs))
                for value in values
            ]
        if isinstance(self.graph, TfliteGraph):
            signature = likely_signature([each.name for each in self.graph.signatures])
            try:
                number, inputs, outputs = tensors_of(self.graph, signature or "")
            except ValueError:
                return ["several inputs or outputs have one name"]
            tensors = self.graph.subgraphs[number].tensors
            return [
                f"{side} {name}: {tensors[index].type} {list(tensors[index].dynamic)}"
                for side, names in (("input ", inputs), ("output", outputs))
                for name, index in names.items()
            ]
        return []


def read_contents(path: Path) -> Contents:
    """Read the file at `path`. Damaged and foreign files are described too.

    Raises:
        ModelFileNotFoundError: There is no such file, or it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileNotFoundError(f"Cannot read {path}: {error.strerror or error}.") from error
    try:
        format = format_of(content, path.name)
    except ForeignFileError as error:
        return Contents(path, len(content), None, None, None, str(error))
    graph, unreadable = _read_graph(content, format)
    try:
        file = unpack(content, path.name)
    except ForeignFileError as error:
        problem = f"{path.name} is damaged: {unreadable}. Copy it again." if unreadable else str(error)
        return Contents(path, len(content), format, graph, None, problem, foreign=not unreadable)
    except ModelFileError as error:
        # The graph of a damaged file says nothing about the intact one.
        graph = None if isinstance(error, DamagedFileError) else graph
        return Contents(path, len(content), format, graph, None, str(error))
    problem = f"{path.name} is whole, and its graph cannot be read: {unreadable}. Export the model again."
    return Contents(path, len(content), format, graph, file.manifest, problem if unreadable else "")


def _read_graph(content: bytes, format: str) -> tuple[TfliteGraph | OnnxGraph | None, str]:
    """Return the graph, or None and the reason why it cannot be read."""
    try:
        return (read_tflite_graph if format == TFLITE else read_onnx_graph)(content), ""
    except (FlatbufferError, OnnxGraphError) as error:
        return None, str(error)
