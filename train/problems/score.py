"""How good a model is on some streams."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, nan


@dataclass(frozen=True)
class Score:
    """How good a model is on some streams.

    Attributes:
        accuracy: Share of the answers whose most likely symbol is the right one.
        nats: Mean negative log-probability of the right answer.
        answers: How many answers counted.
        steps: Length of the streams.
        min_probability: The lowest probability that a right answer was given; nan: not known.
    """

    accuracy: float
    nats: float
    answers: int
    steps: int
    min_probability: float = nan

    def to_json(self) -> dict[str, float]:
        """Return the figures, with bits per symbol and perplexity, as a JSON object."""
        return {
            "accuracy": self.accuracy,
            "nats_per_symbol": self.nats,
            "bits_per_symbol": self.nats / log(2),
            "perplexity": exp(min(self.nats, 700.0)),
            "answers": self.answers,
            "steps": self.steps,
            "lowest_probability": self.min_probability,
        }
