"""Data for a model, read as the file of the model says that its training data were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Ids
from ..errors import CorpusError
from .events_reading import LINES, EventsReading
from .recording import Recording
from .symbols_reading import SymbolsReading
from .tape import lay_out
from .text_reading import TextReading

if TYPE_CHECKING:
    from ..manifest import Manifest

SYMBOLS, TEXT = "symbols", "text"
DATA_FORMATS = (SYMBOLS, LINES, TEXT)  # what can be said where the model file says nothing, or something else
_KINDS: dict[str, type[EventsReading] | type[TextReading]] = {"events": EventsReading, "text": TextReading}
_SHOWN = 10  # unknown symbols in a message


@dataclass(frozen=True)
class TrainedReading:
    """How data for a model are read.

    Attributes:
        manifest: That of the model.
        reading: How files are read.
        end: Symbol before and behind each sequence; None: there is none.
        trained_on: sha256 of what the model was trained on; "": not known.
        source: Name of the file it was trained on; "": not known.
    """

    manifest: Manifest
    reading: EventsReading | TextReading | SymbolsReading
    end: str | None
    trained_on: str = ""
    source: str = ""

    @classmethod
    def of(cls, manifest: Manifest, format: str | None = None) -> TrainedReading:
        """Return how data for the model are read.

        Args:
            manifest: That of the model. Where `training["data"]` says nothing, a file has a symbol on each line.
            format: One of `DATA_FORMATS`: "symbols", one on each line; "lines", a sequence on each line, its symbols
                separated by blanks; "text", each character a symbol. None: as the training data.

        Raises:
            CorpusError: What the file says about its data is not understood.
        """
        data = manifest.training.get("data")
        data = data if isinstance(data, Mapping) else {}
        end = data.get("end")
        end = end if isinstance(end, str) and end in manifest.vocabulary else None
        about = {"trained_on": str(data.get("sha256", "")), "source": str(data.get("source", ""))}
        if format == LINES:
            return cls(manifest, EventsReading(format=LINES, end=end), end, **about)
        if format == TEXT:
            return cls(manifest, TextReading(), end, **about)
        if format == SYMBOLS or not data.get("reading"):
            return cls(manifest, SymbolsReading(), None, **about)
        return cls(manifest, _recorded(data["reading"], manifest), end, **about)

    def named_like_training(self) -> str:
        """Return the end of a file name that tells `reading` the format; of the training data, if it goes by that."""
        is_open = isinstance(self.reading, EventsReading) and self.reading.format is None
        return "".join(Path(self.source).suffixes[-2:]) if is_open else ""

    def read(self, path: Path) -> tuple[list[Ids], Recording]:
        """Read a file, or a folder of texts.

        Returns:
            The ids of each sequence, int32 of shape (T,), with the end symbol before and behind it if there is one;
            and the recording they come from.

        Raises:
            CorpusError: It cannot be read, or holds symbols that the model does not know; all of them are named.
        """
        recording = self.reading.read(path)
        vocabulary, remarks = self.manifest.vocabulary, list(recording.remarks)
        is_strange = np.array([symbol not in vocabulary for symbol in recording.symbols])
        strange = [symbol for symbol, odd in zip(recording.symbols, is_strange, strict=True) if odd]
        if strange and vocabulary.unknown is None:
            shown = ", ".join(map(repr, strange[:_SHOWN])) + (", ..." if len(strange) > _SHOWN else "")
            raise CorpusError(
                f"{recording.source} holds {len(strange):,} different symbols that {self.manifest.name} does not know: "
                f"{shown}. It knows {vocabulary.describe()}. The file was read as {recording.found}; if it is "
                f"something else, say so with --format {', '.join(DATA_FORMATS)}."
            )
        if strange:
            count = int(recording.counts()[is_strange].sum())
            remarks.append(f"{count:,} of its {len(recording.ids):,} symbols are unknown to the model")
        if self.trained_on and recording.sha256 == self.trained_on:
            remarks.append("the model was trained on it: these are no figures for new data")
        tape = lay_out(recording, vocabulary, self.end)
        tails = tape.targets[tape.starts[1:] - 1], tape.weights[tape.starts[1:] - 1]
        sequences = [
            np.append(ids, target) if weight else ids
            for ids, target, weight in zip(np.split(tape.inputs, tape.starts[1:-1]), *tails, strict=True)
        ]
        return sequences, replace(recording, remarks=tuple(remarks))


def _recorded(found: Any, manifest: Manifest) -> EventsReading | TextReading:
    kind = found.get("kind") if isinstance(found, Mapping) else None
    try:
        reading = _KINDS[str(kind)]
        known = {field.name for field in fields(reading)}
        return reading(**{name: value for name, value in found.items() if name in known})
    except (KeyError, TypeError, CorpusError) as error:
        raise CorpusError(
            f"{manifest.name} says that its training data were read as {kind!r}, which this stepcell does not "
            f"understand ({error}). Say how to read yours: --format {', '.join(DATA_FORMATS)}."
        ) from error
