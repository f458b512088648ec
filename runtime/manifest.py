"""The manifest: what a model file says about itself (format 1)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

import numpy as np

from .arrays import Float32
from .errors import DamagedFileError, NewerFormatError, VocabularyError
from .vocabulary import Vocabulary

FORMAT = 1
Json = Mapping[str, Any]


@dataclass(frozen=True)
class StateTensor:
    """One tensor of the state: input `name` of a step, output `next` of the same step.

    Attributes:
        name: "h0", "c0", "h1", ...: h or c, then the index of the recurrent layer.
        shape: Shape without the batch dimension, (U,) for U units.
        initial: Value of every element after a reset.
    """

    name: str
    shape: tuple[int, ...]
    initial: float = 0.0

    @property
    def next(self) -> str:
        """The name of the output that becomes this input at the next step. Pairs are made by name alone."""
        return f"next_{self.name}"

    def initial_value(self) -> Float32:
        """Return the value after a reset, float32 of shape (1, *shape)."""
        return np.full((1, *self.shape), self.initial, np.float32)


@dataclass(frozen=True)
class Cell:
    """One recurrent layer as it was in Keras: for people and for other engines; the graph has it built in."""

    kind: str  # "lstm" | "gru" | "rnn"
    units: int
    activation: str
    recurrent_activation: str | None = None
    reset_after: bool | None = None


@dataclass(frozen=True)
class GoldenRun:
    """Symbols stepped from one start, and what a correct interpreter answers.

    Attributes:
        start: "initial", or "ramp": element i of all state elements, counted through the tensors in manifest
            order, is ((37 i + 11) mod 101) / 101 - 0.5, a non-zero state that any engine can make without storing it.
        ids: The ids to step, T of them.
        probabilities: T rows; each holds the probabilities of the golden sequence's `outputs`.
    """

    start: str
    ids: tuple[int, ...]
    probabilities: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Golden:
    """A known answer inside the file, replayed at every load.

    Attributes:
        tolerance: Largest allowed absolute difference of a probability.
        outputs: The output ids whose probabilities are recorded (a large vocabulary is sampled).
        runs: Runs to make one after the other; each sets the state first.
    """

    tolerance: float
    outputs: tuple[int, ...]
    runs: tuple[GoldenRun, ...]


@dataclass(frozen=True)
class Manifest:
    """Everything a device must know about a model beyond its graph. Written as JSON inside the model file.

    Attributes:
        name: What the model is called.
        vocabulary: Symbols the model reads; their ids are the input `symbol`.
        labels: Symbols the model answers with, where these are not its next input; None: it predicts the next symbol.
        output: "softmax" (the probabilities sum to 1) or "sigmoid" (each for itself).
        state: The state tensors, in a fixed order.
        cells: The recurrent layers, first to last.
        golden: The known answer; None while a file is being made.
        training: What it was trained on and how far: problem, framing, longest_length, accuracy.
        quantization: Precision of the weights: "float32".
        parity: What was measured before the file was written, one entry per runtime.
        requires: What an interpreter must support: `tflite_ops` (op name to version), or `opset` and `ir_version`.
        producer: Program and version that wrote the file.
        fingerprint: sha256 of the model payload, in hex: the file without this manifest.
    """

    name: str
    vocabulary: Vocabulary
    state: tuple[StateTensor, ...]
    cells: tuple[Cell, ...]
    output: str = "softmax"
    labels: Vocabulary | None = None
    golden: Golden | None = None
    training: Json = field(default_factory=dict)
    quantization: str = "float32"
    parity: tuple[Json, ...] = ()
    requires: Json = field(default_factory=dict)
    producer: str = ""
    fingerprint: str = ""

    @property
    def output_vocabulary(self) -> Vocabulary:
        """The symbols of the output, in the order of `probabilities`."""
        return self.vocabulary if self.labels is None else self.labels

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON object."""
        golden = self.golden
        return {
            "format": FORMAT,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "vocabulary": _vocabulary_to_json(self.vocabulary),
            "target": {"kind": "next"}
            if self.labels is None
            else {"kind": "label", "vocabulary": _vocabulary_to_json(self.labels)},
            "input": {"name": "symbol", "dtype": "int32", "size": len(self.vocabulary)},
            "output": {
                "name": "probabilities",
                "dtype": "float32",
                "size": len(self.output_vocabulary),
                "activation": self.output,
            },
            "state": [
                {
                    "name": tensor.name,
                    "next": tensor.next,
                    "dtype": "float32",
                    "shape": list(tensor.shape),
                    "initial": tensor.initial,
                }
                for tensor in self.state
            ],
            "cells": [{name: value for name, value in vars(cell).items() if value is not None} for cell in self.cells],
            "golden": None
            if golden is None
            else {
                "tolerance": golden.tolerance,
                "outputs": list(golden.outputs),
                "runs": [
                    {
                        "start": run.start,
                        "ids": list(run.ids),
                        "probabilities": [list(row) for row in run.probabilities],
                    }
                    for run in golden.runs
                ],
            },
            "training": dict(self.training),
            "quantization": self.quantization,
            "parity": [dict(entry) for entry in self.parity],
            "requires": dict(self.requires),
            "producer": self.producer,
        }

    def to_bytes(self) -> bytes:
        """Return the manifest as UTF-8 JSON; equal manifests give equal bytes."""
        return json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, content: bytes, file_name: str) -> Manifest:
        """Read a manifest; `file_name` is for the messages.

        Raises:
            NewerFormatError: The format number is higher than this version's.
            DamagedFileError: It is not JSON, or not a manifest; every problem is named.
        """
        try:
            json_object = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DamagedFileError(
                f"{file_name} is damaged: its manifest is not JSON ({error}). Copy it again."
            ) from error
        found = json_object.get("format") if isinstance(json_object, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise NewerFormatError(
                f"{file_name} has format {found}; this stepcell reads format {FORMAT}. "
                "Upgrade with: pip install -U stepcell"
            )
        reader = _Reader()
        manifest = reader.manifest(json_object) if found == FORMAT else None
        if manifest is None:
            problems = "; ".join(reader.problems) or f"its format is {found!r}"
            raise DamagedFileError(
                f"{file_name} carries a manifest that is not one of format {FORMAT}: {problems}. "
                "Export the model again."
            )
        return manifest


def _vocabulary_to_json(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"symbols": list(vocabulary.symbols), "unknown": vocabulary.unknown}


class _Reader:
    """Turns a JSON object into a `Manifest` and collects what is wrong with it on the way."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def manifest(self, top: Json) -> Manifest | None:
        vocabulary = self.vocabulary(top, "vocabulary")
        target = self.value(top, "target", dict)
        labels = self.vocabulary(target, "vocabulary") if target.get("kind") == "label" else None
        if target.get("kind") not in ("next", "label"):
            self.problems.append("target.kind is neither 'next' nor 'label'")
        output = self.value(top, "output", dict)
        if output.get("activation") not in ("softmax", "sigmoid"):
            self.problems.append("output.activation is neither 'softmax' nor 'sigmoid'")
        state = tuple(self.state_tensor(entry) for entry in self.objects(top, "state"))
        if not state or len({tensor.name for tensor in state}) < len(state):
            self.problems.append("state is empty or names a tensor twice")
        cells = tuple(self.cell(entry) for entry in self.objects(top, "cells"))
        size = len(labels or vocabulary or ())
        golden = self.golden(top, vocabulary, size) if top.get("golden") is not None else None
        strings = {name: self.value(top, name, str) for name in ("name", "fingerprint", "quantization", "producer")}
        training, requires = self.value(top, "training", dict), self.value(top, "requires", dict)
        parity = tuple(self.objects(top, "parity"))
        if self.problems or vocabulary is None:
            return None
        activation = output["activation"]
        return Manifest(
            vocabulary=vocabulary, labels=labels, output=activation, state=state, cells=cells, golden=golden,
            training=training, requires=requires, parity=parity, **strings,
        )  # fmt: skip

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

    def vocabulary(self, top: Json, name: str) -> Vocabulary | None:
        found = self.value(top, name, dict)
        try:
            return Vocabulary(tuple(self.value(found, "symbols", list)), found.get("unknown"))
        except (VocabularyError, TypeError) as error:
            self.problems.append(str(error))
            return None

    def state_tensor(self, entry: Json) -> StateTensor:
        shape, initial = self.value(entry, "shape", list), entry.get("initial")
        if not shape or not all(type(size) is int and size > 0 for size in shape) or prod(shape) >= 2**31:
            self.problems.append(f"the shape of state {entry.get('name')!r} is {shape}")
            shape = [1]
        if not isinstance(initial, (int, float)) or not isfinite(initial):
            self.problems.append(f"the initial value of state {entry.get('name')!r} is {initial!r}")
            initial = 0.0
        tensor = StateTensor(self.value(entry, "name", str), tuple(shape), float(initial))
        if entry.get("next") != tensor.next or entry.get("dtype") != "float32":
            self.problems.append(f"state {tensor.name!r} is not float32 or is not paired with {tensor.next!r}")
        return tensor

    def cell(self, entry: Json) -> Cell:
        known = {name: entry[name] for name in Cell.__dataclass_fields__ if name in entry}
        try:
            return Cell(**known)
        except TypeError as error:
            self.problems.append(f"a cell is incomplete ({error})")
            return Cell("", 0, "")

    def golden(self, top: Json, vocabulary: Vocabulary | None, size: int) -> Golden | None:
        found = self.value(top, "golden", dict)
        try:
            golden = Golden(
                float(found["tolerance"]),
                tuple(found["outputs"]),
                tuple(
                    GoldenRun(
                        run["start"], tuple(run["ids"]), tuple(tuple(map(float, row)) for row in run["probabilities"])
                    )
                    for run in found["runs"]
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            self.problems.append(f"golden is incomplete ({error!r})")
            return None
        symbols = len(vocabulary or ())
        good = all(type(id) is int and 0 <= id < size for id in golden.outputs) and all(
            run.start in ("initial", "ramp")
            and all(type(id) is int and 0 <= id < symbols for id in run.ids)
            and len(run.probabilities) == len(run.ids)
            and all(len(row) == len(golden.outputs) for row in run.probabilities)
            for run in golden.runs
        )
        if not good:
            self.problems.append("golden holds ids or rows that do not fit")
        return golden
