"""A corpus: what is learned from, what is held out, and the vocabulary of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np

from ..common.errors import CorpusError
from ..format.vocabulary import Vocabulary
from .encoded import EncodedSequences, encode_sequences
from .features import FeatureStats
from .recording import Recording
from .split import HeldOut

UNKNOWN = "<unknown>"
MAX_SYMBOLS = 10_000


class Reader(Protocol):
    """How files are read: `EventsReader` or `TextReader`."""

    @property
    def end(self) -> str | None:
        """The end symbol; None: there is none."""

    def to_json(self) -> dict[str, Any]:
        """Return the values as a JSON object."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Recorded sequences, ready to be learned from and judged by.

    Attributes:
        train: What is learned from.
        held_out: What is not.
        vocabulary: Symbols that are known, most of them from `train` alone; where others may come, it has a symbol
            for these.
        end: The end symbol, which is in the vocabulary; None: there is none.
        min_count: A symbol that `train` holds less often is unknown.
        reader: How the file was read; None: it was none.
        split: How the parts were told apart; None: they came apart.
    """

    train: Recording
    held_out: Recording
    vocabulary: Vocabulary
    end: str | None = None
    min_count: int = 1
    reader: Reader | None = None
    split: HeldOut | None = None

    @classmethod
    def of(
        cls, recording: Recording, *, end: str | None = None, min_count: int = 1, max_symbols: int = MAX_SYMBOLS,
        reader: Reader | None = None, split: HeldOut | None = None, closed: bool = False,
    ) -> Corpus:  # fmt: skip
        """Split a recording and find its vocabulary.

        Args:
            recording: All there is.
            end: The end symbol; None: there is none.
            min_count: A symbol that is learned from less often is unknown.
            max_symbols: A vocabulary may not be larger.
            reader: How `recording` was read.
            split: What to hold out; None: a tenth.
            closed: No other symbols than those in `recording` exist, as with the characters of a text.

        Raises:
            CorpusError: Nothing to learn from or to judge by is left, or there are too many symbols.
        """
        split = split or HeldOut()
        learned, held_out = split.split(recording)
        symbols = recording.symbols if closed and min_count == 1 else None
        vocabulary = _vocabulary(learned, end, min_count, max_symbols, symbols)
        return cls(learned, held_out, vocabulary, end, min_count, reader, split)

    @classmethod
    def of_parts(
        cls, learned: Recording, held_out: Recording, *, end: str | None = None, min_count: int = 1,
        max_symbols: int = MAX_SYMBOLS, reader: Reader | None = None,
    ) -> Corpus:  # fmt: skip
        """Return the corpus of two recordings that came apart; see `of`."""
        vocabulary = _vocabulary(learned, end, min_count, max_symbols, None)
        return cls(learned, held_out, vocabulary, end, min_count, reader)

    @cached_property
    def feature_stats(self) -> tuple[FeatureStats, ...]:
        """How far the features spread in what is learned from; none where symbols are all there is.

        Raises:
            CorpusError: One says nothing, or too little for float32.
        """
        return () if self.train.features is None else self.train.features.stats()

    @property
    def boundary(self) -> dict[str, list[float]]:
        """Name of a feature -> what stands beside the end symbol: its mean, which the network sees as 0."""
        return {scale.name: [scale.typical] for scale in self.feature_stats}

    @cached_property
    def encoded_train(self) -> EncodedSequences:
        """What is learned from, as a tape."""
        return encode_sequences(self.train, self.vocabulary, self.end, self.boundary)

    @cached_property
    def encoded_held_out(self) -> EncodedSequences:
        """What is held out, as a tape."""
        return encode_sequences(self.held_out, self.vocabulary, self.end, self.boundary)

    def to_json(self) -> dict[str, Any]:
        """Return what another machine needs to read a file in the same way and to know what was held out."""
        return {
            "reading": None if self.reader is None else self.reader.to_json(),
            "end": self.end,
            "min_count": self.min_count,
            "held_out": None if self.split is None else self.split.to_json(),
            "source": PurePath(self.train.source).name,
            "sha256": self.train.sha256,
            **({"boundary": self.boundary} if self.feature_stats and self.end is not None else {}),
        }


def _vocabulary(
    learned: Recording, end: str | None, min_count: int, most: int, closed: tuple[str, ...] | None
) -> Vocabulary:
    """Return the symbols, the most frequent first, then the unknown and the end; `closed` ones by their code points."""
    ends = () if end is None else (end,)
    unknown: tuple[str, ...] = () if closed is not None else (UNKNOWN,)
    if closed is not None:
        kept = sorted(closed)
    else:
        counts = dict(zip(learned.symbols, learned.counts().tolist(), strict=True))
        counts.pop(UNKNOWN, None)
        kept = sorted((s for s, n in counts.items() if n >= min_count), key=lambda s: (-counts[s], s))
    if len(kept) > most:
        raise CorpusError(_too_many(learned, len(kept), most))
    if not kept:
        raise CorpusError(
            f"No symbol of {learned.source or 'the sequences'} occurs {min_count:,} times in what is learned from. "
            "Lower --min-count."
        )
    return Vocabulary((*kept, *unknown, *ends), UNKNOWN if unknown else None)


def _too_many(learned: Recording, found: int, most: int) -> str:
    ordered = np.sort(learned.counts())[::-1]
    enough = int(ordered[most]) + 1 if len(ordered) > most else 2
    left = int((ordered >= enough).sum())
    advice = f"--min-count {enough} leaves {left:,}" if left else "Every symbol is as rare as the others"
    return (
        f"{learned.source or 'This'} has {found:,} different symbols, {most:,} are the most. "
        f"{advice}; --max-symbols allows more. Times, numbers and sentences are no symbols."
    )
