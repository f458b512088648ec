"""The embedded Reber grammar: strings in which the second symbol decides the second to last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...runtime.format.vocabulary import Vocabulary
from ..network.network import CELLS
from .episodes import Episode, EpisodeProblem
from .problem import Recipe, Score

_SYMBOLS = "BTPSXVE"
# Reber 1967: node -> symbol and next node of each way on. It begins with B before node 0 and ends with E after node 5.
_WAYS = {
    0: (("T", 1), ("P", 2)),
    1: (("S", 1), ("X", 3)),
    2: (("T", 2), ("V", 4)),
    3: (("X", 2), ("S", 5)),
    4: (("P", 3), ("V", 5)),
}
_END = 5
_LONGEST = 60  # symbols; longer strings, one in 3,000, are drawn again


@dataclass(frozen=True)
class Reber(EpisodeProblem):
    """Strings of the embedded Reber grammar (Hochreiter and Schmidhuber 1997, experiment 1).

    B, then T or P, then a string of the Reber grammar, then the same T or P again, then E. At each step every symbol
    that may come next has to be more likely than every one that may not.
    """

    name = "reber"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`."""
        return Vocabulary(tuple(_SYMBOLS))

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        return Recipe(_LONGEST, dict.fromkeys(CELLS, 0.01), "constant")

    def draw(self, random: np.random.Generator) -> Episode:
        """See `EpisodeProblem.draw`."""
        while True:
            outer = "TP"[int(random.integers(0, 2))]
            string, possible = ["B", outer, "B"], ["TP", "B", "TP"]
            node = 0
            while node != _END:
                ways = _WAYS[node]
                symbol, node = ways[int(random.integers(0, 2))]
                string.append(symbol)
                possible.append("".join(s for s, _ in _WAYS[node]) if node != _END else "E")
            string += ["E", outer, "E"]
            possible += [outer, "E"]
            if len(string) <= _LONGEST:
                return self._episode(string, possible)

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: everything legal is the most likely, everywhere, in 256 strings and in long rows."""
        return all(score.accuracy == 1.0 for score in scores.values())

    def _episode(self, string: list[str], possible: list[str]) -> Episode:
        """Return the episode of `string`; `possible` are the symbols that may follow each but the last."""
        ids = self.vocabulary.encode_all(string)
        allowed = np.zeros((len(ids), len(_SYMBOLS)), bool)
        for step, symbols in enumerate(possible):
            allowed[step, self.vocabulary.encode_all(symbols)] = True
        weights = np.ones(len(ids), np.float32)
        weights[-1] = 0
        return Episode(ids, np.append(ids[1:], np.int32(0)), weights, allowed)
