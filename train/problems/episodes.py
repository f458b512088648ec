"""Problems of independent sequences, as streams for training and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Ids
from .problem import Batches, GeneratedProblem, Recipe, Streams

_STREAMS = 16
# Sequences in each carried stream: 50, fewer if they are long, never less than 10.
_MOST_CARRIED, _LEAST_CARRIED, _CARRIED_STEPS = 50, 10, 10_000
_EXAMPLES = 256


@dataclass(frozen=True)
class Episode:
    """One sequence, from the first symbol to the last.

    Attributes:
        inputs: Ids of shape (L,).
        targets: The right answer to each, ids of shape (L,).
        weights: Shape (L,): 1 where an answer is asked for, else 0.
        allowed: bool of shape (L, K): all outputs that would be right, where there are several; else None.
    """

    inputs: Ids
    targets: Ids
    weights: Float32
    allowed: AnyArray | None = None

    def __len__(self) -> int:
        """Return the number of symbols."""
        return len(self.inputs)


class EpisodeProblem(GeneratedProblem, ABC):
    """A problem whose sequences can be drawn one by one.

    Each batch row of a chunk holds as many whole sequences as fit, one after the other. The rest of the chunk is padded
    with symbols of weight 0, and the next chunk of that row begins with a reset: padding is never learned and never
    seen.
    """

    @property
    def resets(self) -> float:
        """Fraction of the chunks that begin with a reset; the others go on from the sequence before.

        1: a device has to reset between sequences. Less: it need not.
        """
        return 0.5

    @property
    def batch_rows(self) -> int:
        """Rows of a batch."""
        return 16

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """See `Problem.recipe`; its `time_steps` are those of the longest sequence or more."""

    @abstractmethod
    def draw(self, random: np.random.Generator) -> Episode:
        """Return a sequence drawn with `random`."""

    def supply(self, random: np.random.Generator) -> Iterator[Episode]:
        """Yield training sequences without end."""
        while True:
            yield self.draw(random)

    def examples(self, seed: int) -> list[Episode]:
        """Return the sequences for evaluation one at a time, drawn apart from the training sequences."""
        random = np.random.default_rng([seed, 1])
        return [self.draw(random) for _ in range(_EXAMPLES)]

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """See `Problem.batches`."""
        chunks = [self._chunk(update, seed) for update in range(first - 1, first + updates)]
        inputs, targets, weights = (np.stack([chunk[part] for chunk in chunks[1:]]) for part in range(3))
        resets = np.stack([chunk[4] for chunk in chunks[1:]]) | np.stack([chunk[3] for chunk in chunks[:-1]])
        return Batches(inputs, targets, weights, resets)

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`: sequences after a reset each, and long streams of them without any reset."""
        return {"carried": self.carried(seed), "per_sequence": side_by_side(self.examples(seed))}

    def carried(self, seed: int) -> Streams:
        """Return streams of sequences one after the other, the state never reset."""
        count = max(_LEAST_CARRIED, min(_MOST_CARRIED, _CARRIED_STEPS // self.recipe.time_steps))
        randoms = [np.random.default_rng([seed, 2, stream]) for stream in range(_STREAMS)]
        joined = [join([self.draw(random) for _ in range(count)]) for random in randoms]
        steps = min(map(len, joined))
        streams = side_by_side([_cut(episode, steps) for episode in joined])
        return replace(streams, resets=np.zeros((steps, _STREAMS), bool))

    def _chunk(self, update: int, seed: int) -> tuple[AnyArray, ...]:
        """Return inputs, targets and weights (T, B) of one update, which rows end in padding, and which are reset."""
        random = np.random.default_rng([seed, 3, update + 1])
        steps = self.recipe.time_steps
        chunk = [np.zeros((steps, self.batch_rows), dtype) for dtype in (np.int32, np.int32, np.float32)]
        used = np.zeros(self.batch_rows, int)
        supply = self.supply(random)
        for row in range(self.batch_rows):
            while used[row] < steps:
                episode = next(supply)
                end = used[row] + len(episode)
                if end > steps:
                    break
                parts = (episode.inputs, episode.targets, episode.weights)
                for target, source in zip(chunk, parts, strict=True):
                    target[used[row] : end, row] = source
                used[row] = end
        return *chunk, used < steps, random.random(self.batch_rows) < self.resets


def join(episodes: Sequence[Episode]) -> Episode:
    """Return the episodes one after the other as one."""
    allowed = [episode.allowed for episode in episodes if episode.allowed is not None]
    return Episode(
        np.concatenate([episode.inputs for episode in episodes]),
        np.concatenate([episode.targets for episode in episodes]),
        np.concatenate([episode.weights for episode in episodes]),
        np.concatenate(allowed) if allowed else None,
    )


def side_by_side(episodes: Sequence[Episode]) -> Streams:
    """Return the episodes as streams that each begin with a reset; shorter ones end in symbols of weight 0."""
    steps = max(map(len, episodes))
    inputs = np.zeros((steps, len(episodes)), np.int32)
    targets, weights = inputs.copy(), inputs.astype(np.float32)
    resets = np.zeros(inputs.shape, bool)
    resets[0] = True
    first = episodes[0].allowed
    allowed = None if first is None else np.zeros((*inputs.shape, first.shape[1]), bool)
    for column, episode in enumerate(episodes):
        own = slice(len(episode)), column
        inputs[own], targets[own], weights[own] = episode.inputs, episode.targets, episode.weights
        if allowed is not None:
            allowed[own] = episode.allowed
    return Streams(inputs, targets, weights, resets, allowed)


def _cut(episode: Episode, steps: int) -> Episode:
    allowed = None if episode.allowed is None else episode.allowed[:steps]
    return Episode(episode.inputs[:steps], episode.targets[:steps], episode.weights[:steps], allowed)
