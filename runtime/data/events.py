"""How a file of events is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..common.arrays import Times
from ..common.errors import CorpusError
from .features import GAP, FeatureColumns, feature_problems
from .recording import Recording
from .recording_builder import OrderColumn, RecordingBuilder
from .tables import Columns, RowErrors, csv_rows, json_rows, line_rows, parquet_rows
from .text_file import digest, open_text
from .time_bins import TimeBins

CSV, TSV, JSON_LINES, PARQUET, LINES = "csv", "tsv", "jsonl", "parquet", "lines"
FORMATS = (CSV, TSV, JSON_LINES, PARQUET, LINES)
_SUFFIXES = {
    ".csv": CSV, ".tsv": TSV, ".tab": TSV, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES, ".json": JSON_LINES,
    ".parquet": PARQUET, ".pq": PARQUET, ".lines": LINES,
}  # fmt: skip


@dataclass(frozen=True)
class EventsReader:
    """How a file of events is read: what a person has said, so that another file can be read in the same way.

    Attributes:
        symbol: Column of the symbol; None: the only column there is.
        sequence: Column of what tells sequences apart, a case or a device; None: all is one sequence.
        order: Column of the time or number that orders the events of a sequence; None: as they stand in the file.
        format: One of `FORMATS`; "lines" is a sequence on each line, its symbols separated by blanks. None: as the name
            of the file says.
        delimiter: What separates columns, or the symbols of lines; None: it is found out.
        header: Whether the first line of CSV and TSV holds the names of the columns; without, they are "1", "2", ...
        encoding: Of text.
        time_format: Of the order column, as for `datetime.strptime`; None: numbers or ISO 8601.
        gaps: Limits of the gaps between events that become symbols, "1min,1h" for example; None: they do not.
        end: Symbol that stands before the first event of a sequence and behind its last; None: there is none.
        features: Name of a feature -> its column of numbers, which are read beside the symbol. None may be missing.
        gap_feature: The time since the event before it in its sequence is a feature too, called "gap": in seconds, or
            in the unit of the order column where that holds numbers; 0 at the first event.

    Raises:
        CorpusError: Values that do not go together; all of them are named.
    """

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
        if self.format == LINES and self._columns.asked:
            problems.append("lines have no columns")
        if (self.gaps is not None or self.gap_feature) and self.order is None:
            problems.append("gaps need a column of times, --order")
        problems += feature_problems(self.features, gap=self.gap_feature)
        if problems:
            raise CorpusError(f"Events cannot be read like this: {'; '.join(problems)}.")
        if self.gaps is not None:
            TimeBins.parse(self.gaps)

    def read(self, path: Path) -> Recording:
        """Read the file at `path`, line by line: what stays in memory are ids.

        Raises:
            CorpusError: It cannot be read like this; everything that is wrong is named, with the lines.
            MissingPackageError: It is Parquet, and pyarrow is not installed.
        """
        format, complaints = self._format_of(path), RowErrors(str(path))
        order = None if self.order is None else OrderColumn(self.time_format)
        in_sequences = self.sequence is not None or format == LINES
        columns = tuple(self.features.values())
        collector = RecordingBuilder(str(path), complaints, order, in_sequences=in_sequences, features=columns)
        read = self._read_parquet if format == PARQUET else self._read_text
        found, sha256, remarks = read(path, format, collector, complaints)
        recording, values = collector.finish()
        recording = replace(recording, sha256=sha256, found=found, remarks=(*recording.remarks, *remarks))
        if self.end is not None and self.end in recording.symbols:
            raise CorpusError(f"{path} has events called {self.end!r}, the end symbol. Call it otherwise with --end.")
        recording = self._with_numbers(recording, values)
        return recording if self.gaps is None else TimeBins.parse(self.gaps).insert(recording)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features that are read, in order."""
        return (*self.features, GAP) if self.gap_feature else tuple(self.features)

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, with their kind."""
        return {"kind": "events", **asdict(self)}

    def _with_numbers(self, recording: Recording, values: Times) -> Recording:
        """Return `recording` with its features, `values` of shape (N, F), and the gap where that is one."""
        if not self.feature_names:
            return recording
        if self.gap_feature and recording.when is not None:
            gaps = np.diff(recording.when, prepend=recording.when[:1])
            gaps[recording.starts[:-1]] = 0
            values = np.column_stack([values, gaps])
        return replace(
            recording, features=FeatureColumns(self.feature_names, values.astype(np.float32), self.gap_feature)
        )

    @property
    def _columns(self) -> Columns:
        return Columns(self.symbol, self.sequence, self.order, self.features)

    def _format_of(self, path: Path) -> str:
        if self.format is not None:
            return self.format
        suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
        if suffix.lower() not in _SUFFIXES:
            raise CorpusError(
                f"The name of {path} does not say what it is. Say it: --format {', '.join(FORMATS[:-1])}, "
                "or lines for a sequence on each line."
            )
        return _SUFFIXES[suffix.lower()]

    def _read_text(
        self, path: Path, format: str, collector: RecordingBuilder, complaints: RowErrors
    ) -> tuple[str, str, tuple[str, ...]]:
        """Give all events of a text file to `collector`; return what was found out, the sha256, and remarks."""
        found, delimiter = format, self.delimiter or ("\t" if format == TSV else None)
        with open_text(path, self.encoding, "" if format in (CSV, TSV) else None) as (text, file):
            if format == JSON_LINES:
                rows = json_rows(text, self._columns, str(path), complaints)
            elif format == LINES:
                rows = line_rows(text, delimiter)
            else:
                separator, rows = csv_rows(text, self._columns, str(path), complaints, delimiter, self.header)
                found = f"{format}, separated by {separator!r}"
            for row in rows:
                collector.add(*row)
            return found, file.sha256, file.remarks()

    def _read_parquet(
        self, path: Path, format: str, collector: RecordingBuilder, complaints: RowErrors
    ) -> tuple[str, str, tuple[str, ...]]:
        try:
            before = path.stat()
            for row in parquet_rows(path, self._columns, str(path)):
                collector.add(*row)
            sha256, after = digest(path), path.stat()
        except OSError as error:
            raise CorpusError(f"Cannot read {path}: {error.strerror or error}.") from error
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise CorpusError(f"{path} has changed while it was read. Wait until nothing writes to it.")
        return format, sha256, ()
