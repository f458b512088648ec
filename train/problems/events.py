"""The events problem: the next event of recorded sequences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...runtime.common.arrays import Float32
from ...runtime.common.errors import raise_if_any
from ...runtime.data import MAX_SYMBOLS, Corpus, EventsReader, HeldOut, Inherited, Recording
from ...runtime.data.recording import counted
from .recorded import EarlierData, RecordedProblem

_END = "<end>"


@dataclass(frozen=True)
class Events(RecordedProblem):
    """Recorded sequences of events, each event to be predicted from all before it in its sequence.

    Attributes:
        class_balance: How far rare events are to weigh more while they are learned: an event that occurs n times weighs
            in proportion to n to the power of -class_balance. 0: all the same; 1: every kind of event weighs the same.
        symbol_weights: Event -> factor of its weight in training.
        sequence_weights: Each sequence is to weigh the same while it is learned, whatever its length; else each event.

    Raises:
        CorpusError: There is too little to learn from, or always the same.
        ProblemError: Weights that make no sense; all of them are named.
    """

    name = "events"

    max_batch_rows = 32
    learning_rate: ClassVar[Mapping[str, float]] = {"lstm": 0.01, "gru": 0.01, "rnn": 0.005}
    epochs, min_updates, evaluation_count = 40, 1_000, 20
    class_balance: float = 0.0
    symbol_weights: Mapping[str, float] = field(default_factory=dict)
    sequence_weights: bool = False

    def __post_init__(self) -> None:
        """Check the weights, and that there is something to learn."""
        problems = []
        if not 0 <= self.class_balance <= 1:
            problems.append(f"class_balance is {self.class_balance}, it must be from 0 to 1")
        for symbol, factor in self.symbol_weights.items():
            if symbol not in self.corpus.answers:
                problems.append(
                    f"{symbol!r} is to weigh {factor:g} and is not known ({self.corpus.answers.describe()})"
                )
            if not 0 <= factor < math.inf:
                problems.append(f"{symbol!r} is to weigh {factor:g}, it must be 0 or more and finite")
        if self.sequence_weights and not self._is_many:
            problems.append(
                "each sequence is to weigh the same (--sequence-weights) and there is one alone: name the column that "
                "tells sequences apart with --sequence COLUMN"
            )
        raise_if_any(problems, "These events cannot be learned with these weights")
        self.check()

    @classmethod
    def of(
        cls, sequences: Iterable[Iterable[str]], *, held_out: float = 0.1, min_count: int = 1, end: str | None = _END,
        class_balance: float = 0.0, symbol_weights: Mapping[str, float] | None = None, sequence_weights: bool = False,
    ) -> Events:  # fmt: skip
        """Return the problem of sequences in memory. Raises as the class does."""
        recording = Recording.of(sequences)
        corpus = Corpus.of(recording, end=end, min_count=min_count, split=HeldOut(held_out))
        return cls(corpus, class_balance, symbol_weights or {}, sequence_weights)

    @classmethod
    def from_file(
        cls, path: Path, reader: EventsReader, *, split: HeldOut | None = None, min_count: int = 1,
        max_symbols: int = MAX_SYMBOLS, class_balance: float = 0.0, symbol_weights: Mapping[str, float] | None = None,
        held_out_file: Path | None = None, inherited: Inherited | None = None, sequence_weights: bool = False,
    ) -> Events:  # fmt: skip
        """Read the file at `path`.

        Args:
            path: CSV, TSV, JSON lines, Parquet, or a sequence on each line.
            reader: The reader, with the names of the columns.
            split: The part to hold out; None: a tenth.
            min_count: A symbol that is learned from less often is unknown.
            max_symbols: There may not be more.
            class_balance: See the class.
            symbol_weights: See the class.
            held_out_file: File to evaluate on in place of a part; None: there is none.
            inherited: What comes from an earlier training, the end symbol too; None: nothing.
            sequence_weights: See the class.

        Raises:
            CorpusError: It cannot be read, or nothing can be learned from it.
            MissingPackageError: It is Parquet, and pyarrow is not installed.
            ProblemError: Weights that make no sense.
        """
        if inherited is not None:
            reader = replace(reader, end=inherited.end)
        limits: dict[str, Any] = {
            "end": reader.end, "min_count": min_count, "max_symbols": max_symbols, "inherited": inherited,
        }  # fmt: skip
        if held_out_file is None:
            corpus = Corpus.of(reader.read(path), reader=reader, split=split, **limits)
        else:
            corpus = Corpus.of_parts(reader.read(path), reader.read(held_out_file), reader=reader, **limits)
        return cls(corpus, class_balance, symbol_weights or {}, sequence_weights)

    def of_earlier(self, path: Path, earlier: EarlierData) -> Events:
        """See `RecordedProblem.of_earlier`."""
        assert isinstance(earlier.reader, EventsReader)
        return type(self).from_file(
            path, earlier.reader, split=earlier.split, held_out_file=earlier.held_out_file, inherited=self.inherited
        )

    @cached_property
    def answer_weights(self) -> Float32 | None:
        """See `RecordedProblem.answer_weights`; their mean over all answers is 1."""
        if not self.class_balance and not self.symbol_weights:
            return None
        tape = self.corpus.encoded_train
        counts = counted(tape.targets, len(self.corpus.answers), tape.weights).astype(np.float64)
        factors = np.maximum(counts, 1.0) ** -self.class_balance
        for symbol, factor in self.symbol_weights.items():
            factors[self.corpus.answers.encode(symbol)] *= factor
        mean = (factors * counts).sum() / counts.sum()
        raise_if_any(["all answers weigh nothing"] if not mean else [], "Nothing can be learned")
        weights: Float32 = (factors / mean).astype(np.float32)
        return weights

    @cached_property
    def sequence_factors(self) -> Float32 | None:
        """See `RecordedProblem.sequence_factors`; their mean over all answers is 1."""
        if not self.sequence_weights:
            return None
        encoded = self.corpus.encoded_train
        answers = np.add.reduceat(encoded.weights, encoded.starts[:-1], dtype=np.float64)
        factors = answers.sum() / (np.count_nonzero(answers) * np.maximum(answers, 1.0))
        return np.repeat(factors, np.diff(encoded.starts)).astype(np.float32)

    @property
    def weighed_lengths(self) -> tuple[float, float] | None:
        """See `Problem.weighed_lengths`."""
        if self.sequence_weights or not self._is_many:
            return None
        return float(self.corpus.train.lengths.mean()), float(self.corpus.held_out.lengths.mean())

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {
            **super().to_json(),
            "class_balance": self.class_balance,
            "symbol_weights": dict(self.symbol_weights),
            **({"sequence_weights": True} if self.sequence_weights else {}),  # runs of earlier versions have none
        }
