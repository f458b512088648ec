"""Watching a stream: how surprising each symbol is, as it comes."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, nan

from .distribution import require_next_symbols
from .ports import Features
from .prediction import Prediction
from .scoring import judge_one
from .stream import Stream
from .threshold import Threshold

# Bits by which a surprise must be above a threshold: the threshold may have been computed from many symbols at once,
# which rounds otherwise, and where a machine repeats itself many surprises are one and the same number.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Surprise:
    """How surprising a symbol was.

    Attributes:
        bits: Negative log-probability, base 2, given all before it; nan for a symbol that nothing predicted.
        rank: 1 if it was the likeliest symbol, and so on; 0 where `bits` is nan.
        surprising: `bits` is above the threshold of symbols.
        alarm: `bits` is above the threshold of sequences.
        prediction: What the model answers to it.
    """

    bits: float
    rank: int
    surprising: bool
    alarm: bool
    prediction: Prediction


class Watch:
    """Steps a stream and tells of each symbol how surprising it was. Without a threshold nothing is surprising."""

    def __init__(self, stream: Stream, threshold: Threshold | None = None) -> None:
        """Watch `stream`, which may be stepped otherwise too.

        Raises:
            TargetError: The model answers with labels.
        """
        require_next_symbols(stream.file, "none is surprising", with_features=True)
        self.stream = stream
        self.threshold = threshold

    def step(self, symbol: str, features: Features | None = None) -> Surprise:
        """Say how surprising a symbol is after all before it, and feed it.

        Args:
            symbol: One symbol of the vocabulary.
            features: What the model reads beside it; see `Stream.step`.

        Returns:
            Its surprise in bits, its rank, whether that is above the threshold, and the prediction of what comes next.
            The first symbol of a fresh stream surprises nobody: its bits are nan and its rank is 0.

        Raises:
            UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: The state has not moved.
        """
        stream, threshold = self.stream, self.threshold
        id = stream._intake.id_of(symbol)
        before = stream.prediction
        bits, rank = nan, 0
        if before is not None:
            logarithm, rank = judge_one(before.probabilities, id, stream.file)
            bits = -logarithm / log(2)
        prediction = stream.step(symbol, features)
        surprising = threshold is not None and bits - threshold.symbol_bits > _ROUNDING
        limit = None if threshold is None else threshold.sequence_bits
        return Surprise(bits, rank, surprising, limit is not None and bits - limit > _ROUNDING, prediction)
