"""Drawing the next symbol from a distribution."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from numbers import Integral

import numpy as np

from .distribution import Float64
from .errors import OptionError


@dataclass(frozen=True)
class Sampling:
    """How the next symbol is drawn: temperature first, then `top_k`, then `top_p`.

    Attributes:
        temperature: The probabilities are raised to its inverse: below 1 the likely become likelier.
        top_k: Draw among this many of the likeliest.
        top_p: Draw among the fewest of the likeliest that have this probability together (nucleus sampling, Holtzman
            et al. 2020, arXiv 1904.09751).
        greedy: Take the likeliest, of equals the first by id; nothing is drawn.

    Raises:
        OptionError: They make no sense, or `greedy` leaves others nothing to do.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    greedy: bool = False

    def __post_init__(self) -> None:
        """Check them."""
        problems = []
        if not (isfinite(self.temperature) and self.temperature > 0):
            problems.append(
                f"the temperature is {self.temperature}, it must be above 0 (the likeliest symbol each time: greedy)"
            )
        if self.top_k is not None and not (isinstance(self.top_k, Integral) and self.top_k >= 1):
            problems.append(f"top_k is {self.top_k}, it must be a whole number and at least 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            problems.append(f"top_p is {self.top_p}, it must be above 0 and at most 1")
        if self.greedy and (self.temperature != 1 or self.top_k is not None or self.top_p is not None):
            problems.append("greedy takes the likeliest symbol, so leave out temperature, top_k and top_p")
        if problems:
            raise OptionError(f"Nothing can be drawn like that: {'; '.join(problems)}.")

    def draw(self, distribution: Float64, random: np.random.Generator) -> int:
        """Return an id drawn from `distribution`, shape (K,).

        One number is taken from `random`, also where `top_k` leaves no choice. The ids keep their order, so that
        answers that differ in a last digit between interpreters hardly ever give another symbol.
        """
        if self.greedy:
            return int(distribution.argmax())
        weights = distribution
        if self.temperature != 1:
            with np.errstate(divide="ignore", over="ignore"):
                logs = (np.log(distribution) - np.log(distribution.max())) / self.temperature
            weights = np.exp(logs)
        if self.top_k is not None or self.top_p is not None:
            weights = self._cut(weights)
        cumulative = weights.cumsum()
        id = int(cumulative.searchsorted(random.random() * cumulative[-1], side="right"))
        return min(id, int(np.flatnonzero(weights)[-1]))  # the product may have been rounded up to the whole sum

    def _cut(self, weights: Float64) -> Float64:
        """Return `weights` with zeros for what shall not be drawn."""
        order = np.argsort(-weights, kind="stable")
        keep = order[: self.top_k]
        if self.top_p is not None:
            shares = weights[keep].cumsum()
            keep = keep[: int((shares < self.top_p * shares[-1]).sum()) + 1]
        kept = np.zeros_like(weights)
        kept[keep] = weights[keep]
        return kept
