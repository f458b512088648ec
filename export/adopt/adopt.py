"""Gives a file a manifest, once it has been seen to step as the manifest says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...runtime.common.atomic_write import atomic_write, make_folder
from ...runtime.common.errors import AdoptionError, ForeignFileError, ModelFileNotFoundError
from ...runtime.common.run_worker import run_worker
from ...runtime.doctor.compatibility import incompatibilities
from ...runtime.doctor.diagnosis import is_installed
from ...runtime.doctor.packages import INTERPRETERS
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import TFLITE, format_of, pack, unpack
from ...runtime.format.tflite_container import appended_files
from ...runtime.format.vocabulary import Vocabulary
from ...runtime.interpreters.mapped_backend import softmax
from ...runtime.interpreters.registry import describe_backend, installed_version
from ...runtime.worker.messages import RunResult
from .build_manifest import draft_manifest
from .checks import activation_of, courses, golden_of, problems_of, trace_file
from .graph_ports import GraphPorts, adoption_error, read_ports
from .infer_mapping import InferredMapping, infer_mapping

_IMPOSSIBLE = {("softmax", "sigmoid"), ("softmax", "logits"), ("sigmoid", "logits")}  # said, and found


@dataclass(frozen=True)
class Adopted:
    """What an adoption has written.

    Attributes:
        path: The file.
        mapping: What goes where.
        manifest: What the file now says about itself.
        runtimes: The interpreters it was tried on, with their versions.
        remarks: What a person should know: how the output was recognised, what was left out.
    """

    path: Path
    mapping: InferredMapping
    manifest: Manifest
    runtimes: tuple[str, ...]
    remarks: tuple[str, ...]


def adopt(
    path: str | Path,
    out: str | Path,
    *,
    states: Iterable[str] = (),
    symbol: str | None = None,
    output: str | None = None,
    activation: str | None = None,
    vocabulary: Vocabulary | None = None,
    labels: Vocabulary | None = None,
    name: str | None = None,
    signature: str | None = None,
    confirm: Callable[[InferredMapping], bool] = lambda _: True,
) -> Adopted | InferredMapping:
    """Write the file at `path`, with a manifest, to `out`; its graph stays as it is, byte for byte.

    Args:
        path: A .tflite or .onnx file of one step, whose state goes in and comes out.
        out: Where to write; may be `path`.
        states: Pairs "in=out" or "name:in=out"; what is missing is inferred.
        symbol: Name of the input that takes the symbol: an id, or a one-hot vector.
        output: Name of the output that answers.
        activation: "softmax", "sigmoid" or "logits"; None: what the answers look like.
        vocabulary: The symbols by id; None: the ids themselves.
        labels: The symbols of the output, if it is not the next symbol.
        name: What to call the model; None: the file's name.
        signature: Which TFLite signature is a step.
        confirm: Is asked where a pair was inferred.

    Returns:
        What was written; where `confirm` said no, the mapping, and nothing was written.

    Raises:
        AdoptionError: Something does not fit; all that could be found out is named.
        OutputError: `out` cannot be written.
        ModelFileNotFoundError: There is no file at `path`.

        Whatever is raised, nothing has been written.
    """
    path, out = Path(path), Path(out)
    payload, format, remarks = _read_payload(path)
    ports = read_ports(payload, format, path.name, signature)
    mapping = infer_mapping(ports, path.name, states=states, symbol=symbol, output=output)
    unproven = draft_manifest(ports, mapping, path, name or path.stem, vocabulary, labels)
    if mapping.inferred and not confirm(mapping):
        return mapping
    make_folder(out.parent)
    with tempfile.TemporaryDirectory(prefix="stepcell-") as folder:
        candidate = Path(folder, path.name)
        candidate.write_bytes(pack(payload, unproven, format))
        traces, failures = _trace_everywhere(candidate, ports, unproven, format)
        remarks += failures
        first = next(iter(traces.values()))
        problems = problems_of(first, unproven.state)
        if problems:
            raise adoption_error(path.name, problems)
        found = activation_of(np.concatenate([first["every"].probabilities, first["carried"].probabilities]))
        if activation is None:
            remarks.append(f"the output is taken for {found.activation}, because {found.why}")
        elif (activation, found.activation) in _IMPOSSIBLE:
            raise adoption_error(path.name, [f"its answers cannot be a {activation}: {found.why}"])
        chosen = activation or found.activation
        manifest = _with_activation(unproven, chosen)
        if chosen == "logits":
            traces = {backend: _softmaxed(each) for backend, each in traces.items()}
        remarks += _doubts(manifest)
        manifest = replace(manifest, golden=golden_of(traces, courses(manifest), path.name))
        content = pack(payload, manifest, format)
        candidate.write_bytes(content)
        for backend in traces:
            outcome = run_worker("replay", model=str(candidate), backend=backend)
            if outcome.failure is not None:
                raise AdoptionError(f"{path.name} cannot be adopted: {outcome.failure}")
        atomic_write(out, content)
    runtimes = tuple(map(describe_backend, traces))
    return Adopted(out, mapping, unpack(content, out.name).manifest, runtimes, tuple(remarks))


def _with_activation(manifest: Manifest, activation: str) -> Manifest:
    assert manifest.io_mapping is not None, "every candidate has it"
    return replace(
        manifest,
        output="sigmoid" if activation == "sigmoid" else "softmax",
        io_mapping=replace(manifest.io_mapping, logits=activation == "logits"),
    )


def _softmaxed(traces: Mapping[str, RunResult]) -> dict[str, RunResult]:
    """Return what came out as it comes out once the manifest says that the answers are logits."""
    return {
        name: replace(each, probabilities=np.stack([softmax(row) for row in each.probabilities.astype(np.float32)]))
        for name, each in traces.items()
    }


def _read_payload(path: Path) -> tuple[bytes, str, list[str]]:
    """Return the graph's bytes, its format, and remarks."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileNotFoundError(f"Cannot read {path}: {error.strerror or error}.") from error
    format = format_of(content, path.name)
    try:
        file = unpack(content, path.name)
    except ForeignFileError:
        pass
    else:
        if file.manifest.io_mapping is None:
            raise AdoptionError(f"{path.name} was made by 'stepcell export': every command works on it as it is.")
        return file.payload, format, []
    # TFLite metadata keep files behind the graph where the manifest goes; the graph does not need them.
    entries = appended_files(content) if format == TFLITE else []
    if not entries:
        return content, format, []
    names = ", ".join(entry.filename for entry in entries)
    return content[: min(e.header_offset for e in entries)], format, [f"left out, behind the graph: {names}"]


def _doubts(manifest: Manifest) -> list[str]:
    """Say what stepping cannot show: states of one shape can be swapped, and nothing but the original knows."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for tensor in manifest.state:
        by_shape.setdefault(tensor.shape, []).append(tensor.name)
    return [
        f"{' and '.join(names)} have one shape: stepping cannot show whether they are swapped; compare with the "
        "original (stepcell check FILE --keras MODEL.keras) or with answers that you know"
        for names in by_shape.values()
        if len(names) > 1
    ]


def _trace_everywhere(
    path: Path, ports: GraphPorts, manifest: Manifest, format: str
) -> tuple[dict[str, dict[str, RunResult]], list[str]]:
    """Step a candidate on every interpreter that is installed; return what came out by backend, and who failed how.

    Where none is installed, numpy does it.

    Raises:
        AdoptionError: None runs it.
    """
    installed = [one for one in INTERPRETERS if one.format == format and is_installed(one.backend)]
    installed = [one for one in installed if not one.is_fallback] or installed
    traces, failures = {}, []
    for interpreter in installed:
        runtime = describe_backend(interpreter.backend)
        version = installed_version(interpreter.distribution) or ""
        found = incompatibilities(ports.graph, interpreter, version, ports.signature)
        if found:  # some of these do not stop it from running and answering wrongly
            failures.append(f"{runtime} does not take it: {'; '.join(found)}")
            continue
        try:
            traces[interpreter.backend] = trace_file(path, interpreter.backend, courses(manifest))
        except AdoptionError as error:
            failures.append(str(error))
    if not traces:
        raise adoption_error(
            path.name,
            [
                *failures,
                f"so its {len(manifest.vocabulary)} symbols could not be stepped: is the vocabulary larger than the "
                "model's, or the graph not one step of one stream?",
            ],
        )
    return traces, failures
