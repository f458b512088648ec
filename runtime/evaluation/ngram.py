"""n-grams with back-off and other baselines: predictions without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..common.arrays import Ids, Indices
from ..data import EncodedSequences
from ..data.recording import concatenated_ranges
from ..tasks.distribution import Float64
from .metrics import SymbolScores, positions_of

ORDERS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, eq=False)
class _Level:
    """The followers of contexts of one length.

    C contexts of this length that occurred, F pairs of a context and a symbol that followed it.

    Attributes:
        codes: int64 of shape (C,), increasing: index of the context that is one symbol shorter times V, plus the symbol
            before it. The position of a code is the index of the context.
        firsts: int64 of shape (C + 1,): position of the first follower of each context.
        followers: int32 of shape (F,): ids.
        shares: float64 of shape (F,): count of the pair / (count of the context + number of its followers).
        left: float64 of shape (C,): number of followers / the same sum: the share of the shorter context.
    """

    codes: Indices
    firsts: Indices
    followers: Ids
    shares: Float64
    left: Float64


class NGram:
    """Predicts the next symbol from the last `order` - 1 ones.

    The distributions of all shorter contexts are interpolated after Witten and Bell 1991 (method C; Chen and Goodman
    1999 have the formula): a context that was seen n times and followed by d different symbols counts n / (n + d), the
    next shorter one the rest; below the shortest every symbol is as likely. Nothing has to be tuned. A context does not
    reach across the beginning of a sequence, where the end symbol is; so it learns how sequences begin and end.
    """

    def __init__(self, sequences: EncodedSequences, symbols: int, order: int) -> None:
        """Count `sequences`.

        Args:
            sequences: The training data.
            symbols: Size V of the vocabulary.
            order: 1 for the frequencies alone, 2 for pairs, and so on.
        """
        self.order, self._symbols = order, symbols
        self._levels: list[_Level] = []
        counted, contexts = sequences.weights > 0, np.zeros(len(sequences), np.int64)
        for length in range(order):
            contexts, codes = self._extend(sequences, contexts, length)
            known = counted & (contexts >= 0)
            pairs, counts = np.unique(contexts[known] * symbols + sequences.targets[known], return_counts=True)
            firsts = np.searchsorted(pairs, np.arange(len(codes) + 1) * symbols)
            before = np.concatenate([[0], np.cumsum(counts)])
            seen, different = np.diff(before[firsts]), np.diff(firsts)
            together = np.maximum(seen + different, 1)  # a context may have no follower
            left = np.where(seen > 0, different / together, 1.0)
            shares = counts / np.repeat(together, different)
            self._levels.append(_Level(codes, firsts, (pairs % symbols).astype(np.int32), shares, left))

    def score(self, sequences: EncodedSequences) -> SymbolScores:
        """Predict every symbol of `sequences` that has a symbol before it."""
        contexts = self._contexts(sequences)
        return SymbolScores.in_blocks(sequences, self._symbols, lambda part: self._probabilities(contexts[:, part]))

    def distributions(self, sequences: EncodedSequences) -> Float64:
        """Return the prediction at each position of short `sequences`, float64 of shape (N, V)."""
        return self._probabilities(self._contexts(sequences))

    def _probabilities(self, contexts: Indices) -> Float64:
        """Return the distributions after contexts, shape (order, N), -1 for an unknown one; shape (N, V)."""
        probabilities = np.full((contexts.shape[1], self._symbols), 1 / self._symbols)
        for level, indices in zip(self._levels, contexts, strict=True):
            rows = np.flatnonzero(indices >= 0)
            known = indices[rows]
            probabilities[rows] *= level.left[known, np.newaxis]
            firsts, ends = level.firsts[known], level.firsts[known + 1]
            pairs = concatenated_ranges(firsts, ends)
            probabilities[np.repeat(rows, ends - firsts), level.followers[pairs]] += level.shares[pairs]
        return probabilities

    def _contexts(self, sequences: EncodedSequences) -> Indices:
        """Return the index of the context of each length at each position, int64 of shape (order, N)."""
        contexts = [np.zeros(len(sequences), np.int64)]
        for length, level in enumerate(self._levels):
            contexts.append(self._extend(sequences, contexts[-1], length, level.codes)[0])
        return np.stack(contexts[1:])

    def _extend(
        self, sequences: EncodedSequences, contexts: Indices, length: int, codes: Indices | None = None
    ) -> tuple[Indices, Indices]:
        """Return the index of the context of `length` at each position, (N,), and the codes of all, (C,).

        -1 is a context that did not occur, or that would reach across the beginning of its sequence.

        Args:
            sequences: The data.
            contexts: Indices of the contexts that are one symbol shorter, (N,).
            length: Length of the contexts.
            codes: Codes of the known contexts; None: all that occur are known.
        """
        if not length:
            return contexts, np.zeros(1, np.int64)
        before = np.full(len(sequences), -1, np.int64)
        before[length - 1 :] = sequences.inputs[: len(sequences) - length + 1]
        reaches = (contexts >= 0) & (positions_of(sequences) >= length)
        wanted = np.where(reaches, contexts * self._symbols + before, -1)
        codes = np.unique(wanted[reaches]) if codes is None else codes
        indices = np.searchsorted(codes, wanted)
        return np.where(np.append(codes, -2)[indices] == wanted, indices, -1), codes


@dataclass(frozen=True)
class Baseline:
    """A baseline on the test symbols.

    Attributes:
        name: Its name.
        scores: Its predictions, scored.
        has_probabilities: False: it names one symbol, and only its accuracy is meaningful.
    """

    name: str
    scores: SymbolScores
    has_probabilities: bool = True


def baselines(train: EncodedSequences, test: EncodedSequences, symbols: int) -> Iterator[Baseline]:
    """Yield the baselines in turn: the last symbol again, the most frequent one, n-grams of growing order.

    Args:
        train: Their training data.
        test: The symbols that they predict.
        symbols: Size of the vocabulary.
    """
    yield Baseline("the last symbol again", _last_symbol(test, symbols), has_probabilities=False)
    for order in ORDERS:
        name = "the most frequent symbol (1-gram)" if order == 1 else f"{order}-gram with back-off"
        yield Baseline(name, NGram(train, symbols, order).score(test))


def _last_symbol(sequences: EncodedSequences, symbols: int) -> SymbolScores:
    scored = np.flatnonzero(sequences.weights > 0)
    inputs, targets = sequences.inputs[scored], sequences.targets[scored]
    right = inputs == targets
    ranks = np.where(right, 1, symbols).astype(np.int32)
    logarithms = np.where(right, 0.0, -np.inf)
    return SymbolScores(targets, inputs, np.ones(len(scored)), logarithms, ranks, positions_of(sequences)[scored])
