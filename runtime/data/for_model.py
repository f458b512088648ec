"""Read data for a model as its training data were read, or as options say."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from ..common.errors import CorpusError, OptionError
from ..format.manifest import Manifest
from ..format.tensor_specs import Inputs
from .encoded import EncodedSequences, encode_sequences, whole_sequences
from .events import FORMATS, LINES, EventsReader
from .learned import LearnedData, without_learned
from .recording import Reader, Recording
from .split import HeldOut
from .text import SymbolsReader, TextReader
from .timestamps import UNSTATED
from .words import FIRST

EVENTS, TEXT, SYMBOLS = EventsReader.kind, TextReader.kind, SymbolsReader.kind
DATA_FORMATS = (*FORMATS, TEXT, SYMBOLS)
_READERS: dict[str, Any] = {EVENTS: EventsReader, TEXT: TextReader, SYMBOLS: SymbolsReader}
# Values that do not carry over between tables and lines.
_OF_TABLES = (
    "symbol", "sequence", "order", "delimiter", "header", "time_format", "gaps", "features", "gap_feature", "join",
    "time_unit", "time_zone", "templates",
)  # fmt: skip
_SHOWN = 10  # unknown symbols in a message


@dataclass(frozen=True)
class ModelReader:
    """Read data for a model; see `reader_for_model`.

    Attributes:
        manifest: Manifest of the model.
        reader: The reader of files.
        end: Symbol before and after each sequence; None: there is none.
        trained_on: sha256 of the training data; "": not known.
        source: File name of the training data; "": not known.
        boundary: Name of a feature -> its value with the end symbol, as in training.
        learned: The sequences of the training data; None: they are not known.
    """

    manifest: Manifest
    reader: Reader
    end: str | None
    trained_on: str = ""
    source: str = ""
    boundary: Mapping[str, Sequence[float]] = field(default_factory=dict)
    learned: LearnedData | None = None

    def read(self, path: Path, *, new_only: bool = False) -> tuple[list[Inputs], Recording]:
        """Read a file, or a folder of texts.

        Args:
            path: The file or folder.
            new_only: Of the training file, or one that has grown since, only what the model has not learned from.

        Returns:
            The inputs of each sequence, with the end symbol before and after it if there is one; and their recording.

        Raises:
            CorpusError: The data cannot be read, or hold unknown symbols; the message names all of them.
        """
        recording = self.reader.read(path)
        is_training_file = bool(self.trained_on) and recording.sha256 == self.trained_on
        new = self._new_part(recording, is_training_file=is_training_file) if new_only else None
        recording = recording if new is None else new
        remarks = list(recording.remarks)
        (unknown,) = self.count_unknown([recording])
        if unknown:
            remarks.append(f"{unknown:,} of its {len(recording.ids):,} symbols are unknown to the model")
        if new is not None:
            remarks.append("the model has learned from this file: only the rest is read")
        elif is_training_file:
            remarks.append("the model was trained on it: these are no figures for new data")
        elif self.learned is not None and (found := self.learned.describe(recording)):
            remarks.append(f"{found}: these are no figures for new data")
        sequences = whole_sequences(recording, self.manifest.vocabulary, self.end, self.boundary)
        if self.end is not None:  # a sequence that was cut has none there
            cut = zip(sequences, ~recording.has_start, ~recording.has_end, strict=True)
            sequences = [each[int(start) : len(each) - int(end)] for each, start, end in cut]
        return sequences, replace(recording, remarks=tuple(remarks))

    def _new_part(self, recording: Recording, *, is_training_file: bool) -> Recording | None:
        """Return the part of a recording that was not learned from; None: all of it, or it is not known."""
        if is_training_file:
            data = self.manifest.training.get("data")
            held_out = data.get("held_out") if isinstance(data, Mapping) else None
            return HeldOut.from_json(held_out).split(recording)[1] if isinstance(held_out, Mapping) else None
        new, known, _ = without_learned(self.learned, recording)
        return None if known is None else new

    def encode(self, recording: Recording) -> EncodedSequences:
        """Return the inputs and targets of a recording without refused symbols; see `count_unknown`."""
        return encode_sequences(recording, self.manifest.vocabulary, self.end, self.boundary)

    def count_unknown(self, recordings: Sequence[Recording]) -> list[int]:
        """Return how many symbols of each recording the model reads as its unknown symbol.

        Raises:
            CorpusError: The model has no unknown symbol and needs one, or does not know the end symbol; the message
                names all symbols.
        """
        vocabulary, counted, problems = self.manifest.vocabulary, [], []
        if self.end is not None and self.end not in vocabulary:
            problems.append(f"the end symbol {self.end!r} (name it with --end; --end '': there is none)")
        for recording in recordings:
            counts = dict(zip(recording.symbols, recording.counts().tolist(), strict=True))
            unknown = [symbol for symbol, count in counts.items() if count and symbol not in vocabulary]
            counted.append(sum(counts[symbol] for symbol in unknown))
            if unknown and vocabulary.unknown is None:
                names = ", ".join(map(repr, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
                problems.append(f"{len(unknown):,} symbol{'s' * (len(unknown) > 1)} of {recording.source}: {names}")
        if problems:
            raise CorpusError(
                f"{self.manifest.name} does not know {'; nor '.join(dict.fromkeys(problems))}. It knows "
                f"{vocabulary.describe()}. The data were read as {recordings[0].found}; if that is wrong, name their "
                f"format: --format {', '.join(DATA_FORMATS)}."
            )
        return counted


def reader_for_model(
    manifest: Manifest, options: Mapping[str, Any] | None = None, *, end: str | None = None
) -> ModelReader:
    """Return the reader of data for a model.

    Args:
        manifest: Manifest of the model. If neither `training["data"]` nor an option tells the format, a file has a
            symbol on each line.
        options: Attributes of `EventsReader` or `TextReader` that differ from training. "format" may be any of
            `DATA_FORMATS`: a format of events; "text"; "symbols", a symbol on each line.
        end: The end symbol; "": none; None: that of the training, but none for "symbols".

    Raises:
        CorpusError: The manifest describes the training data in an unknown way, or the options do not fit, or the data
            lack the features of the model.
    """
    options = options or {}
    data = manifest.training.get("data")
    data = data if isinstance(data, Mapping) else {}
    kind = _kind(data, options, manifest)
    known = {each.name for each in fields(_READERS[kind])}
    wrong = sorted(set(options) - known - {"format"})
    if wrong:
        raise CorpusError(
            f"These data are read as {kind}; {', '.join('--' + name.replace('_', '-') for name in wrong)} "
            f"{'does' if len(wrong) == 1 else 'do'} not apply to that."
        )
    trained = manifest.trained_data
    if end is None and kind != SYMBOLS:
        end = trained.named_end
    end = end or None
    values = {**_recorded(data, kind, options, manifest), **options, "end": end}
    try:
        reader = _READERS[kind](**{name: value for name, value in values.items() if name in known})
    except (TypeError, AttributeError, CorpusError) as error:
        if isinstance(error, CorpusError) and options:  # they are to blame
            raise
        raise _unknown_description(manifest, kind, str(error)) from error
    names = reader.feature_names if isinstance(reader, EventsReader) else ()
    boundary = _boundary(manifest, names, end, trained.boundary)
    learned = LearnedData.from_json(data.get("learned"))
    sha256, source = str(data.get("sha256", "")), str(data.get("source", ""))
    return ModelReader(manifest, reader, end, sha256, source, boundary, learned)


def read_data_or_stdin(
    data: Path | None, stdin: BinaryIO | None, manifest: Manifest, format: str | None, encoding: str | None = None,
    *, new_only: bool = False,
) -> tuple[list[Inputs], list[str]]:  # fmt: skip
    """Return the inputs of each sequence of a file, or of stdin if `data` is None, and remarks for the user.

    Args:
        data: The file, or a folder of texts.
        stdin: Read to its end if there is no `data`; None: it is closed.
        manifest: Manifest of the model.
        format: One of `DATA_FORMATS`; None: that of the training data.
        encoding: Name of a Python codec; None: that of the training data.
        new_only: See `ModelReader.read`.

    Raises:
        CorpusError: The data cannot be read, or hold unknown symbols.
        OptionError: There is no stdin.
    """
    options = {"format": format, "encoding": encoding}
    reader = reader_for_model(manifest, {name: value for name, value in options.items() if value is not None})
    if data is not None:
        sequences, recording = reader.read(data, new_only=new_only)
    elif stdin is None:
        raise OptionError("There is no stdin to read data from.")
    else:
        by_suffix = isinstance(reader.reader, EventsReader) and reader.reader.format is None
        with TemporaryDirectory(prefix="stepcell-") as folder:
            copy = Path(folder, "stdin" + ("".join(Path(reader.source).suffixes[-2:]) if by_suffix else ""))
            with open(copy, "wb") as file:
                shutil.copyfileobj(stdin, file)
            try:
                sequences, recording = reader.read(copy)
            except CorpusError as error:
                raise CorpusError(str(error).replace(str(copy), "stdin")) from None
    source = "stdin" if data is None else recording.source
    count = "" if len(sequences) == 1 else f"{len(sequences):,} sequences, "
    remarks = (f"{count}{len(recording.ids):,} symbols, read as {recording.found}", *recording.remarks)
    return sequences, [f"{source}: {remark}" for remark in remarks]


def _kind(data: Mapping[str, Any], options: Mapping[str, Any], manifest: Manifest) -> str:
    """Return the kind of reader that the options name, or else the training."""
    format, recorded = options.get("format"), data.get("reading")
    if format is not None:
        if format not in DATA_FORMATS:
            raise CorpusError(f"The format is {format!r}, not one of {', '.join(DATA_FORMATS)}.")
        return EVENTS if format in FORMATS else str(format)
    if not recorded:
        return TEXT if "unit" in options else EVENTS if options.keys() - {"encoding"} else SYMBOLS
    kind = recorded.get("kind") if isinstance(recorded, Mapping) else None
    if not isinstance(kind, str) or kind not in _READERS:
        raise _unknown_description(manifest, kind, "there is no such kind")
    return kind


def _recorded(data: Mapping[str, Any], kind: str, options: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
    """Return the values of the reader of the training data that hold for a reader of `kind` with `options`.

    Raises:
        CorpusError: The data are a table, the training data were none, and no option names its columns.
    """
    found = data.get("reading")
    is_same_kind = isinstance(found, Mapping) and found.get("kind") == kind
    values = dict(found) if isinstance(found, Mapping) and is_same_kind else {}
    recorded = values.setdefault("format", None)
    if is_same_kind and kind == TEXT:
        values.setdefault("word_rules", FIRST)  # of models trained before they were recorded
    if is_same_kind and kind == EVENTS:
        for name, other in (("time_unit", "time_format"), ("time_format", "time_unit")):
            if name in options:
                values[other] = None
        values.setdefault("time_unit", UNSTATED)  # of models trained before units were recorded
    format = options.get("format", recorded)
    if format == recorded or kind != EVENTS:
        return values
    if is_same_kind and LINES not in (format, recorded):
        return {**values, "delimiter": None}
    if format != LINES and "symbol" not in options:
        raise CorpusError(
            f"{manifest.name} does not name the symbol column of a table: it was not trained on one. Give a "
            f"symbol on each line (--format {SYMBOLS}) or a sequence on each line (--format {LINES}); stepcell "
            "evaluate takes --symbol."
        )
    return {name: value for name, value in values.items() if name not in _OF_TABLES}


def _boundary(
    manifest: Manifest, given: Sequence[str], end: str | None, recorded: Mapping[str, Sequence[float]]
) -> dict[str, Sequence[float]]:
    """Check that the data have the features of the model; return name -> its value with the end symbol, shape (1,).

    Args:
        manifest: Manifest of the model.
        given: Names of the features in the data.
        end: The end symbol; None: there is none, and the result is empty.
        recorded: The values in the model file.

    Raises:
        CorpusError: The features differ, or a value is missing.
    """
    expected = {feature.name for feature in manifest.features}
    problems = [
        f"{feature.name} is no single number"
        for feature in manifest.features
        if feature.shape != (1,) or feature.ids is not None
    ]
    problems += [f"no column is named for {name}" for name in sorted(expected - set(given))]
    problems += [f"there is no {name}" for name in given if name not in expected]
    if end is not None and not problems:
        missing = [name for name in given if name not in recorded]
        problems += [f"the model file has no value of {name} for {end!r}" for name in missing]
    if problems:
        described = ", ".join(feature.describe() for feature in manifest.features) or "no features"
        raise CorpusError(
            f"{manifest.name} reads {described} at each step: {'; '.join(problems)}. If its training named no "
            "columns, or the data are another table, stepcell evaluate takes --feature NAME=COLUMN; --end '' is for "
            "sequences without an end symbol."
        )
    return {} if end is None else {name: recorded[name] for name in given}


def _unknown_description(manifest: Manifest, kind: Any, why: str) -> CorpusError:
    return CorpusError(
        f"The training data of {manifest.name} were read as {kind!r}, which this stepcell does not understand ({why}). "
        f"Name the format of yours: --format {', '.join(DATA_FORMATS)}."
    )
