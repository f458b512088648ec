"""The memory problem: sequences that agree in the middle, so that only their first symbol tells the last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...runtime.common.arrays import Float32
from ...runtime.common.errors import ProblemError, raise_if_any
from ...runtime.format.vocabulary import Vocabulary
from ..network.network import CELLS
from .episodes import Episode, EpisodeProblem
from .problem import Recipe, Score

_SURE = 0.02  # nats: the right answer has a probability of 98 % on average
_LOWEST = 0.75  # and never less than this: then every output is less than 0.25 off (Hochreiter and Schmidhuber 1997)
_LONG = 50  # symbols: longer dependencies need gates and emphasis of their own
_VERY_LONG = 300  # from here on a small learning rate is needed
# Weight of an answer that depends on symbols further back than _LONG, in answers of a whole sequence. Otherwise all
# others are learned first, which teaches the gates to forget, and no gradient reaches the beginning any more.
_EMPHASIS = 3.0
_EMPHASIS_FIRST, _EMPHASIS_THEN = 10.0, 0.1  # of very long sequences: once it is known, the others have their turn


@dataclass(frozen=True)
class Memory(EpisodeProblem):
    """Sequences to be known by heart, from the first symbol on.

    A symbol is to be predicted where everything before it in its sequence leaves one possibility.

    Attributes:
        sequences: The sequences, each of two symbols or more; they may differ in length.

    Raises:
        ProblemError: No sequences, one that is too short, or nothing in them that can be predicted.
    """

    name = "memory"

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
        raise_if_any(problems, "This memory problem cannot be made")
        between = size - sequences
        middle = [str(step % between) for step in range(length - 2)]
        return cls(tuple((str(key), *middle, str(key)) for key in range(between, size)))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`: numbers in their order, other symbols in theirs."""
        found = {symbol for sequence in self.sequences for symbol in sequence}
        return Vocabulary(tuple(sorted(found, key=lambda s: (not s.isdecimal(), int(s) if s.isdecimal() else 0, s))))

    @property
    def resets(self) -> float:
        """See `EpisodeProblem.resets`; a memory that is to last is hard to overwrite, so it begins from nothing."""
        return 1.0 if self._is_long else super().resets

    @property
    def batch_rows(self) -> int:
        """See `EpisodeProblem.batch_rows`; of long sequences the few there are will do."""
        return min(max(2, len(self.sequences)), super().batch_rows) if self._is_long else super().batch_rows

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        lengths = [len(sequence) for sequence in self.sequences]
        # Sequences of different lengths are learned two by two at least, so that each is seen to follow every other.
        steps = max(lengths) * (1 if max(lengths) == min(lengths) else 2)
        is_very_long = self._reach > _VERY_LONG
        rate = 0.005 if is_very_long else 0.02 if self._is_long else 0.01
        return Recipe(
            steps, dict.fromkeys(CELLS, rate), "by_accuracy" if is_very_long else "constant", max_updates=5000,
            evaluate_every=50 if self._is_long else 25, xla=steps > 50,
            monitor="per_sequence" if self._is_long else "carried", max_lag=self._reach if self._is_long else 0,
            curriculum=(_FarFirst(self.sequences),) if is_very_long else (),
        )  # fmt: skip

    def draw(self, random: np.random.Generator) -> Episode:
        """See `EpisodeProblem.draw`."""
        return self._episodes[int(random.integers(0, len(self.sequences)))]

    def supply(self, random: np.random.Generator) -> Iterator[Episode]:
        """See `EpisodeProblem.supply`: each sequence as often as every other.

        Where one answer in a hundred tells the sequences apart, a majority by chance would teach more than the answer.
        """
        while True:
            for number in random.permutation(len(self.sequences)):
                episode, far = self._episodes[number], self._context[number] > _LONG
                emphasis = np.where(far, np.float32(self._emphasis * len(episode)), np.float32(1))
                yield replace(episode, weights=episode.weights * emphasis)

    def examples(self, seed: int) -> list[Episode]:
        """See `EpisodeProblem.examples`: here all there are."""
        return self._episodes

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: everything is right and sure, with resets between sequences and without.

        Long sequences need the resets, as in Hochreiter and Schmidhuber 1997, experiment 2a; then a sequence is
        answered alike each time, and if it is right once it is right in 10,000 repetitions.
        """
        judged = [scores[name] for name in ("per_sequence", "carried")[: 1 if self._is_long else 2]]
        return all(score.accuracy == 1.0 and score.nats < _SURE and score.min_probability > _LOWEST for score in judged)

    @cached_property
    def _reach(self) -> int:
        """Symbols back to the furthest that an answer depends on."""
        pairs = zip(self._context, self._episodes, strict=True)
        return int(max((context * (episode.weights > 0)).max() for context, episode in pairs))

    @property
    def _emphasis(self) -> float:
        return _EMPHASIS_THEN if self._reach > _VERY_LONG else _EMPHASIS

    @property
    def _is_long(self) -> bool:
        return self._reach > _LONG

    @cached_property
    def _episodes(self) -> list[Episode]:
        """One for each sequence."""
        following = defaultdict(set)
        for sequence in self.sequences:
            for position in range(1, len(sequence)):
                following[sequence[:position]].add(sequence[position])
        return [self._episode(sequence, following) for sequence in self.sequences]

    @cached_property
    def _context(self) -> list[Float32]:
        """For each sequence, the number of last symbols that determine the next one, shape (L,)."""
        episodes = self._episodes
        inputs = np.concatenate([np.append(episode.inputs, np.int32(-1)) for episode in episodes])
        # -1 stands where nothing is asked; nothing runs through the -1 between two sequences.
        answers = np.concatenate(
            [np.append(np.where(e.weights > 0, e.targets, np.int32(-1)), np.int32(-1)) for e in episodes]
        )
        alike = np.zeros(len(inputs) + 1, int)  # symbols up to each place that are those up to the present place
        needed = np.ones(len(inputs), np.float32)
        for place, symbol in enumerate(inputs):
            alike[1:] = np.where(inputs == symbol, alike[:-1] + 1, 0) if symbol >= 0 else 0
            needed[place] += alike[1:].max(where=(answers != answers[place]) & (answers >= 0), initial=0)
        ends = np.cumsum([len(episode) + 1 for episode in episodes])[:-1]
        return [part[: len(e)] for part, e in zip(np.split(needed, ends), episodes, strict=True)]

    def _episode(self, sequence: tuple[str, ...], following: Mapping[tuple[str, ...], set[str]]) -> Episode:
        ids = self.vocabulary.encode_all(sequence)
        weights = [len(following[sequence[:position]]) == 1 for position in range(1, len(ids))]
        return Episode(ids, np.append(ids[1:], np.int32(0)), np.array([*weights, False], np.float32))


class _FarFirst(Memory):
    """The same sequences, with hardly any weight on answers that near symbols tell."""

    @property
    def _emphasis(self) -> float:
        return _EMPHASIS_FIRST
