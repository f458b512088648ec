"""The n-gram with back-off: what a network has to beat.

What predicts the same symbols without a network: the baselines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..common.arrays import Ids, Indices
from ..data import EncodedSequences
from ..data.recording import concatenated_ranges
from ..tasks.distribution import Float64
from .metrics import SymbolScores

_NUMBERS_AT_A_TIME = 1 << 21  # probabilities in memory


@dataclass(frozen=True, eq=False)
class _Level:
    """What followed contexts of one length.

    C contexts of this length that occurred, F pairs of a context and a symbol that followed it.

    Attributes:
        codes: int64 of shape (C,), growing: number of the context that is one symbol shorter times V, plus the symbol
            before it. The place of a code is the number of the context.
        firsts: int64 of shape (C + 1,): where the followers of each context begin.
        followers: int32 of shape (F,): ids.
        shares: float64 of shape (F,): count of the pair / (count of the context + number of its followers).
        left: float64 of shape (C,): number of followers / the same sum: what is left for the shorter context.
    """

    codes: Indices
    firsts: Indices
    followers: Ids
    shares: Float64
    left: Float64


class NGram:
    """Predicts the next symbol from the last `order` - 1 ones.

    The distributions of all shorter contexts are blended in after Witten and Bell 1991 (method C; Chen and Goodman 1999
    have the formula): a context that was seen n times and followed by d different symbols counts n / (n + d), the
    next shorter one the rest, below the shortest every symbol is as likely. Nothing has to be tuned. A context does not
    reach across the beginning of a sequence, where the end symbol stands; so it learns how sequences begin and end.
    """

    def __init__(self, tape: EncodedSequences, symbols: int, order: int) -> None:
        """Count `tape`.

        Args:
            tape: What to learn from.
            symbols: Size V of the vocabulary.
            order: 1 for the frequencies alone, 2 for pairs, and so on.
        """
        self.order, self._symbols = order, symbols
        self._levels: list[_Level] = []
        counted = tape.weights > 0
        for contexts in self._contexts(tape, order, learn=True):
            known = counted & (contexts >= 0)
            codes, counts = np.unique(contexts[known] * symbols + tape.targets[known], return_counts=True)
            level = self._levels[-1]
            firsts = np.searchsorted(codes, np.arange(len(level.codes) + 1) * symbols)
            ahead = np.concatenate([[0], np.cumsum(counts)])
            seen, different = np.diff(ahead[firsts]), np.diff(firsts)
            together = np.maximum(seen + different, 1)  # a context may have been followed by nothing
            left = np.where(seen > 0, different / together, 1.0)
            shares = counts / np.repeat(together, different)
            self._levels[-1] = _Level(level.codes, firsts, (codes % symbols).astype(np.int32), shares, left)

    def judge(self, tape: EncodedSequences) -> SymbolScores:
        """Predict every symbol of `tape` that can be predicted."""
        contexts = np.stack(list(self._contexts(tape, self.order, learn=False)))  # (order, N)
        positions = positions_of(tape)
        places = np.flatnonzero(tape.weights > 0)
        step = max(1, _NUMBERS_AT_A_TIME // self._symbols)
        parts = [
            SymbolScores.of(self._probabilities(contexts[:, part]), tape.targets[part], positions[part])
            for part in (places[start : start + step] for start in range(0, max(len(places), 1), step))
        ]
        return SymbolScores.concatenate(parts)

    def distributions(self, tape: EncodedSequences) -> Float64:
        """Return what is predicted at each place of a short tape, float64 of shape (N, V)."""
        return self._probabilities(np.stack(list(self._contexts(tape, self.order, learn=False))))

    def _probabilities(self, contexts: Indices) -> Float64:
        """Return the distributions behind contexts, shape (order, N), -1 where one is not known; shape (N, V)."""
        probabilities = np.full((contexts.shape[1], self._symbols), 1 / self._symbols)
        for level, numbers in zip(self._levels, contexts, strict=True):
            rows = np.flatnonzero(numbers >= 0)
            known = numbers[rows]
            probabilities[rows] *= level.left[known, np.newaxis]
            firsts, ends = level.firsts[known], level.firsts[known + 1]
            pairs = concatenated_ranges(firsts, ends)
            probabilities[np.repeat(rows, ends - firsts), level.followers[pairs]] += level.shares[pairs]
        return probabilities

    def _contexts(self, tape: EncodedSequences, order: int, *, learn: bool) -> Iterator[Indices]:
        """Yield the number of the context at each place, int64 of shape (N,), for the lengths 0 to `order` - 1.

        -1 stands for a context that did not occur, or that would reach across the beginning of its sequence.
        With `learn` all that occur are known: each length is added to `_levels`, without its followers.
        """
        count = len(tape)
        within = positions_of(tape)
        contexts = np.zeros(count, np.int64)
        for length in range(order):
            if length:
                before = np.full(count, -1, np.int64)
                before[length - 1 :] = tape.inputs[: count - length + 1]
                reaches = (contexts >= 0) & (within >= length)
                wanted = np.where(reaches, contexts * self._symbols + before, -1)
                codes = np.unique(wanted[reaches]) if learn else self._levels[length].codes
                contexts = np.searchsorted(codes, wanted)
                found = reaches & (contexts < len(codes))
                found[found] = codes[contexts[found]] == wanted[found]
                contexts = np.where(found, contexts, -1)
            else:
                codes = np.zeros(1, np.int64)
            if learn:
                nothing = np.zeros(0)
                self._levels.append(_Level(codes, np.zeros(0, np.int64), np.zeros(0, np.int32), nothing, nothing))
            yield contexts


def positions_of(tape: EncodedSequences) -> Indices:
    """Return how many symbols of its sequence have been seen at each place of `tape`, int64 of shape (N,), from 1."""
    return np.arange(1, len(tape) + 1) - np.repeat(tape.starts[:-1], np.diff(tape.starts))


ORDERS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Baseline:
    """A baseline on the judged symbols.

    Attributes:
        name: What it is, in words.
        scores: What its predictions were worth.
        has_probabilities: False: it names one symbol, and only its accuracy means something.
    """

    name: str
    scores: SymbolScores
    has_probabilities: bool = True


def baselines(learned: EncodedSequences, judged: EncodedSequences, symbols: int) -> Iterator[Baseline]:
    """Yield the baselines in turn: the last symbol again, the most frequent one, n-grams of growing order.

    Args:
        learned: What they learn from.
        judged: What they predict.
        symbols: Size of the vocabulary.
    """
    yield Baseline("the last symbol again", _last_symbol(judged, symbols), has_probabilities=False)
    for order in ORDERS:
        name = "the most frequent symbol (1-gram)" if order == 1 else f"{order}-gram with back-off"
        yield Baseline(name, NGram(learned, symbols, order).judge(judged))


def _last_symbol(tape: EncodedSequences, symbols: int) -> SymbolScores:
    places = np.flatnonzero(tape.weights > 0)
    inputs, targets = tape.inputs[places], tape.targets[places]
    right = inputs == targets
    certain = np.ones(len(places))
    ranks = np.where(right, 1, symbols).astype(np.int32)
    return SymbolScores(
        targets, inputs, certain, np.where(right, 0.0, -np.inf), ranks, positions_of(tape)[places]
    )  # fmt: skip
