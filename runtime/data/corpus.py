"""A corpus: training data, held-out data, and their vocabulary."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import Any

import numpy as np

from ..common.errors import CorpusError
from ..format.vocabulary import Vocabulary
from .encoded import EncodedSequences, encode_sequences
from .features import FeatureStats
from .inherited import Inherited
from .learned import LearnedData, without_learned
from .recording import NO_SYMBOL, Reader, Recording
from .split import HeldOut

UNKNOWN = "<unknown>"
MAX_SYMBOLS = 10_000
_FEW = 2_000  # symbols, all of which can be learned


@dataclass(frozen=True, eq=False)
class Corpus:
    """Recorded sequences, split for training and evaluation.

    Attributes:
        train: The training data.
        held_out: The data to evaluate on.
        vocabulary: The symbols of `train`, the unknown symbol if other symbols are possible, and the end symbol.
        end: The end symbol; None: there is none.
        min_count: A symbol that occurs less often in `train` is unknown.
        reader: The reader of the file; None: the data come from no file.
        split: How the parts were split; None: they were given as two.
        inherited: What comes from an earlier training; None: nothing.
    """

    train: Recording
    held_out: Recording
    vocabulary: Vocabulary
    end: str | None = None
    min_count: int = 1
    reader: Reader | None = None
    split: HeldOut | None = None
    inherited: Inherited | None = None

    @classmethod
    def of(
        cls, recording: Recording, *, end: str | None = None, min_count: int | None = 1, max_symbols: int = MAX_SYMBOLS,
        reader: Reader | None = None, split: HeldOut | None = None, closed: bool = False,
        inherited: Inherited | None = None,
    ) -> Corpus:  # fmt: skip
        """Split a recording and choose its vocabulary.

        Args:
            recording: All data.
            end: The end symbol; None: there is none.
            min_count: A symbol that occurs less often in the training data is unknown. None: 1 up to 2,000 symbols,
                else 2, or as many as leave no more than `max_symbols`.
            max_symbols: The vocabulary may not be larger.
            reader: The reader of `recording`.
            split: The split; None: a tenth is held out.
            closed: No other symbols than those of `recording` exist, for example the characters of a text.
            inherited: What comes from an earlier training, its end symbol too; None: nothing.

        Raises:
            CorpusError: No data are left for training or evaluation, or there are too many symbols.
        """
        split = split or HeldOut()
        train, held_out = split.split(recording)
        if min_count is None:
            min_count = _min_count(train, max_symbols)
        if inherited is not None:
            return cls._inheriting(inherited, train, held_out, min_count, max_symbols, reader, split)
        symbols = recording.symbols if closed and min_count == 1 else None
        vocabulary = _vocabulary(train, end, min_count, max_symbols, symbols)
        return cls(train, held_out, vocabulary, end, min_count, reader, split)

    @classmethod
    def of_parts(
        cls, train: Recording, held_out: Recording, *, end: str | None = None, min_count: int | None = 1,
        max_symbols: int = MAX_SYMBOLS, reader: Reader | None = None, inherited: Inherited | None = None,
    ) -> Corpus:  # fmt: skip
        """Return the corpus of two recordings; see `of`.

        Raises:
            CorpusError: Both are the same file, or there are too many symbols.
        """
        if train.sha256 and train.sha256 == held_out.sha256:
            raise CorpusError(f"{held_out.source} is to be held out and is {train.source}, which is learned from.")
        if min_count is None:
            min_count = _min_count(train, max_symbols)
        held_out, _, note = without_learned(LearnedData.of(train), held_out)
        if note:
            train = replace(train, remarks=(*train.remarks, f"{held_out.source}: {note}"))
        if inherited is not None:
            return cls._inheriting(inherited, train, held_out, min_count, max_symbols, reader, None)
        vocabulary = _vocabulary(train, end, min_count, max_symbols, None)
        return cls(train, held_out, vocabulary, end, min_count, reader)

    @classmethod
    def _inheriting(
        cls, inherited: Inherited, train: Recording, held_out: Recording, min_count: int, max_symbols: int,
        reader: Reader | None, split: HeldOut | None,
    ) -> Corpus:  # fmt: skip
        vocabulary, remark = inherited.vocabulary_of(train, held_out, min_count, max_symbols)
        if remark:
            train = replace(train, remarks=(*train.remarks, remark))
        return cls(train, held_out, vocabulary, inherited.end, min_count, reader, split, inherited)

    @cached_property
    def feature_stats(self) -> tuple[FeatureStats, ...]:
        """Statistics by which features are normalised: those of the training data, or of an earlier training.

        Raises:
            CorpusError: A feature is constant, or varies too little for float32.
        """
        if self.inherited is not None:
            return self.inherited.stats
        return () if self.train.features is None else self.train.features.stats()

    @property
    def answers(self) -> Vocabulary:
        """The symbols of the targets."""
        return self.vocabulary

    @property
    def boundary(self) -> dict[str, list[float]]:
        """Name of a feature -> its value with the end symbol: its mean, which the network sees as 0."""
        return {stats.name: [stats.typical] for stats in self.feature_stats}

    @cached_property
    def encoded_train(self) -> EncodedSequences:
        """The training data, encoded."""
        return encode_sequences(self.train, self.vocabulary, self.end, self.boundary)

    @cached_property
    def encoded_held_out(self) -> EncodedSequences:
        """The held-out data, encoded."""
        return encode_sequences(self.held_out, self.vocabulary, self.end, self.boundary)

    def to_json(self) -> dict[str, Any]:
        """Return the values with which another machine reads a file in the same way and knows the held-out data."""
        learned = None if self.reader is None else LearnedData.of(self.train)
        return {
            "reading": None if self.reader is None else self.reader.to_json(),
            "end": self.end,
            "min_count": self.min_count,
            "held_out": None if self.split is None else asdict(self.split),
            "source": PurePath(self.train.source).name,
            "sha256": self.train.sha256,
            **(
                {"held_out_source": PurePath(self.held_out.source).name, "held_out_sha256": self.held_out.sha256}
                if self.split is None and self.held_out.sha256
                else {}
            ),
            **({} if learned is None else {"learned": learned.to_json()}),
            **({"boundary": self.boundary} if self.feature_stats and self.end is not None else {}),
        }


def _vocabulary(
    train: Recording, end: str | None, min_count: int, max_symbols: int, closed: tuple[str, ...] | None
) -> Vocabulary:
    """Return the symbols, the most frequent first, then unknown and end; `closed` ones by their code points.

    Rows without symbols have none.
    """
    if train.symbols == NO_SYMBOL:
        return Vocabulary.none()
    if closed is not None:
        kept, unknown = sorted(closed), None
    else:
        counts = dict(zip(train.symbols, train.counts().tolist(), strict=True))
        counts.pop(UNKNOWN, None)
        kept, unknown = sorted((s for s, n in counts.items() if n >= min_count), key=lambda s: (-counts[s], s)), UNKNOWN
    if len(kept) > max_symbols:
        raise CorpusError(_too_many(train, len(kept), max_symbols))
    if not kept:
        raise CorpusError(
            f"No symbol of {train.source or 'the sequences'} occurs {min_count:,} times in the training data. "
            "Lower --min-count."
        )
    return Vocabulary((*kept, *(symbol for symbol in (unknown, end) if symbol is not None)), unknown)


def _min_count(train: Recording, max_symbols: int) -> int:
    """Return a least count that leaves a vocabulary which can be learned."""
    counts = np.sort(train.counts())[::-1]
    if np.count_nonzero(counts) <= min(_FEW, max_symbols):
        return 1
    return max(2, int(counts[max_symbols]) + 1 if len(counts) > max_symbols else 2)


def _too_many(train: Recording, found: int, max_symbols: int) -> str:
    ordered = np.sort(train.counts())[::-1]
    enough = int(ordered[max_symbols]) + 1 if len(ordered) > max_symbols else 2
    left = int((ordered >= enough).sum())
    advice = f"--min-count {enough} leaves {left:,}" if left else "Every symbol is as rare as the others"
    return (
        f"{train.source or 'This'} has {found:,} different symbols, the limit is {max_symbols:,}. "
        f"{advice}; --max-symbols raises the limit. Times, numbers and sentences are no symbols."
    )
