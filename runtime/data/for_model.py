"""Data for a model, read as the file of the model says that its training data were, or as you say.

Whether data hold the features that a model reads.

Data that a command is given, in a file or through a pipe.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..common.errors import CorpusError, OptionError
from ..format.tensor_specs import Inputs
from .encoded import EncodedSequences, encode_sequences
from .events import FORMATS, LINES, EventsReader
from .recording import Recording
from .text import SymbolsReader, TextReader

if TYPE_CHECKING:
    from ..format.manifest import Manifest
    from ..format.tensor_specs import Inputs


def required_features(
    manifest: Manifest, given: Sequence[str], end: str | None, boundary: Any
) -> dict[str, Sequence[float]]:
    """Return name of a feature -> its numbers beside the end symbol, shape (1,); none where there is no such symbol.

    Args:
        manifest: That of the model.
        given: Names of the features that are read from the data.
        end: The end symbol; None: there is none.
        boundary: What the model file says about the numbers beside it.

    Raises:
        CorpusError: The model reads others, or nothing says what they are beside the end symbol.
    """
    wanted = {feature.name for feature in manifest.features}
    problems = [
        f"{feature.name} is no single number"
        for feature in manifest.features
        if feature.shape != (1,) or feature.ids is not None
    ]
    problems += [f"no column is named for {name}" for name in sorted(wanted - set(given))]
    problems += [f"there is no {name}" for name in given if name not in wanted]
    known = boundary if isinstance(boundary, Mapping) else {}
    if end is not None and not problems:
        problems += [f"nothing says what {name} is beside {end!r}" for name in given if not _is_row(known.get(name))]
    if problems:
        described = ", ".join(feature.describe() for feature in manifest.features) or "no features"
        raise CorpusError(
            f"{manifest.name} reads {described} at each step: {'; '.join(problems)}. Where its training has named no "
            "columns, or the data are no table as then, stepcell evaluate takes --feature NAME=COLUMN; --end '' is for "
            "sequences without an end symbol."
        )
    return {} if end is None else {name: known[name] for name in given}


def _is_row(found: Any) -> bool:
    """Tell whether it is what one feature is in a step: a list of one number."""
    return isinstance(found, list) and len(found) == 1 and type(found[0]) in (int, float)


TEXT, SYMBOLS = "text", "symbols"
DATA_FORMATS = (*FORMATS, TEXT, SYMBOLS)  # what can be said where the model file says nothing, or something else
_EVENTS = "events"
_KINDS: dict[str, type[EventsReader] | type[TextReader] | type[SymbolsReader]] = {
    _EVENTS: EventsReader, TEXT: TextReader, SYMBOLS: SymbolsReader,
}  # fmt: skip
# Not of lines.
_OF_TABLES = ("symbol", "sequence", "order", "delimiter", "header", "time_format", "gaps", "features", "gap_feature")
_SHOWN = 10  # unknown symbols in a message


@dataclass(frozen=True)
class ModelReader:
    """How data for a model are read.

    Attributes:
        manifest: That of the model.
        reader: How files are read.
        end: Symbol before and behind each sequence; None: there is none.
        trained_on: sha256 of what the model was trained on; "": not known.
        source: Name of the file it was trained on; "": not known.
        boundary: Name of a feature -> its numbers beside the end symbol, as they were in training.
    """

    manifest: Manifest
    reader: EventsReader | TextReader | SymbolsReader
    end: str | None
    trained_on: str = ""
    source: str = ""
    boundary: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def named_like_training(self) -> str:
        """Return the end of a file name that tells `reader` the format; of the training data, if it goes by that."""
        is_open = isinstance(self.reader, EventsReader) and self.reader.format is None
        return "".join(Path(self.source).suffixes[-2:]) if is_open else ""

    def unknown(self, recordings: Sequence[Recording]) -> list[int]:
        """Return of each recording how many of its symbols the model does not know and takes for its unknown one.

        Raises:
            CorpusError: Nothing stands for them, or the end symbol is not known; everything is named.
        """
        vocabulary, counted, problems = self.manifest.vocabulary, [], []
        if self.end is not None and self.end not in vocabulary:
            problems.append(f"the end symbol {self.end!r} (--end says which it is, --end '' that there is none)")
        for recording in recordings:
            counts = dict(zip(recording.symbols, recording.counts().tolist(), strict=True))
            strange = [symbol for symbol, count in counts.items() if count and symbol not in vocabulary]
            counted.append(sum(counts[symbol] for symbol in strange))
            if strange and vocabulary.unknown is None:
                names = ", ".join(map(repr, strange[:_SHOWN])) + (", ..." if len(strange) > _SHOWN else "")
                problems.append(f"{len(strange):,} symbol{'s' * (len(strange) > 1)} of {recording.source}: {names}")
        if problems:
            raise CorpusError(
                f"{self.manifest.name} does not know {'; nor '.join(dict.fromkeys(problems))}. It knows "
                f"{vocabulary.describe()}. What was read was taken for {recordings[0].found}; if it is something else, "
                f"say so with --format {', '.join(DATA_FORMATS)}."
            )
        return counted

    def encode(self, recording: Recording) -> EncodedSequences:
        """Return what was read as the model reads it; `unknown` has found nothing to refuse."""
        return encode_sequences(recording, self.manifest.vocabulary, self.end, self.boundary)

    def read(self, path: Path) -> tuple[list[Inputs], Recording]:
        """Read a file, or a folder of texts.

        Returns:
            What the model reads of each sequence, with the end symbol before and behind it if there is one; and the
            recording that comes from.

        Raises:
            CorpusError: It cannot be read, or holds symbols that the model does not know; all of them are named.
        """
        recording = self.reader.read(path)
        remarks = list(recording.remarks)
        (strange,) = self.unknown([recording])
        if strange:
            remarks.append(f"{strange:,} of its {len(recording.ids):,} symbols are unknown to the model")
        if self.trained_on and recording.sha256 == self.trained_on:
            remarks.append("the model was trained on it: these are no figures for new data")
        tape = self.encode(recording)
        sequences = [self._whole(tape, *ends) for ends in pairwise(tape.starts.tolist())]
        return sequences, replace(recording, remarks=tuple(remarks))

    def _whole(self, tape: EncodedSequences, first: int, last: int) -> Inputs:
        """Return the sequence from `first` to `last`, exclusive, of `tape`, with the end symbol where it has ended."""
        ids, numbers = tape.inputs[first:last], tape.features
        features = {} if numbers is None else numbers.as_inputs(slice(first, last))
        if not tape.weights[last - 1]:
            return Inputs(ids, features)
        behind = {name: np.array([self.boundary[name]], np.float32) for name in features}
        return Inputs(
            np.append(ids, tape.targets[last - 1]),
            {name: np.concatenate([array, behind[name]]) for name, array in features.items()},
        )


def reader_for_model(
    manifest: Manifest, options: Mapping[str, Any] | None = None, *, end: str | None = None
) -> ModelReader:
    """Return how data for the model are read.

    Args:
        manifest: That of the model. Where `training["data"]` says nothing and no option does, a file has a symbol
            on each line.
        options: Attributes of `EventsReader` or `TextReader` that are other than in training. "format" may be
            any of `DATA_FORMATS`: a format of events; "text"; "symbols", one on each line.
        end: The end symbol; "": none; None: that of the training, but with "symbols" none.

    Raises:
        CorpusError: What the file says about its data is not understood, or the options do not fit, or the data
            would not hold the features that the model reads.
    """
    options = options or {}
    data = manifest.training.get("data")
    data = data if isinstance(data, Mapping) else {}
    kind = _kind(data, options, manifest)
    known = {each.name for each in fields(_KINDS[kind])}
    wrong = sorted(set(options) - known - {"format"})
    if wrong:
        raise CorpusError(
            f"These data are read as {kind}; {', '.join('--' + name.replace('_', '-') for name in wrong)} "
            f"{'does' if len(wrong) == 1 else 'do'} not apply to that."
        )
    if end is None and kind != SYMBOLS:
        recorded = data.get("end")
        end = recorded if isinstance(recorded, str) and recorded in manifest.vocabulary else None
    end = end or None
    values = {**_recorded(data, kind, options, manifest), **options, "end": end}
    reading = _made(
        kind, {name: value for name, value in values.items() if name in known}, manifest, by_hand=bool(options)
    )
    given = reading.feature_names if isinstance(reading, EventsReader) else ()
    boundary = required_features(manifest, given, end, data.get("boundary"))
    return ModelReader(manifest, reading, end, str(data.get("sha256", "")), str(data.get("source", "")), boundary)


def _kind(data: Mapping[str, Any], options: Mapping[str, Any], manifest: Manifest) -> str:
    """Return as what data are read, one of `_KINDS`: as the options say, else as in training."""
    format, found = options.get("format"), data.get("reading")
    if format is not None:
        if format not in DATA_FORMATS:
            raise CorpusError(f"The format is {format!r}, not one of {', '.join(DATA_FORMATS)}.")
        return _EVENTS if format in FORMATS else str(format)
    if not found:
        return TEXT if "unit" in options else _EVENTS if options.keys() - {"encoding"} else SYMBOLS
    kind = found.get("kind") if isinstance(found, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _not_understood(manifest, kind, "there is no such kind")
    return kind


def _recorded(data: Mapping[str, Any], kind: str, options: Mapping[str, Any], manifest: Manifest) -> Mapping[str, Any]:
    """Return how the training data were read as far as it holds for data that are read as `kind`, with `options`.

    Raises:
        CorpusError: They are a table now, and nothing says what its columns are.
    """
    found, format = data.get("reading"), options.get("format")
    is_alike = isinstance(found, Mapping) and found.get("kind") == kind
    found = found if isinstance(found, Mapping) and is_alike else {}
    was = found.get("format")
    if format is None or format == was or kind != _EVENTS:
        return {**found, "format": was}
    if LINES not in (format, was) and is_alike:
        return {name: value for name, value in found.items() if name != "delimiter"}
    if format != LINES and "symbol" not in options:
        raise CorpusError(
            f"{manifest.name} does not say which column of a table is the symbol: it was trained on none. Give a "
            f"symbol on each line (--format {SYMBOLS}) or a sequence on each line (--format {LINES}); stepcell "
            "evaluate takes --symbol."
        )
    return {name: value for name, value in found.items() if name not in _OF_TABLES}


def _made(
    kind: str, values: Mapping[str, Any], manifest: Manifest, *, by_hand: bool
) -> EventsReader | TextReader | SymbolsReader:
    try:
        return _KINDS[kind](**values)
    except (TypeError, AttributeError, CorpusError) as error:
        if isinstance(error, CorpusError) and by_hand:  # which is to be said of what was typed
            raise
        raise _not_understood(manifest, kind, str(error)) from error


def _not_understood(manifest: Manifest, kind: Any, why: str) -> CorpusError:
    return CorpusError(
        f"{manifest.name} says that its training data were read as {kind!r}, which this stepcell does not "
        f"understand ({why}). Say how to read yours: --format {', '.join(DATA_FORMATS)}."
    )


def read_data_or_stdin(
    data: Path | None, stdin: BinaryIO | None, manifest: Manifest, format: str | None, encoding: str | None = None
) -> tuple[list[Inputs], list[str]]:
    """Return what a model reads of each sequence in a file, or in stdin where `data` is None, and remarks for the user.

    Args:
        data: The file, or a folder of texts.
        stdin: Read to its end if there is no `data`; None: it is closed.
        manifest: That of the model.
        format: One of `DATA_FORMATS`; None: as the training data were read.
        encoding: Name of a codec of Python; None: likewise.

    Raises:
        CorpusError: They cannot be read, or hold symbols that the model does not know.
        OptionError: There is no stdin.
    """
    options = {"format": format, "encoding": encoding}
    reading = reader_for_model(manifest, {name: value for name, value in options.items() if value is not None})
    if data is not None:
        sequences, recording = reading.read(data)
        source = recording.source
    elif stdin is None:
        raise OptionError("There is no stdin to read data from.")
    else:
        with TemporaryDirectory(prefix="stepcell-") as folder:
            copy = Path(folder, f"stdin{reading.named_like_training()}")
            with open(copy, "wb") as file:
                shutil.copyfileobj(stdin, file)
            try:
                sequences, recording = reading.read(copy)
            except CorpusError as error:
                raise CorpusError(str(error).replace(str(copy), "stdin")) from None
        source = "stdin"
    count = "" if len(sequences) == 1 else f"{len(sequences):,} sequences, "
    remarks = (f"{count}{len(recording.ids):,} symbols, read as {recording.found}", *recording.remarks)
    return sequences, [f"{source}: {remark}" for remark in remarks]
