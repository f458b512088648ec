"""The data of an evaluation of labels or values: rows with the right answer of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..common.arrays import AnyArray, Flags, Floats, Ids, Indices
from ..common.errors import CorpusError
from ..data import EventsReader, HeldOut, Recording, TimeBins
from ..data.columns import GAP, feature_name
from ..data.learned import LearnedData, without_learned
from ..format.manifest import Manifest
from ..format.tensor_specs import Feature, Inputs
from .dataset import data_of
from .target_rows import labelled, read_label_rows, read_value_rows

_SHOWN = 10  # labels in a message
_NOT_OF_ROWS = ("end", "unit", "features")
_NOT_OF_VALUES = ("gaps", "gap_feature")


@dataclass(frozen=True, eq=False)
class TargetData:
    """S sequences of N rows, each with the right answer.

    Attributes:
        inputs: The inputs of all rows.
        targets: int32 of shape (N,), ids of labels; or float64 of shape (N, K), values.
        starts: Index of the first row of each sequence, and N; int64 of shape (S + 1,).
        names: The labels by id; or the columns of the values.
        columns: The columns of the right answers.
        train: Targets of the training data, of which baselines are made; None: not known.
        notes: The origin of the data, in words.
        ahead: How many rows ahead of its row a value is; 0: in its row.
        behind_event: Whether each row is the gap that is fed behind the event of the row before it, bool of shape (N,);
            None: there are no gaps. The answer to an event is that behind its gap.
    """

    inputs: Inputs
    targets: AnyArray
    starts: Indices
    names: tuple[str, ...]
    columns: tuple[str, ...]
    train: AnyArray | None
    notes: tuple[str, ...]
    ahead: int = 0
    behind_event: AnyArray | None = None

    @property
    def counts(self) -> AnyArray:
        """Whether the answer to each row counts: not that to an event whose gap follows; bool of shape (N,)."""
        if self.behind_event is None:
            return np.ones(len(self.inputs), bool)
        return np.append(~self.behind_event[1:], True)

    @property
    def positions(self) -> Indices:
        """Position of each row in its sequence, from 1, int64 of shape (N,)."""
        return np.arange(1, self.starts[-1] + 1) - np.repeat(self.starts[:-1], np.diff(self.starts))

    def select(self, which: Flags) -> TargetData:
        """Return the rows for which `which`, bool of shape (N,), is true, in the same sequences; all of them count."""
        counts = np.concatenate([[0], np.cumsum(which)]).astype(np.int64)
        behind = None if self.behind_event is None else np.zeros(int(which.sum()), bool)
        return replace(
            self,
            inputs=self.inputs[which],
            targets=self.targets[which],
            starts=counts[self.starts],
            behind_event=behind,
        )

    @property
    def sequence_numbers(self) -> list[int] | None:
        """The number of the sequence of each row, from 1; None: there is only one."""
        numbers = np.repeat(np.arange(1, len(self.starts)), np.diff(self.starts))
        return numbers.tolist() if len(self.starts) > 2 else None


def has_targets(manifest: Manifest) -> bool:
    """Return whether a model answers with labels or values, so that data need a column of right answers."""
    return manifest.output == "linear" or manifest.labels is not None


def label_names(manifest: Manifest) -> tuple[str, ...]:
    """Return the labels that a model distinguishes: two for one sigmoid unit, "0" and "1" if it names only one."""
    labels = manifest.output_vocabulary.symbols
    return ("0", "1") if len(labels) == 1 else tuple(labels)


def read_target_data(
    manifest: Manifest, data: Path, targets: Sequence[str], features: Sequence[str] = (),
    baseline_from: Path | None = None, *, held_out: float | None = None, options: Mapping[str, Any] | None = None,
) -> TargetData:  # fmt: skip
    """Read rows with the right answer of each, for a model of labels or values.

    Args:
        manifest: Manifest of the model.
        data: A table: CSV, TSV, JSON lines or Parquet.
        targets: The column of the labels; or a column for each of the K values. None: as in training.
        features: NAME=COLUMN for each number that the model reads, repeated in order for a feature of several numbers;
            a feature that is not named is in the column of its name.
        baseline_from: File of which baselines are made, of the training file the part that was learned from; or the run
            folder, which names it.
        held_out: Fraction of `data` to evaluate on, baselines are made of the rest; None: the part that training held
            out of its file, all of another one.
        options: Attributes of `EventsReader`: "symbol", "sequence", "order" and the format.

    Raises:
        CorpusError: The data cannot be read, or lack what the model reads; the message names all of it.
    """
    trained = manifest.training.get("data")
    trained = trained if isinstance(trained, Mapping) else {}
    targets = tuple(targets or manifest.trained_data.targets)
    table = _Table.of(manifest, targets, features, options or {})
    rows = table.read(data)
    notes = [f"{data}: {rows.found}" if rows.found else str(data), *rows.remarks]
    if table.ahead:
        notes.append(f"the right answer to a row is the value of {', '.join(targets)} {_rows(table.ahead)} later")
    split = trained.get("held_out")
    is_training_file = bool(rows.sha256) and rows.sha256 == trained.get("sha256")
    as_trained = is_training_file and bool(split) and held_out is None
    train = None
    if as_trained or (held_out is not None and baseline_from is None):
        parts = HeldOut.from_json(split, **({} if held_out is None else {"share": held_out}))
        train, rows = parts.split(rows)
        notes.append(
            f"{data} is the training file; evaluated on the part that was held out then" if as_trained
            else f"evaluated on a part of {data} that is held out here ({held_out:g}); baselines are made of the rest"
        )  # fmt: skip
    if not is_training_file:
        rows, _, note = without_learned(LearnedData.from_json(trained.get("learned")), rows)
        notes += [f"{data}: {note}"] if note else []
    if is_training_file and not as_trained:
        notes.append("the model has seen that file in training: these are no figures for new data")
    if baseline_from is not None:
        source = data_of(baseline_from)
        train, part = table.read(source), ""
        if split and train.sha256 and train.sha256 == trained.get("sha256"):
            train, part = HeldOut.from_json(split).split(train)[0], ", the part that the network learned from"
        notes.append(f"baselines are made of {source}{part}")
    unknown = table.count_unknown(rows)
    notes += [f"{unknown:,} of its {len(rows.ids):,} symbols are unknown to the model"] if unknown else []
    if train is None:
        notes.append("baselines are made of the same data, which favours them: name others with --baseline-from FILE")
    learned = None if train is None else table.targets_of(train)
    if learned is not None and train is not None and (gaps := table.gaps_in(train)) is not None:
        learned = learned[~gaps]
    return TargetData(
        table.inputs_of(rows), table.targets_of(rows), rows.starts, table.names, targets, learned, tuple(notes),
        table.ahead, table.gaps_in(rows),
    )  # fmt: skip


@dataclass(frozen=True)
class _Table:
    """The columns of a table that a model reads, and those of the right answers.

    Attributes:
        manifest: Manifest of the model.
        targets: Columns of the right answers.
        columns: Name of a feature -> its columns.
        options: Attributes of `EventsReader`.
        ahead: See `TargetData`.
    """

    manifest: Manifest
    targets: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Any]
    ahead: int

    @classmethod
    def of(
        cls, manifest: Manifest, targets: tuple[str, ...], features: Sequence[str], options: Mapping[str, Any],
    ) -> _Table:  # fmt: skip
        """Check that every input and output of the model has its columns.

        Raises:
            CorpusError: One has none, or too many; the message names all of them and what to type.
        """
        trained = manifest.trained_data
        reading = trained.reading if trained.kind == EventsReader.kind else {}
        given: dict[str, tuple[str, ...]] = {}
        for name, equals, column in (option.partition("=") for option in features):
            key = name if equals else feature_name(name)
            given[key] = (*given.get(key, ()), column if equals else name)
        recorded_features = reading.get("features")
        recorded_features = recorded_features if isinstance(recorded_features, Mapping) else {}
        values = {**reading, **options}
        gap = values.get("gap_feature") is True and manifest.output != "linear"  # computed, and in no column
        columns = {
            f.name: given.get(f.name) or (recorded_features.get(f.name, f.name),)
            for f in manifest.features if not (gap and f.name == GAP)
        }  # fmt: skip
        unfit = (*_NOT_OF_ROWS, *(_NOT_OF_VALUES if manifest.output == "linear" else ()))
        known = {each.name for each in fields(EventsReader)} - {*unfit}
        problems = [f"--{name} does not apply to rows with a right answer" for name in options if name not in known]
        problems += [f"there is no feature {name}" for name in given if name not in columns]
        for feature in (each for each in manifest.features if each.name in columns):
            found, count = columns[feature.name], int(np.prod(feature.shape, dtype=np.int64))
            if len(found) != count:
                problems.append(
                    f"{feature.describe()} takes {count} columns, named: {len(found)}; repeat --feature "
                    f"{feature.name}=COLUMN in order"
                )
        if len(manifest.vocabulary) and values.get("symbol") is None:
            problems.append("no column is named for the symbol: --symbol COLUMN")
        wanted = manifest.output_size if manifest.output == "linear" else 1
        what = "values" if manifest.output == "linear" else "labels"
        if len(targets) != wanted:
            named = f"named: {len(targets)}" if targets else "none is named"
            problems.append(
                f"the right {what} take {wanted} column{'s' * (wanted > 1)}, {named}: --target COLUMN"
                f"{', repeated in order' * (wanted > 1)}"
            )
        if problems:
            described = ", ".join(feature.describe() for feature in manifest.features) or "symbols alone"
            raise CorpusError(f"{manifest.name} reads {described} and answers with {what}: {'; '.join(problems)}.")
        values["symbol"] = values.get("symbol") if len(manifest.vocabulary) else ()
        options = {name: values[name] for name in known if name in values}
        return cls(manifest, targets, columns, options, trained.ahead if manifest.output == "linear" else 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels by id, or the columns of the values."""
        return self.targets if self.manifest.output == "linear" else label_names(self.manifest)

    def read(self, path: Path) -> Recording:
        """Return the rows as the model reads them, with the right answers as their targets, ids of labels or values.

        Raises:
            CorpusError: The file cannot be read, or rows lack something.
        """
        reader, columns = self._reader(), list(dict.fromkeys(sum(self.columns.values(), ())))
        if self.manifest.output == "linear":
            return read_value_rows(path, reader, columns, self.targets, self.ahead, "--target")
        reader = replace(reader, features={f"x{index}": column for index, column in enumerate(columns)})
        rows, right = read_label_rows(path, reader, self.targets[0], "--target")
        return labelled(rows, self._label_ids(right), reader)

    def _reader(self) -> EventsReader:
        try:
            return EventsReader(**self.options)
        except (TypeError, AttributeError) as error:
            raise CorpusError(
                f"The training data of {self.manifest.name} are described in a way that this stepcell does not "
                f"understand ({error}). Name the columns: --symbol, --sequence, --order, --feature."
            ) from error

    def count_unknown(self, rows: Recording) -> int:
        """Return how many symbols are not in the vocabulary."""
        counts, vocabulary = rows.counts().tolist(), self.manifest.vocabulary
        pairs = zip(rows.symbols, counts, strict=True) if len(vocabulary) else ()
        return sum(count for symbol, count in pairs if symbol not in vocabulary)

    def inputs_of(self, rows: Recording) -> Inputs:
        """Return what the model reads."""
        vocabulary = self.manifest.vocabulary
        ids: Ids = np.zeros(len(rows.ids), np.int32)
        if len(vocabulary):
            unknown = [symbol for symbol in rows.symbols if symbol not in vocabulary]
            if unknown and vocabulary.unknown is None:
                raise CorpusError(
                    f"{self.manifest.name} does not know {_named(unknown)} of {rows.source}. It knows "
                    f"{vocabulary.describe()}."
                )
            ids = vocabulary.encode_all(rows.symbols)[rows.ids]
        columns = [*dict.fromkeys(sum(self.columns.values(), ())), GAP]
        values = np.zeros((len(rows.ids), 0), np.float32) if rows.features is None else rows.features.values
        features = {
            feature.name: _shaped(
                feature, values[:, [columns.index(c) for c in self.columns.get(feature.name, (GAP,))]], rows
            )
            for feature in self.manifest.features
        }
        return Inputs(ids, features)

    def gaps_in(self, rows: Recording) -> Flags | None:
        """Return which of the rows are gaps; None: the model reads none."""
        limits = self.options.get("gaps")
        return np.isin(rows.ids, TimeBins.parse(limits).ids_in(rows.symbols)) if limits else None

    def targets_of(self, rows: Recording) -> AnyArray:
        """Return the right answers, as in `TargetData.targets`."""
        assert rows.targets is not None
        return rows.targets.astype(np.float64 if self.manifest.output == "linear" else np.int32)

    def _label_ids(self, right: Recording) -> Ids:
        labels = {name: index for index, name in enumerate(self.names)}
        unknown = [symbol for symbol in right.symbols if symbol not in labels]
        if unknown:
            raise CorpusError(
                f"The column {self.targets[0]!r} of {right.source} has {_named(unknown)}, which "
                f"{self.manifest.name} does not answer. Its labels: {_named(self.names)}."
            )
        ids: Ids = np.array([labels[symbol] for symbol in right.symbols], np.int32)[right.ids]
        return ids


def _shaped(feature: Feature, values: Floats, rows: Recording) -> AnyArray:
    """Return columns of numbers, (N, C), as the feature: of its shape, or ids."""
    if feature.ids is None:
        return values.reshape((len(values), *feature.shape)).astype(np.float32)
    ids = values[:, 0]
    wrong = np.flatnonzero((ids != np.round(ids)) | (ids < 0) | (ids >= feature.ids))
    if len(wrong):
        raise CorpusError(
            f"{rows.source}: {feature.name} is {ids[wrong[0]]:g} where an id of 0 to {feature.ids - 1} is expected."
        )
    return ids.astype(np.int32)


def _named(symbols: Sequence[str]) -> str:
    return ", ".join(map(repr, symbols[:_SHOWN])) + (", ..." if len(symbols) > _SHOWN else "")


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
