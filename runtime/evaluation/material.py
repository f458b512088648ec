"""What a model is judged by and what the yardsticks learn from, read as the model file says or as you say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import CorpusError
from ..manifest import Manifest
from ..reading import EventsReading, HeldOut, Recording, Tape, TextReading, lay_out
from ..vocabulary import Vocabulary

_READINGS: Mapping[str, type[EventsReading] | type[TextReading]] = {"events": EventsReading, "text": TextReading}
_SHOWN = 10  # unknown symbols in a message


@dataclass(frozen=True, eq=False)
class Material:
    """Sequences to judge a model by, and others for the yardsticks.

    Attributes:
        judged: What the model is judged by.
        learned: What the yardsticks learn from.
        unknown: How many of the judged symbols the vocabulary does not hold, so that they stand as the unknown one.
        notes: Where both come from, in words.
    """

    judged: Tape
    learned: Tape
    unknown: int
    notes: tuple[str, ...]


def read_material(
    manifest: Manifest, data: Path, baseline_from: Path | None = None, *, held_out: float | None = None,
    end: str | None = None, options: Mapping[str, Any] | None = None,
) -> Material:  # fmt: skip
    """Read the data that a model is to be judged by.

    Where `data` is the very file that the model was trained on, by its sha256, what training held out is judged by,
    and the yardsticks learn from what the network learned from. Another file is judged by as a whole if
    `baseline_from` names what the yardsticks learn from (of the training file only what the network learned from);
    else a part of it is held out, and they learn from the rest.

    Args:
        manifest: Of the model; `training["data"]` says how files were read, if stepcell trained it.
        data: File to judge by.
        baseline_from: File for the yardsticks.
        held_out: Share of `data` to judge by; None: as training held out, else a tenth.
        end: The end symbol; "": none; None: that of the training.
        options: Attributes of `EventsReading` or `TextReading` that are other than in training.

    Raises:
        CorpusError: Something cannot be read, or symbols are not known to the model.
        MissingPackageError: It is Parquet, and pyarrow is not installed.
    """
    trained: Mapping[str, Any] = manifest.training.get("data") or {}
    end = (trained.get("end") if end is None else end) or None
    reading = _reading(trained, end, options or {})
    recording = reading.read(data)
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
        rest = reading.read(baseline_from)
        is_training = bool(trained.get("sha256")) and rest.sha256 == trained["sha256"] and trained.get("held_out")
        if is_training:
            rest, _ = HeldOut(**trained["held_out"]).split(rest)
        notes.append(f"baselines learn from {baseline_from}{', what the network learned from' if is_training else ''}")
    vocabulary = manifest.vocabulary
    unknown = _check_symbols([(data, judged), (baseline_from or data, rest)], vocabulary, end)
    return Material(lay_out(judged, vocabulary, end), lay_out(rest, vocabulary, end), unknown, tuple(notes))


def _reading(trained: Mapping[str, Any], end: str | None, options: Mapping[str, Any]) -> EventsReading | TextReading:
    """Return how to read: as in training, with `options` in place of what was then."""
    kept = dict(trained.get("reading") or {})
    kind = kept.pop("kind", None) or ("text" if {"unit"} & set(options) else "events")
    known = {field.name for field in fields(_READINGS[kind])}
    wrong = sorted(set(options) - known)
    if wrong:
        raise CorpusError(
            f"The model was trained on {kind}; {', '.join('--' + name.replace('_', '-') for name in wrong)} "
            f"{'does' if len(wrong) == 1 else 'do'} not apply to that."
        )
    values = {name: value for name, value in {**kept, **options}.items() if name in known}
    return _READINGS[kind](**{**values, "end": end})


def _check_symbols(parts: Sequence[tuple[Path, Recording]], vocabulary: Vocabulary, end: str | None) -> int:
    """Return how many symbols of the first of `parts` are unknown.

    Raises:
        CorpusError: Symbols or the end are not known and nothing stands for them, or most of the first part is not.
    """
    problems = []
    if end is not None and end not in vocabulary:
        problems.append(f"the end symbol {end!r}; give the right one, or --end '' for none")
    counted: list[int] = []
    for source, recording in parts:
        counts = dict(zip(recording.symbols, recording.counts().tolist(), strict=True))
        strange = {symbol for symbol, count in counts.items() if count and symbol not in vocabulary}
        counted.append(sum(counts[symbol] for symbol in strange))
        if strange and vocabulary.unknown is None:
            shown = sorted(strange)
            names = ", ".join(map(repr, shown[:_SHOWN])) + (", ..." if len(shown) > _SHOWN else "")
            problems.append(f"{len(shown):,} symbol{'s' * (len(shown) > 1)} of {source}: {names}")
    if problems:
        raise CorpusError(
            f"The model does not know {'; nor '.join(dict.fromkeys(problems))}. It knows {vocabulary.describe()}. "
            "Were the data read as in training?"
        )
    source, judged = parts[0]
    if 2 * counted[0] > len(judged.ids):
        raise CorpusError(
            f"The model does not know {counted[0]:,} of the {len(judged.ids):,} symbols of {source}. "
            "Were they read as in training? It knows " + vocabulary.describe() + "."
        )
    return counted[0]
