"""What a model answers to one symbol."""

from __future__ import annotations

import numpy as np

from .arrays import Float32
from .vocabulary import Vocabulary


class Prediction:
    """How likely each symbol of the output vocabulary is, given everything the stream has seen.

    Attributes:
        probabilities: float32 of shape (K,), in the order of the output vocabulary. They sum to 1 for a softmax
            output; each stands for itself for a sigmoid output. The array is the caller's: no later step changes it.
    """

    __slots__ = ("_vocabulary", "probabilities")

    def __init__(self, probabilities: Float32, vocabulary: Vocabulary) -> None:
        """Wrap `probabilities`, shape (K,), over the K symbols of `vocabulary`."""
        self.probabilities = probabilities
        self._vocabulary = vocabulary

    @property
    def id(self) -> int:
        """The id of the most likely symbol; of equally likely ones the lowest."""
        return int(self.probabilities.argmax())

    @property
    def symbol(self) -> str:
        """The most likely symbol."""
        return self._vocabulary.symbols[self.id]

    @property
    def probability(self) -> float:
        """The probability of the most likely symbol."""
        return float(self.probabilities.max())

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the `count` most likely symbols with their probabilities, the most likely first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self._vocabulary.symbols[id], float(self.probabilities[id])) for id in order]

    def __repr__(self) -> str:
        """Return the answer in a line."""
        return f"Prediction(symbol={self.symbol!r}, probability={self.probability:.4f})"
