"""n-grams with back-off and other baselines: predictions without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from ..common.arrays import Ids, Indices
from ..data import EncodedSequences
from ..data.ranges import concatenated_ranges
from ..tasks.distribution import Float64
from .metrics import SymbolScores, positions_of

MIN_ORDERS, MAX_ORDERS = 5, 32  # always shown; and most, if they go on getting better
_PATIENCE = 3  # orders without a gain before the last is found
_GAIN = 1e-3  # in bits per symbol, or in accuracy
_MOST_BYTES = 1 << 28  # of the counts of orders above `MIN_ORDERS`


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
        self._symbols, self._sequences = symbols, sequences
        self._levels: list[_Level] = []
        self._last = np.zeros(len(sequences), np.int64)  # index of the longest context at each position
        for _ in range(order):
            self.grow()

    @property
    def order(self) -> int:
        """The number of symbols in view, with the predicted one."""
        return len(self._levels)

    @property
    def size(self) -> int:
        """Bytes of the counts."""
        return sum(getattr(level, each.name).nbytes for level in self._levels for each in fields(level))

    def grow(self) -> None:
        """Count contexts that are one symbol longer."""
        sequences, symbols = self._sequences, self._symbols
        self._last, codes = self._extend(sequences, self._last, len(self._levels))
        known = (sequences.weights > 0) & (self._last >= 0)
        pairs, counts = np.unique(self._last[known] * symbols + sequences.targets[known], return_counts=True)
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


def baselines(train: EncodedSequences | None, test: EncodedSequences, symbols: int) -> Iterator[Baseline]:
    """Yield the baselines in turn: the last symbol again, the most frequent one, n-grams of growing order.

    The orders go on beyond the first five while one of the next three has fewer bits or a higher accuracy on `test`,
    and counts and contexts take less than 256 MB. Choosing the order on the test symbols favours n-grams, if anything.

    Args:
        train: Training data of the n-grams; None: there are no n-grams.
        test: The symbols that are predicted.
        symbols: Size of the vocabulary.
    """
    yield Baseline("the last symbol again", _last_symbol(test, symbols), has_probabilities=False)
    if train is None:
        return
    model, best, accurate = NGram(train, symbols, 0), None, None
    waiting: list[Baseline] = []  # without a gain so far
    while model.order < MAX_ORDERS:
        if model.order >= MIN_ORDERS and model.size + test.inputs.nbytes * 2 * model.order > _MOST_BYTES:
            return
        model.grow()
        name = "the most frequent symbol (1-gram)" if model.order == 1 else f"{model.order}-gram with back-off"
        waiting.append(Baseline(name, model.score(test)))
        scores = waiting[-1].scores
        if best is None or scores.bits < best.bits - _GAIN:
            gains, best = True, scores
        else:
            gains = False
        if accurate is None or _gain(scores, accurate) > _GAIN:
            gains, accurate = True, scores
        if model.order <= MIN_ORDERS or gains:
            yield from waiting
            waiting = []
        elif len(waiting) == _PATIENCE:
            return


def _gain(scores: SymbolScores, others: SymbolScores) -> float:
    """Return by how much the accuracy on the same symbols is higher, less twice the standard error of that."""
    right, wrong = scores.ranks == 1, others.ranks == 1
    return float(right.mean() - wrong.mean() - 2 * (right != wrong).sum() ** 0.5 / max(len(scores), 1))


def _last_symbol(sequences: EncodedSequences, symbols: int) -> SymbolScores:
    scored = np.flatnonzero(sequences.weights > 0)
    inputs, targets = sequences.inputs[scored], sequences.targets[scored]
    right = inputs == targets
    ranks = np.where(right, 1, symbols).astype(np.int32)
    logarithms = np.where(right, 0.0, -np.inf)
    return SymbolScores(targets, inputs, np.ones(len(scored)), logarithms, ranks, positions_of(sequences)[scored])
