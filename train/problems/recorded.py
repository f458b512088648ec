"""Problems of recorded sequences, as streams for training and evaluation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...runtime.common.arrays import AnyArray, Float32, Indices
from ...runtime.common.errors import CorpusError
from ...runtime.data import Corpus, EncodedSequences, HeldOut, Inherited, Reader
from ...runtime.data.ranges import Ranges, concatenated_ranges
from ...runtime.data.recording import counted
from ...runtime.data.storage import blocks, release
from ...runtime.format.vocabulary import Vocabulary
from .corpus_report import CorpusReport
from .problem import Batches, DataSummary, Recipe, Streams

_RESETS = 0.02  # fraction of the chunks that begin with a reset, in the middle of a sequence as well
_CARRIED = 0.1  # fraction of the sequences that begin without a reset: a device may not know where one begins
_UNKNOWN = 0.002  # fraction of the inputs replaced by the unknown symbol, where no symbol is rare enough to teach it
_STREAMS = 16  # for evaluation
_TIME_STEPS, _SHORTEST = 50, 64
_READ_AT_ONCE = 16  # updates between which the pages of mapped data are given back
_ROWS_AT_ONCE = 1 << 14  # steps of streams, likewise


@dataclass(frozen=True)
class EarlierData:
    """How the data of an earlier training were read and split.

    Attributes:
        reader: The reader of its file.
        split: The split; None: it had a file to evaluate on.
        held_out_file: That file.
        targets: Columns of the right answers.
    """

    reader: Reader
    split: HeldOut | None
    held_out_file: Path | None = None
    targets: Sequence[str] = ()


@dataclass(frozen=True)
class RecordedProblem:
    """A problem whose sequences have been recorded.

    They are concatenated, in another order in each pass, and cut into batch rows of equal length. Each row is read from
    its beginning to its end in chunks, with the state carried from one to the next (truncated BPTT) and reset where a
    sequence begins. One long sequence is cut into rows.

    Attributes:
        corpus: The recorded sequences.
        max_batch_rows: Batch rows where there is enough data for them.
        learning_rate: See `Recipe.learning_rate`.
        epochs: Passes through the data, if `min_updates` are not more.
        min_updates: Least number of updates.
        evaluation_count: Evaluations during training.
        max_evaluated: Most symbols of the evaluation streams.
    """

    name: ClassVar[str]

    corpus: Corpus
    max_batch_rows: ClassVar[int] = 64
    learning_rate: ClassVar[Mapping[str, float]]
    epochs: ClassVar[int]
    min_updates: ClassVar[int]
    evaluation_count: ClassVar[int]
    max_evaluated: ClassVar[int] = 200_000

    @property
    def recipe(self) -> Recipe:
        """See `Problem.recipe`."""
        updates = max(self.min_updates, self.epochs * self.chunks)
        return Recipe(
            self.time_steps, self.learning_rate, "cosine", updates, updates_per_call=10,
            evaluate_every=max(50, updates // self.evaluation_count), patience=5,
            monitor="per_sequence" if self._is_many else "carried",
        )  # fmt: skip

    @property
    def vocabulary(self) -> Vocabulary:
        """See `Problem.vocabulary`."""
        return self.corpus.vocabulary

    @property
    def labels(self) -> Vocabulary | None:
        """See `Problem.labels`."""
        return None

    @property
    def data(self) -> DataSummary:
        """See `Problem.data`."""
        return CorpusReport(self.corpus)

    @property
    def answer_weights(self) -> Float32 | None:
        """The training weight of an answer, by its symbol or label, float32 of shape (K,); None: all 1."""
        return None

    @property
    def sequence_factors(self) -> Float32 | None:
        """The training weight of each answer by its sequence, float32 of shape (N,); None: all 1."""
        return None

    @property
    def weighed_lengths(self) -> tuple[float, float] | None:
        """See `Problem.weighed_lengths`: there is no option for it."""
        return None

    def batches(self, first: int, updates: int, seed: int) -> Batches:
        """See `Problem.batches`."""
        encoded, chunks = self.corpus.encoded_train, []
        numbers = None if encoded.features is None else encoded.features.values
        for update in range(first, first + updates):
            chunks.append(self._chunk(update, seed))
            if update % _READ_AT_ONCE == 0 or update == first + updates - 1:
                release(encoded.inputs, encoded.targets, encoded.weights, numbers)
        return Batches(*(np.stack(part) for part in zip(*chunks, strict=True)))

    def evaluations(self, seed: int) -> dict[str, Streams]:
        """See `Problem.evaluations`: the held-out sequences, with the state carried and with a reset before each."""
        carried, per_sequence = self._held_out
        return {"carried": carried, "per_sequence": per_sequence} if self._is_many else {"carried": carried}

    def learned_sample(self) -> Streams:
        """See `Problem.learned_sample`: sequences from all over the training data, or the end of the only one."""
        encoded, (_, held_out) = self.corpus.encoded_train, self._held_out
        steps, rows = held_out.inputs.shape
        if self._is_many:
            share = steps * rows / len(encoded)
            wanted = np.floor(np.arange(len(encoded.starts)) * min(share, 1.0))
            chosen = np.flatnonzero(np.diff(wanted) > 0)
        else:
            encoded, chosen = encoded.last(steps), np.arange(1)
        return _in_shape(_in_streams(encoded, chosen, rows, steps), steps, rows)

    def is_solved(self, scores: Mapping[str, Any]) -> bool:
        """See `Problem.is_solved`: recorded data never are, unless they can be known by heart."""
        return bool(scores[self.recipe.monitor].accuracy == 1.0)

    def to_json(self) -> dict[str, Any]:
        """See `Problem.to_json`."""
        values = {**self.corpus.to_json(), "source": self.corpus.train.source}
        values.pop("learned", None)  # follows from the others
        if "held_out_source" in values:
            values["held_out_source"] = self.corpus.held_out.source
        return values

    @property
    def inherited(self) -> Inherited | None:
        """What another file is to be read with for the same network; None: this problem goes on from no training."""
        earlier = self.corpus.inherited
        return earlier and replace(earlier, vocabulary=self.vocabulary, labels=self.labels, grow=False)

    @abstractmethod
    def of_earlier(self, path: Path, earlier: EarlierData) -> RecordedProblem:
        """Return the problem of the data of the training that this one goes on from, in the present vocabulary.

        Args:
            path: Its file.
            earlier: How it was read and split.

        Raises:
            CorpusError: It cannot be read.
        """

    def check(self) -> None:
        """Check that something can be learned.

        Raises:
            CorpusError: There are too few symbols, none for evaluation, or one symbol is repeated.
        """
        corpus, encoded = self.corpus, self.corpus.encoded_train
        source = corpus.train.source or "This"
        together = len(corpus.train.ids) + len(corpus.held_out.ids)
        if together < _SHORTEST:
            raise CorpusError(
                f"{source} has {together} symbols; at least {_SHORTEST} are needed to learn from some and judge by "
                "others."
            )
        if len(encoded) < _SHORTEST // 2:
            raise CorpusError(f"Only {len(encoded)} symbols are left to learn from; hold out less.")
        asked = np.flatnonzero(counted(encoded.targets, len(corpus.answers), encoded.weights))
        if len(asked) < 2:
            what = repr(corpus.answers.decode(int(asked[0]))) if len(asked) else "nothing"
            raise CorpusError(f"{source} repeats one symbol, {what}; there is nothing to predict.")
        if not self.corpus.encoded_held_out.weights.any():
            raise CorpusError(f"Nothing of {source} that is held out can be predicted; hold out more.")
        _ = corpus.feature_stats  # raises where features say nothing

    @property
    def time_steps(self) -> int:
        """Length of a chunk."""
        return max(2, min(_TIME_STEPS, len(self.corpus.encoded_train) // 8))

    @property
    def chunks(self) -> int:
        """Chunks in a batch row, the offset of the first left free: updates in a pass."""
        return (self._row_length - 1) // self.time_steps - 1

    @property
    def _is_many(self) -> bool:
        return len(self.corpus.train) > 1

    @property
    def _batch_rows(self) -> int:
        return max(1, min(self.max_batch_rows, len(self.corpus.encoded_train) // (4 * self.time_steps)))

    @property
    def _row_length(self) -> int:
        return len(self.corpus.encoded_train) // self._batch_rows

    def _chunk(self, update: int, seed: int) -> tuple[AnyArray, ...]:
        """Return inputs, targets and weights (T, B) of one update, and resets, (T, B) or for one sequence (B,).

        Where there are features, they (T, B, F) come last.

        Every pass begins at another offset, so that the cuts between chunks fall elsewhere.
        """
        encoded, steps, rows = self.corpus.encoded_train, self.time_steps, self._batch_rows
        pass_index, chunk = divmod(update, self.chunks)
        offset = int(np.random.default_rng([seed, 8, pass_index]).integers(0, steps))
        indices = offset + chunk * steps + np.arange(steps)[:, None] + np.arange(rows) * self._row_length
        random = np.random.default_rng([seed, 7, update])
        resets = (random.random(rows) < _RESETS) | (chunk == 0)
        if self._is_many:
            indices, is_start = self._order(pass_index, seed).rows(indices)
            within = is_start & (random.random(indices.shape) >= _CARRIED)
            within[0] |= resets
            resets = within
        else:
            is_start = indices == 0
        inputs, targets, weights = encoded.inputs[indices], encoded.targets[indices], encoded.weights[indices]
        if self._unknown is not None:
            hidden = (random.random(indices.shape) < _UNKNOWN) & ~is_start
            inputs = np.where(hidden, np.int32(self._unknown), inputs)
        factors = self.answer_weights
        weights = weights if factors is None else weights * factors[targets]
        of_sequences = self.sequence_factors
        weights = weights if of_sequences is None else weights * of_sequences[indices]
        features = () if encoded.features is None else (encoded.features.values[indices],)
        return inputs, targets, weights, resets, *features

    @cached_property
    def _unknown(self) -> int | None:
        """The id to show now and then instead of a symbol, so that a device does not meet it untrained."""
        unknown = self.vocabulary.unknown
        if unknown is None:
            return None
        id = self.vocabulary.encode(unknown)
        return None if counted(self.corpus.encoded_train.inputs, len(self.vocabulary))[id] else id

    @cached_property
    def _order(self) -> Callable[[int, int], Ranges]:
        """Return the sequences in the order of a pass and a seed; those of the last pass are kept."""
        starts = self.corpus.encoded_train.starts

        @lru_cache(1)
        def order(pass_index: int, seed: int) -> Ranges:
            drawn = np.random.default_rng([seed, 9, pass_index]).permutation(len(starts) - 1)
            return Ranges(starts[drawn], starts[drawn + 1])

        return order

    @cached_property
    def _held_out(self) -> tuple[Streams, Streams]:
        """The held-out sequences as streams, without any reset and with one before each sequence."""
        encoded = self.corpus.encoded_held_out
        chosen = np.arange(len(encoded.starts) - 1)
        if self._is_many and len(encoded) > self.max_evaluated:
            wanted = np.arange(len(encoded.starts)) * (self.max_evaluated / len(encoded))
            chosen = np.flatnonzero(np.diff(np.floor(wanted)) > 0)
        per_sequence = _in_streams(encoded, chosen, _STREAMS if self._is_many else 1, self.max_evaluated)
        return replace(per_sequence, resets=np.zeros_like(per_sequence.resets)), per_sequence


def _in_shape(streams: Streams, steps: int, rows: int) -> Streams:
    """Return streams padded to (`steps`, `rows`) with answers that do not count, so that nothing is compiled anew."""

    def padded(array: AnyArray | None) -> Any:
        if array is None:
            return None
        missing = [(0, steps - array.shape[0]), (0, rows - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
        return np.pad(array, missing)

    return Streams(*(padded(getattr(streams, each.name)) for each in fields(Streams)))


def _in_streams(encoded: EncodedSequences, chosen: Indices, streams: int, most: int) -> Streams:
    """Return the `chosen` sequences in at most `streams` streams of `most` steps, with resets where one begins."""
    lengths = encoded.starts[chosen + 1] - encoded.starts[chosen]
    streams = min(streams, len(chosen))
    stream_of = (np.cumsum(lengths) - lengths) * streams // max(int(lengths.sum()), 1)
    members = [chosen[stream_of == stream] for stream in range(streams)]
    begins, ends = encoded.starts[:-1], np.minimum(encoded.starts[1:], encoded.starts[:-1] + most)
    ranges = [concatenated_ranges(begins[own], ends[own]) for own in members if len(own)]
    steps = min(max(map(len, ranges)), most)
    indices = np.zeros((steps, len(ranges)), np.int64)
    filled = np.zeros(indices.shape, bool)
    for column, own in enumerate(ranges):
        indices[: len(own), column], filled[: len(own), column] = own[:steps], True

    def taken(values: AnyArray) -> AnyArray:
        """Return values of shape (N, ...) in their streams, (T, B, ...), and 0 where there are none."""
        found = np.empty((*indices.shape, *values.shape[1:]), values.dtype)
        for rows in blocks(len(indices), _ROWS_AT_ONCE):
            found[rows] = values[indices[rows]]
            release(values)
        found[~filled] = 0
        return found

    features = None if encoded.features is None else taken(encoded.features.values)
    is_start = filled & np.isin(indices, encoded.starts[:-1])
    return Streams(taken(encoded.inputs), taken(encoded.targets), taken(encoded.weights), is_start, features=features)
