"""Labelled events: the label of each row of recorded sequences, at each step and at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.common.errors import CorpusError
from ...runtime.data import MAX_SYMBOLS, Corpus, EventsReader, HeldOut, Inherited, Recording
from ...runtime.evaluation.target_rows import labelled, read_label_rows
from ...runtime.format.vocabulary import Vocabulary
from .events import Events
from .problem import Streams
from .recorded import EarlierData

_MOST_LABELS = 1_000  # a column of more holds no labels


@dataclass(frozen=True, eq=False)
class LabelledCorpus(Corpus):
    """Recorded sequences whose targets are labels, split for training and evaluation.

    Attributes:
        column: The column of the labels.
        labels: All labels.
    """

    column: str = ""
    labels: Vocabulary | None = None

    @property
    def answers(self) -> Vocabulary:
        """The labels."""
        assert self.labels is not None
        return self.labels

    def to_json(self) -> dict[str, Any]:
        """See `Corpus.to_json`; "targets" are the columns of the right answers, as `stepcell evaluate` reads them."""
        return {**super().to_json(), "targets": [self.column]}


def _vocabulary(tables: Sequence[Recording], column: str, least: int) -> Vocabulary:
    """Return all labels, at least `least`.

    Raises:
        CorpusError: There is one alone, or too many to be labels.
    """
    labels = sorted({symbol for table in tables for symbol in table.symbols})
    if not least <= len(labels) <= _MOST_LABELS:
        found = f"the one label {labels[0]!r}" if len(labels) == 1 else f"{len(labels):,} different labels"
        raise CorpusError(
            f"The column {column!r} of {tables[0].source} has {found}; 2 to {_MOST_LABELS:,} can be learned. Name the "
            "column of the labels: --label COLUMN."
        )
    return Vocabulary(tuple(labels))


@dataclass(frozen=True)
class LabelledEvents(Events):
    """Recorded sequences of events, of which each event is to be answered with its label.

    The label of a sequence stands in each of its rows: so the model is judged at each step and at the end.
    """

    @classmethod
    def from_labelled_file(
        cls, path: Path, reader: EventsReader, label: str, *, split: HeldOut | None = None, min_count: int = 1,
        max_symbols: int = MAX_SYMBOLS, class_balance: float = 0.0, symbol_weights: Mapping[str, float] | None = None,
        held_out_file: Path | None = None, inherited: Inherited | None = None, sequence_weights: bool = False,
    ) -> LabelledEvents:  # fmt: skip
        """Read the file at `path`; see `Events.from_file`.

        Args:
            path: CSV, TSV, JSON lines or Parquet.
            reader: The reader, with the names of the columns; without an end symbol and without gaps.
            label: The column of the labels.
            split: The part to hold out; None: a tenth.
            min_count: A symbol that is learned from less often is unknown.
            max_symbols: There may not be more.
            class_balance: As of `Events`, by label.
            symbol_weights: Label -> factor of its weight in training.
            held_out_file: File to evaluate on in place of a part; None: there is none.
            inherited: What comes from an earlier training; None: nothing.
            sequence_weights: As of `Events`.

        Raises:
            CorpusError: It cannot be read, rows lack something, or nothing can be learned from it.
            MissingPackageError: It is Parquet, and pyarrow is not installed.
            ProblemError: Weights that make no sense.
        """
        if reader.end:
            raise CorpusError("Labels belong to the rows of the table: leave out --end.")
        files = [path] if held_out_file is None else [path, held_out_file]
        pairs = [read_label_rows(file, reader, label, "--label") for file in files]
        labels = _vocabulary([right for _, right in pairs], label, 2 if inherited is None else 1)
        labels = labels if inherited is None else inherited.labels_of(labels, str(path))
        rows = [labelled(one, labels.encode_all(right.symbols)[right.ids], reader) for one, right in pairs]
        limits: dict[str, Any] = {
            "min_count": min_count, "max_symbols": max_symbols, "reader": reader, "inherited": inherited,
        }  # fmt: skip
        corpus = Corpus.of_parts(*rows, **limits) if held_out_file else Corpus.of(*rows, split=split, **limits)
        values = {each.name: getattr(corpus, each.name) for each in fields(Corpus)}
        corpus = LabelledCorpus(**values, column=label, labels=labels)
        return cls(corpus, class_balance, symbol_weights or {}, sequence_weights)

    def of_earlier(self, path: Path, earlier: EarlierData) -> LabelledEvents:
        """See `RecordedProblem.of_earlier`."""
        assert isinstance(earlier.reader, EventsReader)
        return type(self).from_labelled_file(
            path,
            earlier.reader,
            earlier.targets[0],
            split=earlier.split,
            held_out_file=earlier.held_out_file,
            inherited=self.inherited,
        )

    @property
    def labels(self) -> Vocabulary:
        """See `Problem.labels`."""
        return self.corpus.answers

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`; with several sequences also their last rows alone."""
        streams = super().evaluations(seed)
        if "per_sequence" in streams:
            streams["at_end"] = _at_end(streams["per_sequence"])
        return streams


def _at_end(streams: Streams) -> Streams:
    """Return the same streams, of which only the last answer of each sequence counts."""
    is_last = np.ones(streams.resets.shape, bool)
    is_last[:-1] = streams.resets[1:] | (streams.weights[1:] == 0)
    return replace(streams, weights=np.where(is_last, streams.weights, np.float32(0)))
