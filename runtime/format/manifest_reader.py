"""Read manifests, which may hold anything at all, and name everything that is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from ..common.errors import DamagedFileError, NewerFormatError, VocabularyError, check_version
from .io_mapping import Constant, IOMapping, TensorSpec
from .json_fields import field_problems, parse
from .manifest import Cell, Golden, GoldenRun, Json, Manifest, StateTensor
from .manifest_fields import FORMAT, MANIFEST, MAPPED_FORMAT, NEWEST_FORMAT, SINGLE_FORMAT, WIDE_FORMAT
from .tensor_specs import AnswerTimes, Feature, MicroGraph, Output, Window
from .vocabulary import Vocabulary

# Far above any real file, far below what fills the memory or the day of a small machine.
LARGEST_MANIFEST = 16 * 2**20  # bytes; a million symbols fit
_MAX_GOLDEN_STEPS = 10_000  # a file has two dozen
_STATE = ("name", "shape", "initial", "given", "dtype")
_MAX_ELEMENTS = 2**31 - 1  # of a tensor
_PORTS = ("features", "outputs")


def read_manifest(content: bytes, file_name: str) -> Manifest:
    """Read a manifest; `file_name` is for the messages.

    Raises:
        NewerFormatError: The format number is higher than this version's.
        DamagedFileError: It is not JSON, or not a manifest; every problem is named.
    """
    if len(content) > LARGEST_MANIFEST:
        raise DamagedFileError(
            f"{file_name} carries a manifest of {len(content):,} bytes; {LARGEST_MANIFEST:,} are the most. Export the "
            "model again."
        )
    try:
        top = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{file_name} is damaged: its manifest is not JSON ({error}). Copy it again.") from error
    format = top.get("format") if isinstance(top, dict) else None
    check_version(format, NEWEST_FORMAT, file_name, NewerFormatError)
    known = type(format) is int and format >= FORMAT
    manifest, problems = _read(top) if known else (None, [f"its format is {format!r}"])
    if manifest is None:
        raise DamagedFileError(
            f"{file_name} carries a manifest that is not one of format {format if known else FORMAT}: "
            f"{'; '.join(problems)}. Export the model again."
        )
    return manifest


def _read(top: Json) -> tuple[Manifest | None, list[str]]:
    """Return the manifest, or None and all problems."""
    found = {field.name: list(field_problems(top, field, field.name)) for field in MANIFEST["fields"]}
    problems = [problem for each in found.values() for problem in each]
    sound = {name for name, each in found.items() if not each}
    entries = parse({name: value for name, value in top.items() if name in sound}, MANIFEST)
    problems += _make_vocabularies(entries, sound)
    for check, *needed in _CHECKS:
        if sound.issuperset(needed):
            problems += check(entries)
    if problems:
        return None, problems
    manifest = _build(entries)
    if manifest.format > top["format"]:
        return None, [f"it holds what came with format {manifest.format}"]
    problems = list(_problems_of_positions(manifest))
    return (None, problems) if problems else (manifest, [])


def _make_vocabularies(entries: dict[str, Any], sound: set[str]) -> list[str]:
    """Put a `Vocabulary` in the place of the JSON object of each; one that cannot be used is not `sound` any more."""
    holders = [("outputs", output, "labels") for output in entries["outputs"]]
    holders += [("target", entries["target"], "vocabulary")] if "target" in sound else []
    holders += [("vocabulary", entries, "vocabulary")] if "vocabulary" in sound else []
    problems = []
    for name, holder, key in holders:
        entry = holder[key]
        try:
            if entry is not None:
                none = name == "vocabulary" and entries["features"] and not entry["symbols"]
                holder[key] = Vocabulary.none() if none else Vocabulary(**entry)
        except VocabularyError as error:
            problems.append(str(error))
            sound.discard(name)
    return problems


def _build(entries: Json) -> Manifest:
    same = ("name", "fingerprint", "vocabulary", "training", "quantization", "parity", "requires", "producer", "memory")
    golden = entries["golden"]
    return Manifest(
        labels=_labels(entries),
        output=entries["output"]["activation"],
        state=tuple(StateTensor(**{name: each[name] for name in _STATE}) for each in entries["state"]),
        cells=tuple(Cell(**each) for each in entries["cells"]),
        golden=golden and Golden(**{**golden, "runs": tuple(map(_golden_run, golden["runs"]))}),
        io_mapping=_io_mapping(entries["graph"]),
        features=tuple(Feature(each["name"], each["shape"], each["ids"]) for each in entries["features"]),
        extra_outputs=tuple(Output(**each) for each in entries["outputs"]),
        sequence=entries["sequence"],
        answers=_answer_times(entries["answers"]),
        window=entries["window"] and Window(**entries["window"]),
        binary=_is_binary(entries),
        micro=entries["micro"] and MicroGraph(**entries["micro"]),
        one_signature=entries["format"] >= SINGLE_FORMAT,
        **{name: entries[name] for name in same},
    )


def _problems_of_positions(manifest: Manifest) -> Iterator[str]:
    """Name what is wrong with the positions of a graph for TensorFlow Lite Micro."""
    if manifest.micro is None:
        return
    if manifest.sequence or manifest.io_mapping is not None:
        yield "micro cannot be beside graph or sequence"
    for side, names in (("inputs", manifest.graph_inputs()), ("outputs", manifest.graph_outputs())):
        if sorted(getattr(manifest.micro, side)) != sorted(names):
            yield f"micro.{side} are not the {side} of the model"


def _answer_times(entry: Any) -> AnswerTimes:
    return AnswerTimes(**entry) if isinstance(entry, Mapping) else entry


def _golden_run(entry: Json) -> GoldenRun:
    entry = dict(entry)
    return GoldenRun(extra_outputs=entry.pop("others"), **entry)


def _labels(entries: Json) -> Vocabulary | None:
    labels: Vocabulary | None = entries["target"]["vocabulary"] if entries["target"]["kind"] == "label" else None
    return labels


def _is_binary(entries: Json) -> bool:
    """Tell whether the main output is one number for two labels."""
    output, labels = entries["output"], _labels(entries)
    return labels is not None and len(labels) == 2 and output["size"] == 1 and output["activation"] == "sigmoid"


def _output_size(entries: Json) -> int:
    return 1 if _is_binary(entries) else len(_labels(entries) or entries["vocabulary"])


def _io_mapping(graph: Json | None) -> IOMapping | None:
    if graph is None:
        return None
    output = dict(graph["output"])
    ports = {side: {each["name"]: TensorSpec(**each["tensor"]) for each in graph[side]} for side in _PORTS}
    return IOMapping(
        signature=graph["signature"],
        symbol=graph["symbol"] and TensorSpec(**graph["symbol"]),
        logits=output.pop("logits"),
        output=TensorSpec(**output),
        state={each["name"]: (TensorSpec(**each["input"]), TensorSpec(**each["output"])) for each in graph["state"]},
        constants=tuple(Constant(TensorSpec(**each["tensor"]), each["value"]) for each in graph["constants"]),
        rate=graph["rate"],
        **ports,
    )


def _check_target(entries: Json) -> Iterator[str]:
    if entries["target"] == {"kind": "label", "vocabulary": None}:
        yield "target.vocabulary is missing"


def _check_state(entries: Json) -> Iterator[str]:
    names = [tensor["name"] for tensor in entries["state"]]
    if len(set(names)) < len(names):
        yield "state names a tensor twice"
    for tensor in entries["state"]:
        name, shape, initial = tensor["name"], tensor["shape"], tensor["initial"]
        if prod(shape) > _MAX_ELEMENTS:
            yield f"the shape of state {name!r} is {list(shape)}"
        if isinstance(initial, tuple) and len(initial) != prod(shape):
            yield f"state {name!r} has {len(initial)} initial values for {prod(shape)} elements"
        if tensor["next"] != f"next_{name}":
            yield f"state {name!r} is not paired with 'next_{name}'"


def _check_features(entries: Json) -> Iterator[str]:
    for entry in entries["features"]:
        name, shape, ids, dtype = entry["name"], entry["shape"], entry["ids"], entry["dtype"]
        if prod(shape) > _MAX_ELEMENTS:
            yield f"the shape of feature {name!r} is {list(shape)}"
        if ids is not None and shape:
            yield f"feature {name!r} is an id of {ids} with the shape {list(shape)}"
        if dtype != ("float32" if ids is None else "int32"):
            yield f"feature {name!r} is {dtype!r}"


def _check_outputs(entries: Json) -> Iterator[str]:
    names = [entry["name"] for entry in entries["features"] + entries["outputs"]]
    if len(set(names)) < len(names):
        yield "features and outputs name a tensor twice"
    for entry in entries["outputs"]:
        if entry["labels"] is not None and len(entry["labels"]) != entry["size"]:
            yield f"output {entry['name']!r} has the size {entry['size']} and {len(entry['labels'])} labels"


def _check_graph(entries: Json) -> Iterator[str]:
    format, mapping = entries["format"], _io_mapping(entries["graph"])
    if format < WIDE_FORMAT and (format == MAPPED_FORMAT) != (mapping is not None):
        yield f"graph belongs into manifests of format {MAPPED_FORMAT}, and may be in those from {WIDE_FORMAT} on"
    if mapping is not None and entries["sequence"]:
        yield "sequence cannot be beside graph"


def _check_mapping(entries: Json) -> Iterator[str]:
    mapping = _io_mapping(entries["graph"])
    if mapping is not None:
        elements = {tensor["name"]: prod(tensor["shape"]) for tensor in entries["state"]}
        outputs = _output_size(entries)
        features = {each["name"]: prod(each["shape"]) for each in entries["features"]}
        further = {each["name"]: each["size"] for each in entries["outputs"]}
        yield from mapping.problems(elements, len(entries["vocabulary"]), outputs, features, further)
        dtypes = {tensor["name"]: tensor["dtype"] for tensor in entries["state"]}
        if dtypes != {name: source.dtype for name, (source, _) in mapping.state.items()}:
            yield "graph.state does not have the types of the state"
    elif any(tensor["dtype"] != "float32" for tensor in entries["state"]):
        yield "a state that is not float32 needs graph"


def _check_golden(entries: Json) -> Iterator[str]:
    golden = entries["golden"]
    if golden is None:
        return
    symbols = len(entries["vocabulary"]) or 1  # the ids of a model that reads no symbol are zeros
    features = {entry["name"]: prod(entry["shape"]) for entry in entries["features"]}
    outputs = {entry["name"]: entry["size"] for entry in entries["outputs"]}
    good = max(golden["outputs"], default=0) < _output_size(entries)
    for run in golden["runs"]:
        good &= max(run["ids"], default=0) < symbols
        good &= (run["features"].keys(), run["others"].keys()) == (features.keys(), outputs.keys())
        if good:  # rows, and the least and the most elements of each
            rows = [(run["probabilities"], len(golden["outputs"]), len(golden["outputs"]))]
            rows += [(run["features"][name], size, size) for name, size in features.items()]
            rows += [(run["others"][name], 1, size) for name, size in outputs.items()]
            good = all(len(each) == len(run["ids"]) for each, _, _ in rows)
            good &= all(least <= len(row) <= most for each, least, most in rows for row in each)
    if not good:
        yield "golden holds ids or rows that do not fit"
    recorded = {"values": len(golden["outputs"])}
    recorded.update({n: len(rows[0]) for run in golden["runs"] for n, rows in run["others"].items() if rows})
    if any(recorded.get(n) != len(numbers) or min(numbers) <= 0 for n, numbers in golden["scales"].items()):
        yield "golden holds scales that do not fit"
    steps = sum(len(run["ids"]) for run in golden["runs"])
    if steps > _MAX_GOLDEN_STEPS:
        yield f"golden has {steps} steps, at most {_MAX_GOLDEN_STEPS} can be replayed at a load"


# A check, and the entries that must be sound before it can be made.
_CHECKS: tuple[tuple[Any, ...], ...] = (
    (_check_target, "target"),
    (_check_state, "state"),
    (_check_features, "features"),
    (_check_outputs, "features", "outputs"),
    (_check_graph, "format", "graph", "sequence", "features", "outputs"),
    (_check_mapping, "graph", "state", "vocabulary", "target", "output", "features", "outputs"),
    (_check_golden, "golden", "vocabulary", "target", "output", "features", "outputs"),
)
