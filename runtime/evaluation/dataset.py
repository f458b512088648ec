"""What a model is judged by and what the baselines learn from, read as the model file says or as you say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import CorpusError
from ..data import EncodedSequences, HeldOut, reader_for_model
from ..format.manifest import Manifest


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """Sequences to judge a model by, and others for the baselines.

    Attributes:
        test: What the model is evaluated on.
        train: What the baselines learn from.
        unknown: How many of the judged symbols the vocabulary does not hold, so that they stand as the unknown one.
        notes: Where both come from, in words.
    """

    test: EncodedSequences
    train: EncodedSequences
    unknown: int
    notes: tuple[str, ...]


def read_evaluation_data(
    manifest: Manifest, data: Path, baseline_from: Path | None = None, *, held_out: float | None = None,
    end: str | None = None, options: Mapping[str, Any] | None = None,
) -> EvaluationData:  # fmt: skip
    """Read the data that a model is to be judged by.

    Where `data` is the very file that the model was trained on, by its sha256, what training held out is judged by,
    and the baselines learn from what the network learned from. Another file is judged by as a whole if
    `baseline_from` names what the baselines learn from (of the training file only what the network learned from);
    else a part of it is held out, and they learn from the rest.

    Args:
        manifest: Of the model; `training["data"]` says how files were read, if stepcell trained it.
        data: File to judge by.
        baseline_from: File for the baselines.
        held_out: Share of `data` to judge by; None: as training held out, else a tenth.
        end: The end symbol; "": none; None: that of the training.
        options: What is read otherwise than in training; see `reader_for_model`.

    Raises:
        CorpusError: Something cannot be read, or symbols are not known to the model, or most of those to judge by.
        MissingPackageError: It is Parquet, and pyarrow is not installed.
    """
    trained: Mapping[str, Any] = manifest.training.get("data") or {}
    read = reader_for_model(manifest, options, end=end)
    recording = read.reader.read(data)
    split = HeldOut(**{**(trained.get("held_out") or {}), **({} if held_out is None else {"share": held_out})})
    same = bool(trained.get("sha256")) and recording.sha256 == trained["sha256"]
    as_then = same and bool(trained.get("held_out")) and held_out is None
    notes = [f"{data}: {recording.found}" if recording.found else str(data), *recording.remarks]
    if baseline_from is None or as_then:
        rest, judged = split.split(recording)
        notes.append(
            f"{data} is what the model was trained on; judged by the part that was held out then"
            if as_then
            else f"judged by a part of {data} that is held out here ({split.share:g}); baselines learn the rest"
        )
    else:
        judged = recording
    if same and not as_then:
        notes.append("the model has seen that file in training: these are no figures for new data")
    if baseline_from is not None:
        rest = read.reader.read(baseline_from)
        is_training = bool(trained.get("sha256")) and rest.sha256 == trained["sha256"] and trained.get("held_out")
        if is_training:
            rest, _ = HeldOut(**trained["held_out"]).split(rest)
        notes.append(f"baselines learn from {baseline_from}{', what the network learned from' if is_training else ''}")
    unknown, _ = read.count_unknown([judged, rest])
    if 2 * unknown > len(judged.ids):
        raise CorpusError(
            f"The model does not know {unknown:,} of the {len(judged.ids):,} symbols of {data}. "
            f"Were they read as in training? It knows {manifest.vocabulary.describe()}."
        )
    return EvaluationData(read.encode(judged), read.encode(rest), unknown, tuple(notes))
