"""Take vocabulary, end symbol and normalisation from an earlier training, so that its network can learn new data."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.errors import CorpusError
from ..format.vocabulary import Vocabulary
from .features import FeatureStats
from .recording import NO_SYMBOL, Recording

_SHOWN = 5  # new symbols in a message


@dataclass(frozen=True, eq=False)
class Inherited:
    """What a corpus takes from an earlier training.

    Attributes:
        source: Folder of the earlier run, for messages.
        vocabulary: Its symbols; their ids stay.
        end: Its end symbol; None: there is none.
        stats: Statistics by which its network normalises features.
        labels: Its labels; None: the targets are the next symbols.
        grow: New symbols and labels are appended; else new symbols are unknown and new labels are refused.
    """

    source: str
    vocabulary: Vocabulary
    end: str | None = None
    stats: tuple[FeatureStats, ...] = ()
    labels: Vocabulary | None = None
    grow: bool = False

    def vocabulary_of(
        self, train: Recording, held_out: Recording, min_count: int, max_symbols: int
    ) -> tuple[Vocabulary, str]:
        """Return the vocabulary for new data, and a remark on its new symbols or "".

        Args:
            train: The data to learn from. Its new symbols are appended, the most frequent first, if they may be.
            held_out: The data to evaluate on. Their symbols are appended only if no symbol stands for unknown ones.
            min_count: A new symbol that occurs less often in `train` is unknown, if there is a symbol for that.
            max_symbols: The vocabulary may not be larger.

        Raises:
            CorpusError: There are new symbols, and they can be neither unknown nor appended; or too many of them.
        """
        known, is_closed = self.vocabulary, self.vocabulary.unknown is None
        if train.symbols == NO_SYMBOL:
            return known, ""
        counts: dict[str, int] = {}
        for part in (train, held_out) if is_closed else (train,):
            for symbol, count in zip(part.symbols, part.counts().tolist(), strict=True):
                if count and symbol not in known:
                    counts[symbol] = counts.get(symbol, 0) + count
        new = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        if not new:
            return known, ""
        shown = ", ".join(map(repr, new[:_SHOWN])) + (", ..." if len(new) > _SHOWN else "")
        what = f"{len(new):,} symbol{'s' * (len(new) > 1)} that {self.source} does not know ({shown})"
        if not self.grow and is_closed:
            raise CorpusError(
                f"{train.source or 'The data'} has {what}, and its vocabulary has no symbol for unknown ones. Add rows "
                "for them to its network: --grow."
            )
        if not self.grow:
            share = f"{sum(counts.values()):,} of the {len(train.ids):,} symbols to learn from"
            return known, f"{what}: {share} are read as {known.unknown!r}; --grow adds rows for them"
        added = [symbol for symbol in new if is_closed or counts[symbol] >= min_count]
        if len(known) + len(added) > max_symbols:
            raise CorpusError(
                f"{train.source or 'The data'} has {what}: with the {len(known):,} known ones more than "
                f"{max_symbols:,}. Raise --min-count, or --max-symbols."
            )
        if not added:
            return known, f"{what}: none occurs {min_count:,} times, so no rows are added"
        return Vocabulary((*known.symbols, *added), known.unknown), f"{what}: rows for {len(added):,} of them are added"

    def labels_of(self, found: Vocabulary, source: str) -> Vocabulary:
        """Return the labels for new data, whose labels are `found`.

        Raises:
            CorpusError: There are new ones, and they may not be appended.
        """
        assert self.labels is not None
        new = [label for label in found.symbols if label not in self.labels]
        if new and not self.grow:
            shown = ", ".join(map(repr, new[:_SHOWN])) + (", ..." if len(new) > _SHOWN else "")
            raise CorpusError(
                f"{source} has {len(new):,} label{'s' * (len(new) > 1)} that {self.source} does not know ({shown}). "
                "Add rows for them to its network: --grow."
            )
        return Vocabulary((*self.labels.symbols, *new)) if new else self.labels
