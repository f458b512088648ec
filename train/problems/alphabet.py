"""The alphabet: after each letter comes the next one, wherever a sequence begins and however long it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase

import numpy as np

from ...runtime.common.arrays import Ids
from ...runtime.common.errors import raise_if_any
from ...runtime.format.vocabulary import Vocabulary
from ..network.network import CELLS
from .episodes import Episode, EpisodeProblem, side_by_side
from .problem import Recipe, Score, Streams

_TIME_STEPS = 25
_FROM_EACH = 104  # steps from every letter: four times through A to Z


@dataclass(frozen=True)
class Alphabet(EpisodeProblem):
    """Sequences of neighbouring letters, of any length; each letter is answered with the next one.

    Sequences come as long as they are: no symbol stands for padding, and every answer of a sequence counts.

    Attributes:
        symbols: How many letters: "A", "B", ... up to 26; of more the symbols are the numbers "0", "1", ...
        cyclic: After the last letter comes the first, and a sequence begins at any letter. False: nothing comes after
            the last letter, so a sequence begins at any other letter and nothing after the last is asked for.
        scrambled: Seed of another fixed order of the letters, in which neighbouring ids mean nothing; None: A to Z.
        shortest: Letters in the shortest sequence.
        longest: Letters in the longest; every length up to it occurs.

    Raises:
        ProblemError: Values that make no problem; all of them are named.
    """

    name = "alphabet"

    symbols: int = 26
    cyclic: bool = True
    scrambled: int | None = None
    shortest: int = 1
    longest: int = 5

    def __post_init__(self) -> None:
        """Check the values."""
        problems = []
        if self.symbols < 2:
            problems.append(f"an alphabet of {self.symbols} has no next letter, 2 or more have")
        if self.scrambled is not None and self.scrambled < 0:
            problems.append(f"the seed of the scrambled order is {self.scrambled}, 0 is the least")
        if self.shortest < 1:
            problems.append(f"the shortest sequence has {self.shortest} letters, 1 is the least")
        if self.longest < self.shortest:
            problems.append(
                f"the longest sequence has {self.longest} letters, fewer than the shortest with {self.shortest}"
            )
        elif not self.cyclic and self.longest >= self.symbols >= 2:
            problems.append(
                f"the longest sequence has {self.longest} letters, and nothing comes after the last of "
                f"{self.symbols} letters unless they are cyclic; {self.symbols - 1} is the most"
            )
        raise_if_any(problems, "This alphabet problem cannot be made")

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`; A to Z, also where the order is another."""
        if self.symbols > len(ascii_uppercase):
            return Vocabulary.of_ids(self.symbols)
        return Vocabulary(tuple(ascii_uppercase[: self.symbols]))

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        steps = max(_TIME_STEPS, self.longest)
        rates = dict.fromkeys(CELLS, 0.01)
        return Recipe(steps, rates, "constant", max_updates=5000, evaluate_every=25, xla=False)

    def draw(self, random: np.random.Generator) -> Episode:
        """See `EpisodeProblem.draw`: first where it begins, then how long it is, each as likely as the others."""
        if self.cyclic:
            start, longest = int(random.integers(0, self.symbols)), self.longest
        else:
            start = int(random.integers(0, self.symbols - self.shortest))
            longest = min(self.longest, self.symbols - 1 - start)
        return self._sequence(start, int(random.integers(self.shortest, longest + 1)))

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`; for a cyclic alphabet also `from_each`: on and on from each letter.

        Each stream of `from_each` begins from nothing with another letter and is never reset after it. When all of its
        answers are right, every input is the answer before it: then this is exactly the closed loop, in which a model
        is given one letter and from there on its own answers.
        """
        streams = super().evaluations(seed)
        if self.cyclic:
            streams["from_each"] = side_by_side([self._sequence(start, _FROM_EACH) for start in range(self.symbols)])
        return streams

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: everything is right, in every evaluation."""
        return all(score.accuracy == 1.0 for score in scores.values())

    @cached_property
    def _order(self) -> Ids:
        """The letters in the order in which they follow each other, ids of shape (symbols,)."""
        if self.scrambled is None:
            return np.arange(self.symbols, dtype=np.int32)
        return np.random.default_rng(self.scrambled).permutation(self.symbols).astype(np.int32)

    def _sequence(self, start: int, length: int) -> Episode:
        """Return `length` letters from place `start` of the order on."""
        letters = self._order[np.arange(start, start + length + 1) % self.symbols]
        return Episode(letters[:-1], letters[1:], np.ones(length, np.float32))
