"""Sequences as one tape of symbols: what goes in, what comes next, and where each of them begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.arrays import Flags, Float32, Ids, Indices
from ..format.vocabulary import Vocabulary
from .features import FeatureColumns
from .recording import Recording


@dataclass(frozen=True, eq=False)
class EncodedSequences:
    """Sequences one behind the other. N places, S sequences.

    The end symbol stands before the first symbol of a sequence too: whoever feeds it after a reset is told what the
    first symbol will be, and whoever never resets the state feeds it between two sequences and is told the same.

    Attributes:
        inputs: int32 of shape (N,).
        targets: int32 of the same shape: the symbol that comes next.
        weights: float32 of the same shape: 0 where nothing comes next, else 1.
        starts: int64 of shape (S + 1,): where each sequence begins, and N.
        features: What is read beside the symbols; None: nothing.
    """

    inputs: Ids
    targets: Ids
    weights: Float32
    starts: Indices
    features: FeatureColumns | None = None

    def __len__(self) -> int:
        """Return the number of places."""
        return len(self.inputs)

    @property
    def is_start(self) -> Flags:
        """Whether a sequence begins at each place, bool of shape (N,)."""
        is_start = np.zeros(len(self), bool)
        is_start[self.starts[:-1]] = True
        return is_start


def encode_sequences(
    recording: Recording, vocabulary: Vocabulary, end: str | None, boundary: Mapping[str, Sequence[float]] | None = None
) -> EncodedSequences:
    """Return the tape of `recording`.

    Args:
        recording: S sequences of N symbols.
        vocabulary: What gives them their ids.
        end: The end symbol; None: there is none, and the first symbol of a sequence is not asked for.

        boundary: Name of a feature -> its features of shape (1,) beside the end symbol; needed where there are both.

    Raises:
        UnknownSymbolError: A symbol has no id.
    """
    new = vocabulary.encode_all(recording.symbols)
    head = recording.begun & (end is not None)
    tail = recording.ended & (end is not None)
    lengths = recording.lengths + head
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    inputs = np.empty(starts[-1], np.int32)
    places = np.arange(len(recording.ids)) + np.repeat(np.cumsum(head), recording.lengths)
    inputs[places] = new[recording.ids]
    targets = np.zeros(len(inputs), np.int32)
    weights = np.ones(len(inputs), np.float32)
    if end is not None:
        inputs[starts[:-1][head]] = vocabulary.encode(end)
    targets[:-1] = inputs[1:]
    last = starts[1:] - 1
    targets[last], weights[last] = 0, tail
    if end is not None:
        targets[last[tail]] = vocabulary.encode(end)
    features = recording.features
    if features is not None:
        values = np.empty((len(inputs), len(features.names)), np.float32)
        values[places] = features.values
        if head.any():
            values[starts[:-1][head]] = boundary_row(features.names, boundary or {})
        features = FeatureColumns(features.names, values, features.gap)
    return EncodedSequences(inputs, targets, weights, starts, features)


def boundary_row(names: Sequence[str], boundary: Mapping[str, Sequence[float]]) -> Float32:
    """Return the features beside the end symbol, float32 of shape (F,)."""
    return np.array([boundary[name][0] for name in names], np.float32)
