"""Reads manifests, which may hold anything at all, and says everything that is wrong with them."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import DamagedFileError, NewerFormatError, VocabularyError, check_version
from .manifest import FORMAT, MAPPED_FORMAT, NEWEST_FORMAT, Cell, Golden, GoldenRun, Json, Manifest, StateTensor
from .tensor_specs import ACTIVATIONS, Feature, Output
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from .io_mapping import IOMapping

# Far above any real file, far below what fills the memory or the day of a small machine.
LARGEST_MANIFEST = 16 * 2**20  # bytes; a million symbols fit
_MOST_GOLDEN_STEPS = 10_000  # a file has two dozen


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
        json_object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{file_name} is damaged: its manifest is not JSON ({error}). Copy it again.") from error
    found = json_object.get("format") if isinstance(json_object, dict) else None
    check_version(found, NEWEST_FORMAT, file_name, NewerFormatError)
    reader = _Reader()
    manifest = reader.manifest(json_object) if found in (FORMAT, MAPPED_FORMAT, NEWEST_FORMAT) else None
    if manifest is None:
        problems = "; ".join(reader.problems) or f"its format is {found!r}"
        raise DamagedFileError(
            f"{file_name} carries a manifest that is not one of format {found or FORMAT}: {problems}. "
            "Export the model again."
        )
    return manifest


class _Reader:
    """Turns a JSON object into a `Manifest` and collects what is wrong with it on the way."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def manifest(self, top: Json) -> Manifest | None:
        wide = top["format"] == NEWEST_FORMAT
        features = tuple(self.feature(entry) for entry in self.objects(top, "features")) if wide else ()
        others = tuple(self.output(entry) for entry in self.objects(top, "outputs")) if wide else ()
        vocabulary = self.vocabulary(top, "vocabulary", may_be_empty=bool(features))
        target = self.value(top, "target", dict)
        labels = self.vocabulary(target, "vocabulary") if target.get("kind") == "label" else None
        if target.get("kind") not in ("next", "label"):
            self.problems.append("target.kind is neither 'next' nor 'label'")
        output = self.value(top, "output", dict)
        if output.get("activation") not in (ACTIVATIONS if wide else ACTIVATIONS[:2]):
            self.problems.append(f"output.activation is {output.get('activation')!r}")
        state = tuple(self.state_tensor(entry) for entry in self.objects(top, "state"))
        if not state or len({tensor.name for tensor in state}) < len(state):
            self.problems.append("state is empty or names a tensor twice")
        names = [feature.name for feature in features] + [output.name for output in others]
        if len(set(names)) < len(names):
            self.problems.append("features and outputs name a tensor twice")
        cells = tuple(self.cell(entry) for entry in self.objects(top, "cells"))
        size = len(labels or vocabulary or ())
        golden = self.golden(top, vocabulary, size, features, others) if top.get("golden") is not None else None
        strings = {name: self.value(top, name, str) for name in ("name", "fingerprint", "quantization", "producer")}
        training, requires = self.value(top, "training", dict), self.value(top, "requires", dict)
        parity = tuple(self.objects(top, "parity"))
        mapping = self.io_mapping(top, state, len(vocabulary or ()), size)
        sequence = top.get("sequence", False)
        if not isinstance(sequence, bool) or (sequence and "graph" in top):
            self.problems.append("sequence is neither true nor false, or stands beside graph")
        if "graph" in top and (features or others):
            self.problems.append("features or outputs stand beside graph, which wires none")
        if self.problems or vocabulary is None:
            return None
        activation = output["activation"]
        manifest = Manifest(
            vocabulary=vocabulary, labels=labels, output=activation, state=state, cells=cells, golden=golden,
            training=training, requires=requires, parity=parity, io_mapping=mapping, features=features,
            extra_outputs=others, sequence=sequence, **strings,
        )  # fmt: skip
        if manifest.format > top["format"]:
            self.problems.append(f"it holds what came with format {manifest.format}")
            return None
        return manifest

    def value(self, top: Json, name: str, kind: type) -> Any:
        found = top.get(name) if isinstance(top, dict) else None
        if not isinstance(found, kind) or isinstance(found, bool):
            self.problems.append(f"{name} is not a JSON {kind.__name__}")
            return kind()
        return found

    def objects(self, top: Json, name: str) -> list[Json]:
        found = self.value(top, name, list)
        if not all(isinstance(entry, dict) for entry in found):
            self.problems.append(f"{name} is not a list of objects")
            return []
        return list(found)

    def vocabulary(self, top: Json, name: str, *, may_be_empty: bool = False) -> Vocabulary | None:
        found = self.value(top, name, dict)
        if may_be_empty and found.get("symbols") == []:
            return Vocabulary.none()
        try:
            return Vocabulary(tuple(self.value(found, "symbols", list)), found.get("unknown"))
        except (VocabularyError, TypeError) as error:
            self.problems.append(str(error))
            return None

    def feature(self, entry: Json) -> Feature:
        shape, ids = self.value(entry, "shape", list), entry.get("ids")
        if not all(type(size) is int and size > 0 for size in shape) or prod(shape) >= 2**31:
            self.problems.append(f"the shape of feature {entry.get('name')!r} is {shape}")
        if ids is not None and (type(ids) is not int or not 0 < ids < 2**31 or shape):
            self.problems.append(f"feature {entry.get('name')!r} is an id of {ids!r} with the shape {shape}")
        feature = Feature(self.value(entry, "name", str), tuple(shape), ids)
        if entry.get("dtype") != ("float32" if ids is None else "int32"):
            self.problems.append(f"feature {feature.name!r} is {entry.get('dtype')!r}")
        return feature

    def output(self, entry: Json) -> Output:
        size, activation = entry.get("size"), entry.get("activation")
        labels = None if entry.get("labels") is None else self.vocabulary(entry, "labels")
        if type(size) is not int or not 0 < size < 2**31 or (labels is not None and len(labels) != size):
            self.problems.append(f"output {entry.get('name')!r} has the size {size!r}, or labels of another size")
            size = 1
        if activation not in ACTIVATIONS:
            self.problems.append(f"the activation of output {entry.get('name')!r} is {activation!r}")
        return Output(self.value(entry, "name", str), size, str(activation), labels)

    def state_tensor(self, entry: Json) -> StateTensor:
        shape = self.value(entry, "shape", list)
        if not shape or not all(type(size) is int and size > 0 for size in shape) or prod(shape) >= 2**31:
            self.problems.append(f"the shape of state {entry.get('name')!r} is {shape}")
            shape = [1]
        tensor = StateTensor(self.value(entry, "name", str), tuple(shape), self.initial(entry, prod(shape)))
        if entry.get("next") != tensor.next or entry.get("dtype") != "float32":
            self.problems.append(f"state {tensor.name!r} is not float32 or is not paired with {tensor.next!r}")
        return tensor

    def initial(self, entry: Json, size: int) -> float | tuple[float, ...]:
        found, name = entry.get("initial"), entry.get("name")
        numbers: list[Any] = found if isinstance(found, list) else [found]
        if isinstance(found, list) and len(found) != size:
            self.problems.append(f"state {name!r} has {len(found)} initial values for {size} elements")
        wrong = [number for number in numbers if not _is_float32(number)]
        if wrong:
            others = f" and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
            self.problems.append(f"an initial value of state {name!r} is {wrong[0]!r}{others}")
            return 0.0
        return tuple(map(float, found)) if isinstance(found, list) else float(numbers[0])

    def cell(self, entry: Json) -> Cell:
        known = {name: entry[name] for name in Cell.__dataclass_fields__ if name in entry}
        try:
            return Cell(**known)
        except TypeError as error:
            self.problems.append(f"a cell is incomplete ({error})")
            return Cell("", 0, "")

    def io_mapping(self, top: Json, state: tuple[StateTensor, ...], symbols: int, outputs: int) -> IOMapping | None:
        if top["format"] < NEWEST_FORMAT and (top["format"] == MAPPED_FORMAT) != ("graph" in top):
            self.problems.append(
                f"graph stands in manifests of format {MAPPED_FORMAT}, and may in those of format {NEWEST_FORMAT}"
            )
        if "graph" not in top:
            return None
        from .io_mapping import read_io_mapping

        try:
            mapping = read_io_mapping(top["graph"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.problems.append(f"graph is incomplete ({error!r})")
            return None
        self.problems += mapping.problems({tensor.name: prod(tensor.shape) for tensor in state}, symbols, outputs)
        return mapping

    def golden(
        self,
        top: Json,
        vocabulary: Vocabulary | None,
        size: int,
        features: tuple[Feature, ...],
        others: tuple[Output, ...],
    ) -> Golden | None:
        found = self.value(top, "golden", dict)
        try:
            golden = Golden(
                float(found["tolerance"]),
                tuple(found["outputs"]),
                tuple(
                    GoldenRun(
                        run["start"],
                        tuple(run["ids"]),
                        _rows(run["probabilities"]),
                        {name: _rows(rows) for name, rows in run.get("features", {}).items()},
                        {name: _rows(rows) for name, rows in run.get("others", {}).items()},
                    )
                    for run in found["runs"]
                ),
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            self.problems.append(f"golden is incomplete ({error!r})")
            return None
        symbols = len(vocabulary or ()) or 1  # the ids of a model that reads no symbol are zeros
        good = all(type(id) is int and 0 <= id < size for id in golden.outputs) and all(
            run.start in ("initial", "ramp")
            and all(type(id) is int and 0 <= id < symbols for id in run.ids)
            and len(run.probabilities) == len(run.ids)
            and all(len(row) == len(golden.outputs) for row in run.probabilities)
            and run.features.keys() == {feature.name for feature in features}
            and all(len(run.features[f.name]) == len(run.ids) for f in features)
            and all(len(row) == prod(f.shape) for f in features for row in run.features[f.name])
            and run.extra_outputs.keys() == {other.name for other in others}
            and all(len(run.extra_outputs[o.name]) == len(run.ids) for o in others)
            and all(0 < len(row) <= o.size for o in others for row in run.extra_outputs[o.name])
            for run in golden.runs
        )
        if not good:
            self.problems.append("golden holds ids or rows that do not fit")
        steps = sum(len(run.ids) for run in golden.runs)
        if steps > _MOST_GOLDEN_STEPS:
            self.problems.append(f"golden has {steps} steps, at most {_MOST_GOLDEN_STEPS} can be replayed at a load")
        return golden


def _rows(found: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in found)


def _is_float32(number: Any) -> bool:
    """Tell whether `number` is a JSON number that is finite as a float32."""
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        return False
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(number)))
    except OverflowError:  # a whole number that is not even a float64
        return False
