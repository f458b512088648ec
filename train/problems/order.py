"""The order problem: in which order did two marked symbols come, long ago and far apart?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np

from ...runtime.common.errors import ProblemError
from ...runtime.format.vocabulary import Vocabulary
from ..network.network import CELLS
from .episodes import Episode, EpisodeProblem
from .problem import Recipe, Score

_SYMBOLS = (*"abcd", "X", "Y", "begin", "end")
_MARKS = (4, 5)
# Where the marks stand, first and last possible step: experiment 6a has two, 6b three.
_PLACES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
_SHORTEST, _LONGEST = 100, 110


@dataclass(frozen=True)
class Order(EpisodeProblem):
    """100 to 110 symbols with a mark X or Y at two or three of them; at the end the order of the marks is asked for.

    Hochreiter and Schmidhuber 1997, experiments 6a (two marks, four answers) and 6b (three marks, eight answers).

    Attributes:
        marks: 2 or 3.

    Raises:
        ProblemError: Another number of marks.
    """

    name = "order"

    resets: ClassVar[float] = 1.0

    marks: int = 2

    def __post_init__(self) -> None:
        """Check the values."""
        if self.marks not in _PLACES:
            raise ProblemError(f"The order problem has 2 or 3 marks, not {self.marks}.")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`."""
        return Vocabulary(_SYMBOLS)

    @cached_property
    def labels(self) -> Vocabulary:
        """See `Problem.labels`: XX, XY, YX, YY, or the eight of three marks."""
        return Vocabulary(tuple("".join(marks) for marks in product("XY", repeat=self.marks)))

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        rates = dict.fromkeys(CELLS, 0.01)
        return Recipe(_LONGEST, rates, evaluate_every=100, monitor="per_sequence", max_lag=_LONGEST)

    def draw(self, random: np.random.Generator) -> Episode:
        """See `EpisodeProblem.draw`."""
        inputs = random.integers(0, 4, int(random.integers(_SHORTEST, _LONGEST + 1))).astype(np.int32)
        marks = random.integers(0, 2, self.marks)
        for (first, last), mark in zip(_PLACES[self.marks], marks, strict=True):
            inputs[random.integers(first, last + 1)] = _MARKS[mark]
        inputs[0], inputs[-1] = 6, 7
        answer = int("".join(map(str, marks)), 2)
        weights = np.zeros(len(inputs), np.float32)
        weights[-1] = 1
        return Episode(inputs, np.full(len(inputs), answer, np.int32), weights)

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`."""
        return scores["per_sequence"].accuracy == 1.0
