"""What predicts the same symbols without a network: the yardsticks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..reading import Tape
from .judgement import Judgement
from .ngram import NGram, positions_of

ORDERS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Baseline:
    """A yardstick on the judged symbols.

    Attributes:
        name: What it is, in words.
        judgement: What its predictions were worth.
        has_probabilities: False: it names one symbol, and only its accuracy means something.
    """

    name: str
    judgement: Judgement
    has_probabilities: bool = True


def baselines(learned: Tape, judged: Tape, symbols: int) -> Iterator[Baseline]:
    """Yield the yardsticks in turn: the last symbol again, the most frequent one, n-grams of growing order.

    Args:
        learned: What they learn from.
        judged: What they predict.
        symbols: Size of the vocabulary.
    """
    yield Baseline("the last symbol again", _last_symbol(judged, symbols), has_probabilities=False)
    for order in ORDERS:
        name = "the most frequent symbol (1-gram)" if order == 1 else f"{order}-gram with back-off"
        yield Baseline(name, NGram(learned, symbols, order).judge(judged))


def _last_symbol(tape: Tape, symbols: int) -> Judgement:
    places = np.flatnonzero(tape.weights > 0)
    inputs, targets = tape.inputs[places], tape.targets[places]
    right = inputs == targets
    certain = np.ones(len(places))
    ranks = np.where(right, 1, symbols).astype(np.int32)
    return Judgement(
        targets, inputs, certain, np.where(right, 0.0, -np.inf), ranks, positions_of(tape)[places]
    )  # fmt: skip
