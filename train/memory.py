"""The memory problem: sequences that agree in the middle, so that only their beginning tells how they end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..runtime.arrays import AnyArray, Float32, Ids
from ..runtime.errors import ProblemError
from ..runtime.vocabulary import Vocabulary
from .network import CELLS
from .problem import Block, Recipe, Streams
from .score import Score

_LANES = 16
_SURE = 0.02  # nats: the right answer has a probability of 98 % on average
_CARRIED_SEQUENCES = 50  # in each evaluation stream: 50 times what gradients flow through


@dataclass(frozen=True)
class Memory:
    """Sequences to be known by heart, from the first symbol on.

    A symbol is to be predicted where everything before it in its sequence leaves one possibility. The state is carried
    from one sequence into the next half of the time, so that it does not matter whether a device resets between them.

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
        if not self._table[2].any():
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
        lengths = self._table[3]
        # Sequences of different lengths are learned two by two at least, so that each is seen to follow every other.
        steps = int(max(lengths)) * (1 if max(lengths) == min(lengths) else 2)
        return Recipe(
            time_steps=steps,
            learning_rate=dict.fromkeys(CELLS, 0.01),
            schedule="constant",
            updates=5000,
            per_block=25,
            evaluate_every=25,
            xla=steps > 50,
        )

    def block(self, first: int, updates: int, seed: int) -> Block:
        """See `Problem.block`: each lane learns whole sequences, as many as fit into a chunk."""
        chunks = [self._chunk(update, seed) for update in range(first - 1, first + updates)]
        inputs, targets, weights = (np.stack([chunk[part] for chunk in chunks[1:]]) for part in range(3))
        resets = np.stack([chunk[4] for chunk in chunks[1:]])
        # What fills the end of a chunk has no weight, and its state goes no further.
        resets |= np.stack([chunk[3] for chunk in chunks[:-1]])
        return Block(inputs, targets, weights, resets)

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`: each sequence after a reset, and long rows of sequences without any reset."""
        inputs, targets, weights, _ = self._table
        once = np.zeros(inputs.T.shape, bool)
        once[0] = True
        carried = [self._row(np.random.default_rng([seed, 2, lane])) for lane in range(_LANES)]
        steps = min(len(row[0]) for row in carried)
        rows = [np.stack([row[part][:steps] for row in carried], axis=1) for part in range(3)]
        return {
            "carried": Streams(rows[0], rows[1], rows[2], np.zeros((steps, _LANES), bool)),
            "per_sequence": Streams(inputs.T, targets.T, weights.T, once),
        }

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: everything is right and sure, with resets between sequences and without."""
        return all(scores[name].accuracy == 1.0 and scores[name].nats < _SURE for name in ("carried", "per_sequence"))

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {"sequences": [list(sequence) for sequence in self.sequences]}

    @cached_property
    def _table(self) -> tuple[Ids, Ids, Float32, AnyArray]:
        """Inputs, targets and weights of shape (sequences, longest), and the length of each sequence."""
        following = defaultdict(set)
        for sequence in self.sequences:
            for position in range(1, len(sequence)):
                following[sequence[:position]].add(sequence[position])
        longest = max(map(len, self.sequences))
        inputs = np.zeros((len(self.sequences), longest), np.int32)
        targets, weights = inputs.copy(), inputs.astype(np.float32)
        for row, sequence in enumerate(self.sequences):
            ids = self.vocabulary.encode_all(sequence)
            inputs[row, : len(ids)], targets[row, : len(ids) - 1] = ids, ids[1:]
            weights[row, : len(ids) - 1] = [len(following[sequence[:p]]) == 1 for p in range(1, len(ids))]
        return inputs, targets, weights, np.array([len(sequence) for sequence in self.sequences])

    def _chunk(self, update: int, seed: int) -> tuple[AnyArray, ...]:
        """Return inputs, targets and weights (T, B) of one update; which lanes end in filling; which begin anew."""
        random = np.random.default_rng([seed, 3, update + 1])
        inputs, targets, weights, lengths = self._table
        steps = self.recipe.time_steps
        chunk = [np.zeros((steps, _LANES), array.dtype) for array in (inputs, targets, weights)]
        drawn = random.integers(0, len(lengths), (_LANES, steps // min(lengths)))
        used = np.zeros(_LANES, int)
        for lane in range(_LANES):
            for row in drawn[lane]:
                end = used[lane] + lengths[row]
                if end > steps:
                    break
                for target, source in zip(chunk, (inputs, targets, weights), strict=True):
                    target[used[lane] : end, lane] = source[row, : lengths[row]]
                used[lane] = end
        return *chunk, used < steps, random.random(_LANES) < 0.5

    def _row(self, random: np.random.Generator) -> list[AnyArray]:
        """Return inputs, targets and weights of randomly chosen sequences, one after the other."""
        inputs, targets, weights, lengths = self._table
        chosen = random.integers(0, len(self.sequences), _CARRIED_SEQUENCES)
        return [np.concatenate([array[row, : lengths[row]] for row in chosen]) for array in (inputs, targets, weights)]
