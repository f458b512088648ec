"""Give a file a manifest, once it has been seen to step as the manifest says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ...runtime.common.arrays import AnyArray
from ...runtime.common.atomic_write import atomic_write, make_folder
from ...runtime.common.errors import AdoptionError, BackendError, ForeignFileError, ModelFileNotFoundError
from ...runtime.common.run_worker import WorkerProcess
from ...runtime.doctor.compatibility import incompatibilities
from ...runtime.doctor.diagnosis import is_installed
from ...runtime.doctor.packages import INTERPRETERS
from ...runtime.format.containers import appended_files
from ...runtime.format.manifest import Manifest
from ...runtime.format.model_file import TFLITE, format_of, pack, unpack
from ...runtime.format.vocabulary import Vocabulary
from ...runtime.interpreters.mapped_backend import softmax
from ...runtime.interpreters.registry import describe_backend, installed_version
from ...runtime.worker.messages import RunResult, RunSpec, trace_in_worker
from .build_manifest import draft_manifest
from .cell_structure import BY_OPERATOR
from .checks import activation_of, golden_of, problems_of, runs_to_make
from .graph_ports import GraphPorts, adoption_error, read_ports, with_output_shapes
from .infer_mapping import GivenRoles, InferredMapping, infer_mapping
from .lift import Lifted
from .lift import lift as lift_variables
from .prove_lift import prove_lift

_TIMEOUT = 600.0  # seconds
_IMPOSSIBLE = {("softmax", "sigmoid"), ("softmax", "logits"), ("sigmoid", "logits")}  # said, and found
_AS_VALUES = {"logits": "values"}


@dataclass(frozen=True)
class Adopted:
    """The result of an adoption.

    Attributes:
        path: The file.
        mapping: The roles of its tensors.
        manifest: The manifest of the file.
        runtimes: The interpreters it was tried on, with their versions.
        remarks: Facts that a person should know: how the output was recognised, parts that were left out.
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
    output: str | Iterable[str] | None = None,
    features: Iterable[str] = (),
    constants: Mapping[str, ArrayLike] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    values: bool = False,
    rate: int | None = None,
    activation: str | None = None,
    vocabulary: Vocabulary | None = None,
    labels: Vocabulary | None = None,
    name: str | None = None,
    signature: str | None = None,
    lift: bool = False,
    confirm: Callable[[InferredMapping], bool] = lambda _: True,
) -> Adopted | InferredMapping:
    """Write the file at `path`, with a manifest, to `out`; its graph stays as it is, unless it is lifted.

    Args:
        path: A .tflite or .onnx file of one step, whose state is among its inputs and outputs.
        out: Where to write; may be `path`.
        states: Pairs "in=out" or "name:in=out"; missing pairs are inferred.
        symbol: Name of the input that takes the symbol: an id, or a one-hot vector.
        output: Name of the output that answers, or names: that output first, then further ones.
        features: Names of the inputs of numbers that come with each step.
        constants: Name of an input -> its numbers at every step, one for all elements or as many as it has.
        shapes: Name of an input -> its whole shape, where the file leaves a dimension open.
        values: The outputs are values, not probabilities.
        rate: Samples per second, where a feature is a chunk of sound; None: a constant named `sr` or like it says so.
        activation: "softmax", "sigmoid" or "logits" of the main output; None: recognised from its numbers.
        vocabulary: The symbols by id; None: the ids themselves.
        labels: The symbols of the output, if it is not the next symbol.
        name: Name of the model; None: the file's name.
        signature: Which TFLite signature is a step.
        lift: The state is in variables of a .tflite file: make inputs and outputs of them, and prove that.
        confirm: Called with the mapping if something was inferred that could be otherwise; False: write nothing.

    Returns:
        The result; if `confirm` returned False, the mapping, and nothing was written.

    Raises:
        AdoptionError: Something does not fit; all that could be found out is named.
        OutputError: `out` cannot be written.
        ModelFileNotFoundError: There is no file at `path`.

        Whatever is raised, nothing has been written.
    """
    path, out = Path(path), Path(out)
    if values and activation is not None:
        raise AdoptionError("Values have no activation: leave out --activation or --values. Nothing was written.")
    payload, format, remarks, starts = _read_payload(path)
    given = GivenRoles(
        tuple(states), symbol, (output,) if isinstance(output, str) else tuple(output or ()), tuple(features),
        {each: tuple(np.asarray(value, float).reshape(-1).tolist()) for each, value in (constants or {}).items()},
        None if vocabulary is None else len(vocabulary),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="stepcell-") as folder, WorkerProcess() as worker:
        proven: set[str] = set()  # states of which stepping has nothing more to show
        if lift:
            lifted = _lifted(payload, format, path.name)
            remarks.append(prove_lift(lifted, Path(folder), path.name, worker))
            payload, starts = lifted.payload, {state.name: state.start for state in lifted.states}
            given = replace(given, states=(*(f"{name}=next_{name}" for name in starts), *given.states))
            proven = set(starts)
        ports = read_ports(payload, format, path.name, signature, shapes)
        trial = Path(folder, path.name)
        trial.write_bytes(payload)
        ports = with_output_shapes(ports, trial, given.constants, worker)
        mapping = infer_mapping(ports, path.name, given)
        draft = draft_manifest(
            ports, mapping, path, name or path.stem, vocabulary, labels, starts=starts, values=values, rate=rate
        )
        if not mapping.is_certain and not confirm(mapping):
            return mapping
        make_folder(out.parent)
        runs = runs_to_make(draft)
        trial.write_bytes(pack(payload, draft, format))
        results, failures = _run_everywhere(worker, trial, ports, runs, format)
        first = next(iter(results.values()), None)
        if first is None:
            raise adoption_error(path.name, [*failures, _no_step(draft)])
        unproven = tuple(each for each in draft.state if each.name not in proven)
        problems = problems_of(first, unproven, reads_symbols=mapping.symbol is not None)
        if problems:
            raise adoption_error(path.name, problems)
        manifest, found = _with_activations(draft, first, activation, values, path.name)
        remarks += [*failures, *found]
        if manifest.io_mapping is not None and manifest.io_mapping.logits:
            results = {backend: _softmaxed(each) for backend, each in results.items()}
        remarks += [] if lift else _doubts(manifest, mapping)
        manifest = replace(manifest, golden=golden_of(results, runs, manifest, path.name))
        content = pack(payload, manifest, format)
        trial.write_bytes(content)
        for backend in results:
            replayed = worker.request("replay", model=str(trial), backend=backend)
            if replayed.failure is not None:
                raise AdoptionError(f"{path.name} cannot be adopted: {replayed.failure}")
        atomic_write(out, content)
    runtimes = tuple(map(describe_backend, results))
    return Adopted(out, mapping, unpack(content, out.name).manifest, runtimes, tuple(remarks))


def _lifted(payload: bytes, format: str, name: str) -> Lifted:
    if format != TFLITE:
        raise AdoptionError(f"{name} is not a .tflite file: only those have variables to lift. Nothing was written.")
    return lift_variables(payload, name)


def _no_step(draft: Manifest) -> str:
    if not len(draft.vocabulary):
        fed = ", ".join(feature.describe() for feature in draft.features)
        return f"so no step could be made with {fed}: is it the shape of one step (--shape), or is a constant wrong?"
    return (
        f"so its {len(draft.vocabulary)} symbols could not be stepped: is the vocabulary larger than the model's, or "
        "the graph not one step of one stream?"
    )


def _with_activations(
    draft: Manifest, first: Mapping[str, RunResult], activation: str | None, values: bool, name: str
) -> tuple[Manifest, list[str]]:
    """Return the manifest with the activations of its outputs, and how they were recognised."""
    assert draft.io_mapping is not None, "every candidate has it"
    if values:
        return draft, []
    runs, remarks, further = [first["every"], first["carried"]], [], []
    for each in draft.extra_outputs:
        kind, why = activation_of(np.concatenate([run.extra_outputs[each.name] for run in runs]))
        further.append(replace(each, activation="linear" if kind == "logits" else kind))
        remarks.append(f"the output {each.name} is taken for {_AS_VALUES.get(kind, kind)}, because {why}")
    found, why = activation_of(np.concatenate([run.probabilities for run in runs]))
    if (activation, found) in _IMPOSSIBLE:
        raise adoption_error(name, [f"its answers cannot be a {activation}: {why}"])
    is_named = len(draft.vocabulary) or draft.labels != Vocabulary.of_ids(draft.io_mapping.output.size)
    if activation is None and found == "logits" and not is_named:
        found = "values"
    if activation is None:
        remarks.insert(0, f"the output is taken for {found}, because {why}")
    chosen = activation or found
    output = {"sigmoid": "sigmoid", "values": "linear"}.get(chosen, "softmax")
    mapping = replace(draft.io_mapping, logits=chosen == "logits")
    return replace(draft, output=output, io_mapping=mapping, extra_outputs=tuple(further)), remarks


def _softmaxed(traces: Mapping[str, RunResult]) -> dict[str, RunResult]:
    """Return the results as a file whose manifest says that the outputs are logits gives them."""
    return {
        name: replace(each, probabilities=np.stack([softmax(row) for row in each.probabilities.astype(np.float32)]))
        for name, each in traces.items()
    }


def _read_payload(path: Path) -> tuple[bytes, str, list[str], dict[str, AnyArray]]:
    """Return the graph's bytes, its format, remarks, and the start values that an earlier adoption found."""
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
        initial = {tensor.name: tensor.initial_value() for tensor in file.manifest.state}
        states = file.manifest.io_mapping.state
        return file.payload, format, [], {source.name: initial[name] for name, (source, _) in states.items()}
    # TFLite metadata keep files behind the graph where the manifest goes; the graph does not need them.
    entries = appended_files(content) if format == TFLITE else []
    if not entries:
        return content, format, [], {}
    names = ", ".join(entry.filename for entry in entries)
    return content[: min(e.header_offset for e in entries)], format, [f"left out, behind the graph: {names}"], {}


def _doubts(manifest: Manifest, mapping: InferredMapping) -> list[str]:
    """Name states of one shape: stepping cannot show whether they are swapped, but operators do."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for tensor in manifest.state:
        by_shape.setdefault(tensor.shape, []).append(tensor.name)
    shown = {option for option, why in mapping.inferred if why.endswith(BY_OPERATOR)}
    shown_names = {pair.name for pair in mapping.pairs if f"--state {pair}" in shown}
    return [
        f"{' and '.join(names)} have one shape: stepping cannot show whether they are swapped; compare with the "
        "original (stepcell check FILE --keras MODEL.keras) or with answers that you know"
        for names in by_shape.values()
        if len(names) > 1 and not shown_names.issuperset(names)
    ]


def _run_everywhere(
    worker: WorkerProcess, path: Path, ports: GraphPorts, runs: Mapping[str, RunSpec], format: str
) -> tuple[dict[str, dict[str, RunResult]], list[str]]:
    """Make `runs` on every installed interpreter, or on numpy if there is none; return results and failures."""
    installed = [one for one in INTERPRETERS if one.format == format and is_installed(one.backend)]
    installed = [one for one in installed if not one.is_fallback] or installed
    results, failures = {}, []
    for interpreter in installed:
        runtime = describe_backend(interpreter.backend)
        version = installed_version(interpreter.distribution) or ""
        found = incompatibilities(ports.graph, interpreter, version, ports.signature)
        if found:  # some of these do not stop it from running and answering wrongly
            failures.append(f"{runtime} does not take it: {'; '.join(found)}")
            continue
        try:
            results[interpreter.backend] = trace_in_worker(worker, path, interpreter.backend, runs, timeout=_TIMEOUT)
        except BackendError as error:
            failures.append(f"{runtime} does not step it: {error}")
    return results, failures
