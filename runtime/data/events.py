"""Read files of events: CSV, TSV, JSON lines, Parquet, or a sequence on each line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..common.arrays import Times
from ..common.errors import CorpusError
from .columns import GAP, Columns, feature_problems
from .csv_table import csv_rows
from .event_row import RowParser
from .features import FeatureColumns
from .parquet_table import parquet_rows
from .recording import Reader, Recording
from .recording_builder import RecordingBuilder
from .row_errors import RowErrors
from .storage import blocks, new_array, release
from .tables import json_rows, line_rows
from .templates import ANY, TemplateMiner, template_matcher
from .text_file import digest, open_text
from .time_bins import TimeBins
from .time_format import format_problems
from .timestamps import TIME_UNITS, UNSTATED, TimeReader, guess_unit

CSV, TSV, JSON_LINES, PARQUET, LINES = "csv", "tsv", "jsonl", "parquet", "lines"
FORMATS = (CSV, TSV, JSON_LINES, PARQUET, LINES)
_SUFFIXES = {
    ".csv": CSV, ".tsv": TSV, ".tab": TSV, ".jsonl": JSON_LINES, ".ndjson": JSON_LINES, ".json": JSON_LINES,
    ".parquet": PARQUET, ".pq": PARQUET, ".lines": LINES,
}  # fmt: skip


_TEXTS = (
    "sequence", "order", "format", "delimiter", "encoding", "time_format", "gaps", "end", "join", "time_unit",
    "time_zone",
)  # fmt: skip


@dataclass(frozen=True)
class EventsReader(Reader):
    """Read files of events, all in the same way. Model files record these values.

    Attributes:
        symbol: Column of the symbol, or several columns whose values are joined to one symbol; None: the only column of
            the table; (): rows have no symbol, only features.
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
        gap_feature: Whether the time since the previous event of the sequence is a feature too, called "gap", in
            seconds; 0 at the first event.
        join: Text between the values of several columns of the symbol.
        time_unit: Unit of an order column of numbers, one of `TIME_UNITS`; None: they have none, so that gaps have no
            unit either. "unstated": numbers are seconds, as in models of earlier versions.
        time_zone: Zone of times without a zone, like "Europe/Berlin"; None: UTC.
        bad_lines: "stop": a row that cannot be read refuses the file; "skip": it is left out, and that is said.
        templates: The column of the symbol has raw messages of a log, and their symbol is the one of these that fits,
            see `TemplateMatcher`; (): symbols are taken as they are.

    Raises:
        CorpusError: Values that do not go together; the message names all of them.
    """

    kind = "events"
    symbol: str | tuple[str, ...] | None = None
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
    join: str = "="
    time_unit: str | None = None
    time_zone: str | None = None
    bad_lines: str = "stop"
    templates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        for name in _TEXTS:
            if not isinstance(getattr(self, name), (str, type(None))):
                raise TypeError(f"{name} is {getattr(self, name)!r}")
        if isinstance(self.symbol, (list, tuple)):  # a list in JSON
            if not all(isinstance(name, str) for name in self.symbol):
                raise TypeError(f"symbol is {self.symbol!r}")
            object.__setattr__(self, "symbol", self.symbol[0] if len(self.symbol) == 1 else tuple(self.symbol))
        object.__setattr__(self, "templates", tuple(self.templates))
        if self.templates and len(self.columns.symbols) > 1:
            problems.append("templates are of one column of messages, not of several")
        if len(set(self.columns.symbols)) < len(self.columns.symbols):
            problems.append(f"--symbol names {', '.join(map(repr, self.columns.symbols))}; give each column once")
        if not self.join:
            problems.append("--join is empty; values could not be told apart")
        if self.time_unit not in (None, UNSTATED, *TIME_UNITS):
            problems.append(f"the time unit is {self.time_unit!r}, not one of {', '.join(TIME_UNITS)}")
        if self.time_unit not in (None, UNSTATED) and self.time_format is not None:
            problems.append("--time-unit is for numbers, --time-format for times; give one of them")
        if self.order is None and (self.time_zone is not None or self.time_unit not in (None, UNSTATED)):
            problems.append("--time-unit and --time-zone need a column of times, --order")
        problems += [] if self.time_format is None else format_problems(self.time_format)
        if self.bad_lines not in ("stop", "skip"):
            problems.append(f"bad lines are to {self.bad_lines!r}, not to stop or skip")
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

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object, with their kind; without templates if there are none."""
        values = super().to_json()
        return values if self.templates else {name: value for name, value in values.items() if name != "templates"}

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        return Columns(self.symbol, self.sequence, self.order, self.features, self.join)

    def new_time_reader(self) -> TimeReader | None:
        """Return a reader of the order column; None: there is no such column.

        Raises:
            CorpusError: There is no such time zone.
        """
        return None if self.order is None else TimeReader(self.time_format, self.time_unit, self.time_zone)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return (*self.features, GAP) if self.gap_feature else tuple(self.features)

    def with_templates(self, path: Path) -> EventsReader:
        """Return this reader with the templates of the messages in its symbol column, from one pass over a file.

        Templates that it has stay, and only messages that none of them fits make new ones.

        Raises:
            CorpusError: As `read` raises it, or there are too many templates.
        """
        miner, known, match = TemplateMiner(), set(self.templates), template_matcher(self.templates)

        def template_of(message: str) -> str:
            if match is None or match(message) not in known:
                miner.add(message)
            return ANY

        replace(self, templates=(), gaps=None, end=None)._read(path, template_of)
        return replace(self, templates=tuple(dict.fromkeys((*self.templates, *miner.templates))))

    def read(self, path: Path) -> Recording:
        """Read the file at `path` row by row; memory holds ids, not the text.

        Raises:
            CorpusError: It cannot be read like this; the message lists the problems, with their lines.
            MissingPackageError: It is Parquet, and pyarrow is not installed.
        """
        return self._read(path, template_matcher(self.templates))

    def _read(self, path: Path, template_of: Callable[[str], str] | None) -> Recording:
        format, errors = self._format_of(path), RowErrors(str(path), skip=self.bad_lines == "skip")
        columns = self.columns if format != LINES else Columns(None, "line")
        parser = RowParser(columns, self.new_time_reader(), template_of)
        builder = RecordingBuilder(str(path), errors, parser, lines=format == LINES, end=self.end)
        if format == PARQUET:
            found, sha256, notes = self._read_parquet(path, builder)
        else:
            found, sha256, notes = self._read_text(path, format, builder, errors)
        recording, values = builder.finish()
        recording = replace(recording, sha256=sha256, found=found, remarks=(*recording.remarks, *notes))
        if self.end is not None and self.end in recording.symbols:
            raise CorpusError(f"{path} has events called {self.end!r}, the end symbol. Choose another with --end.")
        if parser.times is not None and parser.times.are_numbers_without_unit and recording.times is not None:
            self._check_unit(recording)
        recording = self._with_features(recording, values)
        return recording if self.gaps is None else TimeBins.parse(self.gaps).insert(recording)

    def _with_features(self, recording: Recording, values: Times) -> Recording:
        """Return `recording` with `values` of shape (N, F) as its features, and the gap if that is one."""
        if not self.feature_names:
            return recording
        gaps = recording.gaps if self.gap_feature else None
        numbers = new_array((len(values), len(self.feature_names)), np.float32)
        for block in blocks(len(numbers)):
            numbers[block, : values.shape[1]] = values[block]
            if gaps is not None:
                numbers[block, -1] = gaps[block]
            release(numbers, values, gaps)
        features = FeatureColumns(self.feature_names, numbers, self.gap_feature)
        return replace(recording, features=features)

    def _check_unit(self, recording: Recording) -> None:
        """Refuse gaps in a unit of time if the numbers of the order column have none."""
        asked = ["--gap-feature, which is in seconds,"] if self.gap_feature else []
        if self.gaps is not None and TimeBins.parse(self.gaps).have_unit:
            asked.append(f"--gaps {self.gaps}")
        if asked and recording.times is not None:
            raise CorpusError(
                f"{' and '.join(asked)} {'need' if len(asked) > 1 else 'needs'} the unit of the numbers in the "
                f"column {self.order!r} of {recording.source}, for example {recording.times[0]}: "
                f"{guess_unit(recording.times)}."
            )

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
                separator, rows = csv_rows(
                    text, self.columns, str(path), errors, delimiter, self.header, self.new_time_reader()
                )
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
