"""Read files of events: CSV, TSV, JSON lines, Parquet, or a sequence on each line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..common.arrays import Times
from ..common.errors import CorpusError
from .columns import GAP, Columns, feature_problems
from .features import FeatureColumns
from .recording import Reader, Recording
from .recording_builder import RecordingBuilder
from .tables import RowErrors, csv_rows, json_rows, line_rows, parquet_rows
from .text_file import digest, open_text
from .time_bins import TimeBins
from .timestamps import OrderColumn

CSV, TSV, JSON_LINES, PARQUET, LINES = "csv", "tsv", "jsonl", "parquet", "lines"
FORMATS = (CSV, TSV, JSON_LINES, PARQUET, LINES)
_SUFFIXES = {
    ".csv": CSV, ".tsv": TSV, ".tab": TSV, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES, ".json": JSON_LINES,
    ".parquet": PARQUET, ".pq": PARQUET, ".lines": LINES,
}  # fmt: skip


@dataclass(frozen=True)
class EventsReader(Reader):
    """Read files of events, all in the same way. Model files record these values.

    Attributes:
        symbol: Column of the symbol; None: the only column of the table.
        sequence: Column that tells sequences apart, a case or a device; None: all rows are one sequence.
        order: Column of the time or number that orders the events of a sequence; None: the order of the rows.
        format: One of `FORMATS`; "lines" is a sequence on each line, its symbols separated by blanks. None: by the
            suffix of the file.
        delimiter: Between columns, or between the symbols of lines; None: it is detected.
        header: Whether the first line of CSV and TSV holds the names of the columns; else they are "1", "2", ...
        encoding: Encoding of text.
        time_format: Of the order column, as for `datetime.strptime`; None: numbers or ISO 8601.
        gaps: Limits of the gaps between events that become symbols, "1min,1h" for example; None: no such symbols.
        end: Symbol before the first event of a sequence and after its last; None: there is none.
        features: Name of a feature -> its column of numbers, of which none may be missing.
        gap_feature: Whether the time since the previous event of the sequence is a feature too, called "gap": in
            seconds, or in the unit of an order column of numbers; 0 at the first event.

    Raises:
        CorpusError: Values that do not go together; the message names all of them.
    """

    kind = "events"
    symbol: str | None = None
    sequence: str | None = None
    order: str | None = None
    format: str | None = None
    delimiter: str | None = None
    header: bool = True
    encoding: str = "utf-8"
    time_format: str | None = None
    gaps: str | None = None
    end: str | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    gap_feature: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        if self.format not in (None, *FORMATS):
            problems.append(f"the format is {self.format!r}, not one of {', '.join(FORMATS)}")
        if self.format == LINES and self.columns.by_option:
            problems.append("lines have no columns")
        if (self.gaps is not None or self.gap_feature) and self.order is None:
            problems.append("gaps need a column of times, --order")
        problems += feature_problems(self.features, gap=self.gap_feature)
        if problems:
            raise CorpusError(f"Events cannot be read like this: {'; '.join(problems)}.")
        if self.gaps is not None:
            TimeBins.parse(self.gaps)

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        return Columns(self.symbol, self.sequence, self.order, self.features)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return (*self.features, GAP) if self.gap_feature else tuple(self.features)

    def read(self, path: Path) -> Recording:
        """Read the file at `path` row by row; memory holds ids, not the text.

        Raises:
            CorpusError: It cannot be read like this; the message lists the problems, with their lines.
            MissingPackageError: It is Parquet, and pyarrow is not installed.
        """
        format, errors = self._format_of(path), RowErrors(str(path))
        builder = RecordingBuilder(
            str(path), errors, None if self.order is None else OrderColumn(self.time_format),
            has_sequences=self.sequence is not None or format == LINES, features=tuple(self.features.values()),
        )  # fmt: skip
        if format == PARQUET:
            found, sha256, notes = self._read_parquet(path, builder)
        else:
            found, sha256, notes = self._read_text(path, format, builder, errors)
        recording, values = builder.finish()
        recording = replace(recording, sha256=sha256, found=found, remarks=(*recording.remarks, *notes))
        if self.end is not None and self.end in recording.symbols:
            raise CorpusError(f"{path} has events called {self.end!r}, the end symbol. Choose another with --end.")
        recording = self._with_features(recording, values)
        return recording if self.gaps is None else TimeBins.parse(self.gaps).insert(recording)

    def _with_features(self, recording: Recording, values: Times) -> Recording:
        """Return `recording` with `values` of shape (N, F) as its features, and the gap if that is one."""
        if not self.feature_names:
            return recording
        if self.gap_feature and recording.times is not None:
            gaps = np.diff(recording.times, prepend=recording.times[:1])
            gaps[recording.starts[:-1]] = 0
            values = np.column_stack([values, gaps])
        features = FeatureColumns(self.feature_names, values.astype(np.float32), self.gap_feature)
        return replace(recording, features=features)

    def _format_of(self, path: Path) -> str:
        if self.format is not None:
            return self.format
        suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if suffix.lower() not in _SUFFIXES:
            raise CorpusError(
                f"The name of {path} does not tell its format. Name it: --format {', '.join(FORMATS[:-1])}, "
                "or lines for a sequence on each line."
            )
        return _SUFFIXES[suffix.lower()]

    def _read_text(
        self, path: Path, format: str, builder: RecordingBuilder, errors: RowErrors
    ) -> tuple[str, str, tuple[str, ...]]:
        """Add all rows of a text file to `builder`; return the format in words, the sha256, and remarks."""
        found, delimiter = format, self.delimiter or ("\t" if format == TSV else None)
        with open_text(path, self.encoding, "" if format in (CSV, TSV) else None) as (text, file):
            if format == JSON_LINES:
                rows = json_rows(text, self.columns, str(path), errors)
            elif format == LINES:
                rows = line_rows(text, delimiter)
            else:
                separator, rows = csv_rows(text, self.columns, str(path), errors, delimiter, self.header)
                found = f"{format}, separated by {separator!r}"
            for line, cells in rows:
                builder.add(line, cells)
            return found, file.sha256, file.remarks()

    def _read_parquet(self, path: Path, builder: RecordingBuilder) -> tuple[str, str, tuple[str, ...]]:
        try:
            before = path.stat()
            for line, cells in parquet_rows(path, self.columns, str(path)):
                builder.add(line, cells)
            sha256, after = digest(path), path.stat()
        except OSError as error:
            raise CorpusError(f"Cannot read {path}: {error.strerror or error}.") from error
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise CorpusError(f"{path} has changed while it was read. Wait until nothing writes to it.")
        return PARQUET, sha256, ()
