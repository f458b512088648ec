"""The memory problem: sequences that agree in the middle, so that only their beginning tells how they end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..runtime.errors import ProblemError
from ..runtime.vocabulary import Vocabulary
from .episodes import Episode, EpisodeProblem
from .network import CELLS
from .problem import Recipe
from .score import Score

_SURE = 0.02  # nats: the right answer has a probability of 98 % on average


@dataclass(frozen=True)
class Memory(EpisodeProblem):
    """Sequences to be known by heart, from the first symbol on.

    A symbol is to be predicted where everything before it in its sequence leaves one possibility.

    Attributes:
        sequences: The sequences, each of two symbols or more; they may differ in length.

    Raises:
        ProblemError: No sequences, one that is too short, or nothing in them that can be predicted.
    """

    sequences: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        """Check that there is something to learn."""
        if not self.sequences or min(map(len, self.sequences)) < 2:
            raise ProblemError("The memory problem needs sequences of two symbols or more.")
        if not any(episode.weights.any() for episode in self._episodes):
            raise ProblemError(
                "Nothing in these sequences can be predicted: equal beginnings go on differently everywhere."
            )

    @classmethod
    def conflicting(cls, sequences: int = 2, length: int = 5, symbols: int | None = None) -> Memory:
        """Return `sequences` sequences that begin and end with a symbol of their own and agree in between.

        The default is the pair 3,0,1,2,3 and 4,0,1,2,4: after 2 comes 3 or 4, and only the symbol four steps back
        tells which.

        Args:
            sequences: How many.
            length: Symbols in each.
            symbols: Size of the alphabet "0", "1", ...; the last `sequences` of them are the beginnings, the others
                are passed through in order, again and again if need be. None: as many as the middle is long.

        Raises:
            ProblemError: The values do not go together; all problems are named.
        """
        size = sequences + length - 2 if symbols is None else symbols
        problems = []
        if sequences < 2:
            problems.append(f"{sequences} sequences cannot conflict, 2 or more can")
        if length < 3:
            problems.append(f"sequences of {length} symbols have no middle, 3 or more have")
        if size < sequences + 1:
            problems.append(
                f"an alphabet of {size} is too small for {sequences} sequences, {sequences + 1} is the least"
            )
        if problems:
            raise ProblemError(f"This memory problem cannot be made: {'; '.join(problems)}.")
        between = size - sequences
        middle = [str(step % between) for step in range(length - 2)]
        return cls(tuple((str(key), *middle, str(key)) for key in range(between, size)))

    @property
    def name(self) -> str:
        """See `Problem.name`."""
        return "memory"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`: numbers in their order, other symbols in theirs."""
        found = {symbol for sequence in self.sequences for symbol in sequence}
        return Vocabulary(tuple(sorted(found, key=lambda s: (not s.isdecimal(), int(s) if s.isdecimal() else 0, s))))

    @property
    def labels(self) -> None:
        """See `Problem.labels`."""
        return

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        lengths = [len(sequence) for sequence in self.sequences]
        # Sequences of different lengths are learned two by two at least, so that each is seen to follow every other.
        steps = max(lengths) * (1 if max(lengths) == min(lengths) else 2)
        return Recipe(
            time_steps=steps,
            learning_rate=dict.fromkeys(CELLS, 0.01),
            schedule="constant",
            updates=5000,
            per_block=25,
            evaluate_every=25,
            xla=steps > 50,
        )

    def draw(self, random: np.random.Generator) -> Episode:
        """See `EpisodeProblem.draw`."""
        return self._episodes[int(random.integers(0, len(self.sequences)))]

    def examples(self, seed: int) -> list[Episode]:
        """See `EpisodeProblem.examples`: here all there are."""
        return self._episodes

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: everything is right and sure, with resets between sequences and without."""
        return all(scores[name].accuracy == 1.0 and scores[name].nats < _SURE for name in ("carried", "per_sequence"))

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {"sequences": [list(sequence) for sequence in self.sequences]}

    @cached_property
    def _episodes(self) -> list[Episode]:
        """One for each sequence."""
        following = defaultdict(set)
        for sequence in self.sequences:
            for position in range(1, len(sequence)):
                following[sequence[:position]].add(sequence[position])
        return [self._episode(sequence, following) for sequence in self.sequences]

    def _episode(self, sequence: tuple[str, ...], following: Mapping[tuple[str, ...], set[str]]) -> Episode:
        ids = self.vocabulary.encode_all(sequence)
        weights = [len(following[sequence[:position]]) == 1 for position in range(1, len(ids))]
        return Episode(ids, np.append(ids[1:], np.int32(0)), np.array([*weights, False], np.float32))
