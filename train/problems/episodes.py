"""Problems made of independent sequences: how these become streams to learn from and to be judged by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Ids
from ...runtime.format.vocabulary import Vocabulary
from .problem import Batches, Recipe, Streams

_STREAMS = 16
# Sequences in a row in each stream that a model is judged by: 50, fewer if they are long, never less than 10.
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


class EpisodeProblem(ABC):
    """A problem whose sequences can be drawn one by one.

    Whole sequences are laid one after the other into the chunks of each lane, as many as fit, and learned from end to
    end. What is left at the end of a chunk is filled with symbols that have no weight, and the state behind them goes
    no further: padding is never learned and never seen.
    """

    @property
    def resets(self) -> float:
        """Share of the chunks that begin from nothing; the others go on from the sequence before.

        1: a device has to reset between sequences. Less: it need not.
        """
        return 0.5

    @property
    def lanes(self) -> int:
        """Streams learned side by side."""
        return 16

    @property
    def labels(self) -> Vocabulary | None:
        """See `Problem.labels`: the next symbol, unless a problem has others."""
        return None

    @property
    def data(self) -> None:
        """See `Problem.data`: they are made."""
        return

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """See `Problem.recipe`; its `time_steps` are those of the longest sequence or more."""

    @abstractmethod
    def draw(self, random: np.random.Generator) -> Episode:
        """Return a sequence that follows from `random` alone."""

    def supply(self, random: np.random.Generator) -> Iterator[Episode]:
        """Yield the sequences that an update learns from, without end."""
        while True:
            yield self.draw(random)

    def examples(self, seed: int) -> list[Episode]:
        """Return the sequences that a model is judged by one at a time: others than it learns from."""
        random = np.random.default_rng([seed, 1])
        return [self.draw(random) for _ in range(_EXAMPLES)]

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """See `Problem.batches`."""
        chunks = [self._chunk(update, seed) for update in range(first - 1, first + updates)]
        inputs, targets, weights = (np.stack([chunk[part] for chunk in chunks[1:]]) for part in range(3))
        resets = np.stack([chunk[4] for chunk in chunks[1:]]) | np.stack([chunk[3] for chunk in chunks[:-1]])
        return Batches(inputs, targets, weights, resets)

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`: sequences after a reset each, and long rows of them without any reset."""
        return {"carried": self.rows(seed), "per_sequence": side_by_side(self.examples(seed))}

    def rows(self, seed: int) -> Streams:
        """Return streams of sequences one after the other, the state never reset."""
        lanes = []
        count = max(_LEAST_CARRIED, min(_MOST_CARRIED, _CARRIED_STEPS // self.recipe.time_steps))
        for lane in range(_STREAMS):
            random = np.random.default_rng([seed, 2, lane])
            lanes.append(joined([self.draw(random) for _ in range(count)]))
        steps = min(map(len, lanes))
        streams = side_by_side([_cut(lane, steps) for lane in lanes])
        return Streams(
            streams.inputs, streams.targets, streams.weights, np.zeros((steps, _STREAMS), bool), streams.allowed
        )

    def _chunk(self, update: int, seed: int) -> tuple[AnyArray, ...]:
        """Return inputs, targets and weights (T, B) of one update; which lanes end in filling; which begin anew."""
        random = np.random.default_rng([seed, 3, update + 1])
        steps = self.recipe.time_steps
        chunk = [np.zeros((steps, self.lanes), dtype) for dtype in (np.int32, np.int32, np.float32)]
        used = np.zeros(self.lanes, int)
        supply = self.supply(random)
        for lane in range(self.lanes):
            while used[lane] < steps:
                episode = next(supply)
                end = used[lane] + len(episode)
                if end > steps:
                    break
                parts = (episode.inputs, episode.targets, episode.weights)
                for target, source in zip(chunk, parts, strict=True):
                    target[used[lane] : end, lane] = source
                used[lane] = end
        return *chunk, used < steps, random.random(self.lanes) < self.resets


def joined(episodes: Sequence[Episode]) -> Episode:
    """Return the episodes one after the other as one."""
    allowed = [episode.allowed for episode in episodes if episode.allowed is not None]
    return Episode(
        np.concatenate([episode.inputs for episode in episodes]),
        np.concatenate([episode.targets for episode in episodes]),
        np.concatenate([episode.weights for episode in episodes]),
        np.concatenate(allowed) if allowed else None,
    )


def side_by_side(episodes: Sequence[Episode]) -> Streams:
    """Return the episodes as streams that each begin from nothing; shorter ones end in symbols without weight."""
    steps = max(map(len, episodes))
    inputs = np.zeros((steps, len(episodes)), np.int32)
    targets, weights = inputs.copy(), inputs.astype(np.float32)
    resets = np.zeros(inputs.shape, bool)
    resets[0] = True
    first = episodes[0].allowed
    allowed = None if first is None else np.zeros((*inputs.shape, first.shape[1]), bool)
    for lane, episode in enumerate(episodes):
        length = len(episode)
        inputs[:length, lane], targets[:length, lane], weights[:length, lane] = (
            episode.inputs, episode.targets, episode.weights,
        )  # fmt: skip
        if allowed is not None:
            allowed[:length, lane] = episode.allowed
    return Streams(inputs, targets, weights, resets, allowed)


def _cut(episode: Episode, steps: int) -> Episode:
    allowed = None if episode.allowed is None else episode.allowed[:steps]
    return Episode(episode.inputs[:steps], episode.targets[:steps], episode.weights[:steps], allowed)
