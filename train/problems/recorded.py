"""Problems made of recorded sequences: how these become streams to learn from and to be judged by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Indices
from ...runtime.common.errors import CorpusError
from ...runtime.data import Corpus, EncodedSequences
from ...runtime.data.recording import concatenated_ranges
from ...runtime.format.vocabulary import Vocabulary
from .corpus_report import CorpusReport
from .problem import Batches, Recipe, Score, Streams

_RESETS = 0.02  # share of the chunks that begin from nothing, in the middle of a sequence as well
_CARRIED = 0.1  # share of the sequences that begin without a reset: a device may not know where one begins
_UNKNOWN = 0.002  # share of the inputs that are unknown, where no symbol is rare enough to teach what that means
_STREAMS, _MOST_JUDGED = 16, 200_000  # streams that many sequences are judged in, symbols in all of them
_TIME_STEPS, _SHORTEST = 50, 64


@dataclass(frozen=True)
class RecordedProblem(ABC):
    """A problem whose sequences have been recorded.

    They are laid one behind the other, in another order in each pass, and cut into as many lanes as are learned side by
    side. Each lane is read from its beginning to its end in chunks, with the state carried from one to the next
    (truncated BPTT) and forgotten where a sequence begins. One long sequence is just cut into lanes.

    Attributes:
        corpus: What has been recorded.
        max_batch_rows: Streams learned side by side where there is enough for them.
        learning_rate: See `Recipe.learning_rate`.
        epochs: How many times everything is learned from, if `min_updates` are not more.
        min_updates: Updates that are made of little data too.
        judgements: How many times it is evaluated on the way.
    """

    corpus: Corpus
    max_batch_rows: ClassVar[int] = 64
    learning_rate: ClassVar[Mapping[str, float]]
    epochs: ClassVar[int]
    min_updates: ClassVar[int]
    judgements: ClassVar[int]

    @property
    @abstractmethod
    def name(self) -> str:
        """See `Problem.name`."""

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        updates = max(self.min_updates, self.epochs * self.chunks)
        return Recipe(
            time_steps=self.time_steps,
            learning_rate=self.learning_rate,
            schedule="cosine",
            max_updates=updates,
            updates_per_call=10,
            evaluate_every=max(50, updates // self.judgements),
            xla=True,
            patience=8,
            monitor="per_sequence" if self._is_many else "carried",
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`."""
        return self.corpus.vocabulary

    @property
    def labels(self) -> None:
        """See `Problem.labels`."""
        return

    @property
    def data(self) -> CorpusReport:
        """See `Problem.data`."""
        return CorpusReport(self.corpus)

    @property
    def answer_weights(self) -> Float32 | None:
        """What an answer weighs while it is learned, by its symbol, float32 of shape (V,); None: all the same."""
        return None

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """See `Problem.batches`."""
        chunks = [self._chunk(update, seed) for update in range(first, first + updates)]
        return Batches(*(np.stack(part) for part in zip(*chunks, strict=True)))

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`: the held-out sequences, one behind the other and each by itself."""
        carried, per_sequence = self._judged
        return {"carried": carried, "per_sequence": per_sequence} if self._is_many else {"carried": carried}

    def is_solved(self, scores: Mapping[str, Score]) -> bool:
        """See `Problem.is_solved`: what was recorded never is, unless it can be known by heart."""
        return scores[self.recipe.monitor].accuracy == 1.0

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        return {**self.corpus.to_json(), "source": self.corpus.train.source}

    def refuse_if_too_small(self) -> None:
        """Refuse what nothing can be learned from.

        Raises:
            CorpusError: There is too little of it, nothing to judge by, or one symbol again and again.
        """
        corpus, tape = self.corpus, self.corpus.encoded_train
        source = corpus.train.source or "This"
        together = len(corpus.train.ids) + len(corpus.held_out.ids)
        if together < _SHORTEST:
            raise CorpusError(
                f"{source} has {together} symbols; at least {_SHORTEST} are needed to learn from some and judge by "
                "others."
            )
        if len(tape) < _SHORTEST // 2:
            raise CorpusError(f"Only {len(tape)} symbols are left to learn from; hold out less.")
        asked = np.unique(tape.targets[tape.weights > 0])
        if len(asked) < 2:
            what = repr(self.vocabulary.decode(int(asked[0]))) if len(asked) else "nothing"
            raise CorpusError(f"{source} repeats one symbol, {what}; there is nothing to predict.")
        if not self.corpus.encoded_held_out.weights.any():
            raise CorpusError(f"Nothing of {source} that is held out can be predicted; hold out more.")
        _ = corpus.feature_stats  # refuses features that say nothing

    @property
    def time_steps(self) -> int:
        """Length of a chunk."""
        return max(2, min(_TIME_STEPS, len(self.corpus.encoded_train) // 8))

    @property
    def chunks(self) -> int:
        """Chunks in a lane, the place where the first begins left free: updates in a pass through everything."""
        return (self._lane_length - 1) // self.time_steps - 1

    @property
    def _is_many(self) -> bool:
        return len(self.corpus.train) > 1

    @property
    def _lanes(self) -> int:
        return max(1, min(self.max_batch_rows, len(self.corpus.encoded_train) // (4 * self.time_steps)))

    @property
    def _lane_length(self) -> int:
        return len(self.corpus.encoded_train) // self._lanes

    def _chunk(self, update: int, seed: int) -> tuple[AnyArray, ...]:
        """Return inputs, targets and weights (T, B) of one update, and resets, (T, B) or for one sequence (B,).

        Where there are features, their numbers (T, B, F) come last.

        Every pass begins at another place, so that the cuts between chunks fall elsewhere.
        """
        tape, steps, lanes = self.corpus.encoded_train, self.time_steps, self._lanes
        number, chunk = divmod(update, self.chunks)
        offset = int(np.random.default_rng([seed, 8, number]).integers(0, steps))
        places = offset + chunk * steps + np.arange(steps)[:, None] + np.arange(lanes) * self._lane_length
        random = np.random.default_rng([seed, 7, update])
        resets = (random.random(lanes) < _RESETS) | (chunk == 0)
        if self._is_many:
            places = self._passes(number, seed)[places]
            within = tape.is_start[places] & (random.random(places.shape) >= _CARRIED)
            within[0] |= resets
            resets = within
        inputs, targets, weights = tape.inputs[places], tape.targets[places], tape.weights[places]
        if self._unknown is not None:
            hidden = (random.random(places.shape) < _UNKNOWN) & ~tape.is_start[places]
            inputs = np.where(hidden, np.int32(self._unknown), inputs)
        factors = self.answer_weights
        weights = weights if factors is None else weights * factors[targets]
        numbers = () if tape.features is None else (tape.features.values[places],)
        return inputs, targets, weights, resets, *numbers

    @cached_property
    def _unknown(self) -> int | None:
        """The id to show now and then instead of a symbol, so that it is not met untrained on a device."""
        unknown = self.vocabulary.unknown
        if unknown is None or (self.corpus.encoded_train.inputs == self.vocabulary.encode(unknown)).any():
            return None
        return self.vocabulary.encode(unknown)

    @cached_property
    def _passes(self) -> _Passes:
        return _Passes(self.corpus.encoded_train)

    @cached_property
    def _judged(self) -> tuple[Streams, Streams]:
        tape = self.corpus.encoded_held_out
        if not self._is_many:
            carried = in_lanes(tape, np.arange(len(tape.starts) - 1), 1, _MOST_JUDGED)
        else:
            wanted = min(1.0, _MOST_JUDGED / len(tape))
            numbers = np.flatnonzero(np.diff(np.floor(np.arange(len(tape.starts)) * wanted)) > 0)
            carried = in_lanes(tape, numbers if wanted < 1 else np.arange(len(tape.starts) - 1), _STREAMS, _MOST_JUDGED)
        never = np.zeros_like(carried.resets)
        return replace(carried, resets=never), carried


class _Passes:
    """The order of the sequences in each pass, as places of the tape; that of the last pass is kept."""

    def __init__(self, tape: EncodedSequences) -> None:
        self._starts = tape.starts
        self._made = lru_cache(1)(self._make)

    def __call__(self, number: int, seed: int) -> Indices:
        return self._made(number, seed)

    def _make(self, number: int, seed: int) -> Indices:
        drawn = np.random.default_rng([seed, 9, number]).permutation(len(self._starts) - 1)
        return concatenated_ranges(self._starts[drawn], self._starts[drawn + 1])


def in_lanes(tape: EncodedSequences, numbers: Indices, lanes: int, most: int) -> Streams:
    """Return sequences of `tape` as streams, one behind the other in each, with resets where one begins.

    Args:
        tape: Where they come from.
        numbers: Which of them.
        lanes: How many streams to divide them among, at most.
        most: Symbols in a stream that is longer are cut off.
    """
    lengths = tape.starts[numbers + 1] - tape.starts[numbers]
    lanes = min(lanes, len(numbers))
    lane_of = (np.cumsum(lengths) - lengths) * lanes // max(int(lengths.sum()), 1)
    members = [numbers[lane_of == lane] for lane in range(lanes)]
    places = [concatenated_ranges(tape.starts[own], tape.starts[own + 1])[:most] for own in members if len(own)]
    steps = max(map(len, places))
    inputs = np.zeros((steps, len(places)), np.int32)
    targets, weights = inputs.copy(), inputs.astype(np.float32)
    resets = np.zeros(inputs.shape, bool)
    beside: Float32 | None = None
    if tape.features is not None:
        beside = np.zeros((*inputs.shape, len(tape.features.names)), np.float32)
    begins = tape.is_start
    for lane, own in enumerate(places):
        count = len(own)
        inputs[:count, lane], targets[:count, lane] = tape.inputs[own], tape.targets[own]
        weights[:count, lane], resets[:count, lane] = tape.weights[own], begins[own]
        if beside is not None and tape.features is not None:
            beside[:count, lane] = tape.features.values[own]
    return Streams(inputs, targets, weights, resets, numbers=beside)
