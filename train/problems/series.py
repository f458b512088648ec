"""Series of values: forecast the value of a later row, or compute that of the row from the others (regression)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...runtime.common.errors import CorpusError
from ...runtime.data import Corpus, EventsReader, FeatureColumns, FeatureStats, HeldOut, Inherited, Recording
from ...runtime.evaluation.target_rows import read_value_rows
from ..network.values import LOSSES, ValueScaling
from .recorded import EarlierData, RecordedProblem
from .series_report import SeriesReport

_SHORTEST = 64  # rows


@dataclass(frozen=True, eq=False)
class ValueCorpus(Corpus):
    """Recorded rows of numbers whose targets are values, split for training and evaluation.

    Attributes:
        columns: The columns of the values.
        ahead: How many rows ahead of its row a value is; 0: in its row.
        loss: One of `LOSSES`.
        inherited_scaling: The scale of an earlier training; None: that of these data.
    """

    columns: tuple[str, ...] = ()
    ahead: int = 1
    loss: str = "mse"
    inherited_scaling: ValueScaling | None = None

    @cached_property
    def scaling(self) -> ValueScaling:
        """The scale of the values: of its changes, where these spread less than the value and the network reads it.

        Raises:
            CorpusError: A value is constant, or so far from 0 that float32 cannot tell its numbers apart.
        """
        if self.inherited_scaling is not None:
            return replace(self.inherited_scaling, loss=self.loss)
        targets = self.encoded_train.targets
        of_values = FeatureColumns(self.columns, targets).stats()
        if not self.ahead:
            return _scaling(of_values, (), self.loss)
        reader, features = self.reader, self.encoded_train.features
        assert isinstance(reader, EventsReader)
        assert features is not None
        indices = [list(reader.features.values()).index(column) for column in self.columns]
        changes = targets.astype(np.float64) - features.values[:, indices]
        stats, bases = [], []
        for column, index, change, of_value in zip(self.columns, indices, changes.T, of_values, strict=True):
            is_slow = 0 < change.var() < of_value.variance
            stats.append(FeatureStats(column, float(change.mean()), float(change.var())) if is_slow else of_value)
            bases.append(index if is_slow else -1)
        return _scaling(stats, tuple(bases) if max(bases) >= 0 else (), self.loss)

    def to_json(self) -> dict[str, Any]:
        """See `Corpus.to_json`; with the columns of the right answers, as `stepcell evaluate` reads them."""
        return {**super().to_json(), "targets": list(self.columns), "ahead": self.ahead}


@dataclass(frozen=True)
class Series(RecordedProblem):
    """Recorded series of numbers. After each row the values of a later row are answered, or those of the row.

    Raises:
        CorpusError: There is too little to learn from, or a column says nothing.
    """

    name = "series"

    corpus: ValueCorpus
    max_batch_rows = 32
    learning_rate: ClassVar[Mapping[str, float]] = {"lstm": 0.01, "gru": 0.01, "rnn": 0.005}
    epochs, min_updates, evaluation_count = 40, 1_000, 20

    def __post_init__(self) -> None:
        """Check that there is something to learn."""
        self.check()

    @classmethod
    def from_file(
        cls, path: Path, reader: EventsReader, values: Sequence[str], *, ahead: int = 1, loss: str = "mse",
        split: HeldOut | None = None, held_out_file: Path | None = None, inherited: Inherited | None = None,
        scaling: ValueScaling | None = None,
    ) -> Series:  # fmt: skip
        """Read the file at `path`.

        Args:
            path: CSV, TSV, JSON lines or Parquet.
            reader: The reader, with the names of the features; without symbols. To forecast, the columns of the values
                are features too.
            values: Columns of the values.
            ahead: Forecast the values so many rows later in their sequence; 0: the values of the row.
            loss: One of `LOSSES`: "mse", "mae" or "huber".
            split: The part to hold out; None: a tenth.
            held_out_file: File to evaluate on in place of a part; None: there is none.
            inherited: What comes from an earlier training; None: nothing.
            scaling: The scale of its values; None: that of these data.

        Raises:
            CorpusError: It cannot be read, rows lack something, or nothing can be learned from it.
            MissingPackageError: It is Parquet, and pyarrow is not installed.
        """
        _check_columns(reader, values, ahead, loss)
        files = [path] if held_out_file is None else [path, held_out_file]
        columns = list(reader.features.values())
        parts = [_named(read_value_rows(file, reader, columns, values, ahead, "--value"), reader) for file in files]
        given: dict[str, Any] = {"reader": reader, "inherited": inherited}
        corpus = Corpus.of_parts(*parts, **given) if held_out_file else Corpus.of(*parts, **given, split=split)
        found = {each.name: getattr(corpus, each.name) for each in fields(Corpus)}
        return cls(ValueCorpus(**found, columns=tuple(values), ahead=ahead, loss=loss, inherited_scaling=scaling))

    def of_earlier(self, path: Path, earlier: EarlierData) -> Series:
        """See `RecordedProblem.of_earlier`."""
        assert isinstance(earlier.reader, EventsReader)
        corpus = self.corpus
        return type(self).from_file(
            path, earlier.reader, earlier.targets, ahead=corpus.ahead, loss=corpus.loss, split=earlier.split,
            held_out_file=earlier.held_out_file, inherited=self.inherited, scaling=corpus.inherited_scaling,
        )  # fmt: skip

    @property
    def data(self) -> SeriesReport:
        """See `Problem.data`."""
        return SeriesReport(self.corpus, self.corpus.scaling, self.corpus.ahead)

    def is_solved(self, scores: Mapping[str, Any]) -> bool:
        """See `Problem.is_solved`: values never are."""
        return False

    def check(self) -> None:
        """Check that something can be learned.

        Raises:
            CorpusError: There are too few rows, or a column says nothing.
        """
        corpus = self.corpus
        source, together = corpus.train.source, len(corpus.train.ids) + len(corpus.held_out.ids)
        if together < _SHORTEST:
            raise CorpusError(
                f"{source} has {together} rows with a right answer; at least {_SHORTEST} are needed to learn from some "
                "and judge by others."
            )
        if len(corpus.train.ids) < _SHORTEST // 2:
            raise CorpusError(f"Only {len(corpus.train.ids)} rows are left to learn from; hold out less.")
        _ = corpus.feature_stats, corpus.scaling  # raise where columns say nothing

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {**super().to_json(), "loss": self.corpus.loss}


def _check_columns(reader: EventsReader, values: Sequence[str], ahead: int, loss: str) -> None:
    problems = []
    if not values:
        problems.append("no column of values is named: --value COLUMN")
    if len(set(values)) < len(values):
        problems.append("a column of values is named twice (--value)")
    if ahead < 0:
        problems.append(f"--ahead is {ahead}: give 1 or more rows, or 0 for the value of the row itself")
    if loss not in LOSSES:
        problems.append(f"the loss is {loss!r}, not one of {', '.join(LOSSES)}")
    if not ahead and not reader.features:
        problems.append(
            "with --ahead 0 the value of a row is computed from its other columns: name them, --feature COLUMN"
        )
    if not ahead and (read := sorted(set(values) & set(reader.features.values()))):
        problems.append(
            f"with --ahead 0 {', '.join(map(repr, read))} would be read and answered in one row: leave it out of "
            "--feature, or forecast it with --ahead 1"
        )
    if problems:
        raise CorpusError(f"This series cannot be learned: {'; '.join(problems)}.")


def _scaling(stats: Sequence[FeatureStats], bases: tuple[int, ...], loss: str) -> ValueScaling:
    names, means, variances = zip(*((each.name, each.mean, each.variance) for each in stats), strict=True)
    return ValueScaling(names, means, variances, bases, loss)


def _named(rows: Recording, reader: EventsReader) -> Recording:
    """Return rows with the names of the reader's features."""
    assert rows.features is not None
    return replace(rows, features=replace(rows.features, names=tuple(reader.features)))
