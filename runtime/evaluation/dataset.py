"""The data of an evaluation: test data for the model, training data for the baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import CorpusError
from ..data import EncodedSequences, HeldOut, TimeBins, reader_for_model
from ..data.learned import without_learned
from ..format.manifest import Manifest

RUN_FILE = "run.json"  # of a run folder of `stepcell train`
NO_BASELINES = (
    "no n-grams: they need the training data. Name them with --baseline-from FILE or --baseline-from RUN, or hold out "
    "a part of these data: --held-out 0.1"
)


@dataclass(frozen=True, eq=False)
class EvaluationData:
    """Sequences to evaluate a model on, and others for the baselines.

    Attributes:
        test: The sequences that the model and the baselines predict.
        train: The sequences that the baselines learn from; None: there are none.
        unknown: How many of the test symbols are not in the vocabulary; they are read as the unknown symbol.
        notes: The origin of both, in words.
        gaps: Ids of the symbols that are gaps of time.
    """

    test: EncodedSequences
    train: EncodedSequences | None
    unknown: int
    notes: tuple[str, ...]
    gaps: tuple[int, ...] = ()


def read_evaluation_data(
    manifest: Manifest, data: Path, baseline_from: Path | None = None, *, held_out: float | None = None,
    end: str | None = None, options: Mapping[str, Any] | None = None,
) -> EvaluationData:  # fmt: skip
    """Read the data of an evaluation.

    If `data` is the training file, by its sha256, the part that training held out is the test data, and the baselines
    learn from the part that the network learned from. Another file is test data as a whole, and the baselines learn
    from `baseline_from` (of the training file only from the part that the network learned from); without it there are
    no n-grams. Sequences of it that the network learned from, as in a log that has grown since, are left out, and the
    baselines learn from them. With `held_out` a part of `data` is held out as test data, and they learn from the rest.

    Args:
        manifest: Manifest of the model; `training["data"]` says how files were read, if stepcell trained it.
        data: File to evaluate on.
        baseline_from: File for the baselines, or the run folder of the model, which names its training file.
        held_out: Fraction of `data` to evaluate on; None: as training held out of its file, all of another one.
        end: The end symbol; "": none; None: that of the training.
        options: Reading options that differ from the training; see `reader_for_model`.

    Raises:
        CorpusError: Something cannot be read, or the model does not know symbols, or most of the test symbols.
        MissingPackageError: It is Parquet, and pyarrow is not installed.
    """
    trained: Mapping[str, Any] = manifest.training.get("data") or {}
    sha256, trained_split = trained.get("sha256"), trained.get("held_out") or {}
    reader = reader_for_model(manifest, options, end=end)
    recording = reader.reader.read(data)
    split = HeldOut.from_json(trained_split, **({} if held_out is None else {"share": held_out}))
    is_training_file = bool(sha256) and recording.sha256 == sha256
    as_trained = is_training_file and bool(trained_split) and held_out is None
    notes = [f"{data}: {recording.found}" if recording.found else str(data), *recording.remarks]
    test, train = recording, None
    if as_trained or (held_out is not None and baseline_from is None):
        train, test = split.split(recording)
        notes.append(
            f"{data} is the training file; evaluated on the part that was held out then"
            if as_trained
            else f"evaluated on a part of {data} that is held out here ({split.share:g}); baselines learn from the rest"
        )
    if not is_training_file:
        test, known, note = without_learned(reader.learned, test)
        notes += [f"{data}: {note}"] if note else []
        if train is None and known is not None and baseline_from is None:
            train = known
            notes.append(f"baselines learn from the part of {data} that the network learned from")
    if is_training_file and not as_trained:
        notes.append("the model has seen that file in training: these are no figures for new data")
    if baseline_from is not None:
        source, part = data_of(baseline_from), ""
        train = reader.reader.read(source)
        if sha256 and train.sha256 == sha256 and trained_split:
            train, part = HeldOut.from_json(trained_split).split(train)[0], ", the part that the network learned from"
        elif source != baseline_from and sha256:
            raise CorpusError(
                f"{source}, which {baseline_from} was trained on, has changed since, or {manifest.name} is of another "
                f"run. Name the data that the n-grams learn from: --baseline-from FILE."
            )
        notes.append(f"baselines learn from {source}{part}")
    if train is None:
        notes.append(NO_BASELINES)
    unknown = reader.count_unknown([one for one in (test, train) if one is not None])[0]
    if 2 * unknown > len(test.ids):
        raise CorpusError(
            f"The model does not know {unknown:,} of the {len(test.ids):,} symbols of {data}. "
            f"Were they read as in training? It knows {manifest.vocabulary.describe()}."
        )
    encoded = None if train is None else reader.encode(train)
    limits = getattr(reader.reader, "gaps", None)
    gaps = TimeBins.parse(limits).ids_in(manifest.vocabulary.symbols).tolist() if limits else ()
    return EvaluationData(reader.encode(test), encoded, unknown, tuple(notes), tuple(gaps))


def data_of(source: Path) -> Path:
    """Return `source`, or the training file that a run folder names.

    Raises:
        CorpusError: The run names no file, or one that is not there.
    """
    run = source / RUN_FILE
    if not run.is_file():
        return source
    try:
        named = json.loads(run.read_bytes())["problem"]["source"]
        trained_on = Path(named)
        is_there = trained_on.exists()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorpusError(
            f"{run} names no file that the run learned from. Give the file: --baseline-from FILE."
        ) from error
    if not is_there:
        raise CorpusError(
            f"{source} was trained on {trained_on}, which is not there. Give the file: --baseline-from FILE."
        )
    return trained_on
