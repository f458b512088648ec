"""Encode recordings: ids, targets and features, as models and training read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..common.arrays import AnyArray, Flags, Float32, Ids, Indices
from ..format.tensor_specs import Inputs
from ..format.vocabulary import Vocabulary
from .features import FeatureColumns
from .recording import Recording
from .storage import blocks, new_array, release


@dataclass(frozen=True, eq=False)
class EncodedSequences:
    """S concatenated sequences, N symbols in total.

    The end symbol is also the first input of a sequence. So a device that feeds it after a reset is told the first
    symbol, and one that never resets its state and feeds the end symbol between two sequences is told the same.

    Attributes:
        inputs: int32 of shape (N,).
        targets: The symbol after each input, or its label, int32 of shape (N,); or its values, float32 of shape (N, K).
        weights: 0 where there is no such symbol, else 1; float32 of shape (N,).
        starts: Index of the first input of each sequence, and N; int64 of shape (S + 1,).
        features: Features of each input; None: the model reads symbols alone.
    """

    inputs: Ids
    targets: AnyArray
    weights: Float32
    starts: Indices
    features: FeatureColumns | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self.inputs)

    def last(self, count: int) -> EncodedSequences:
        """Return the last `count` symbols of the only sequence, or all of it; arrays are views."""
        own = slice(max(len(self) - count, 0), None)
        features = None if self.features is None else replace(self.features, values=self.features.values[own])
        inputs = self.inputs[own]
        starts = np.array([0, len(inputs)], np.int64)
        return EncodedSequences(inputs, self.targets[own], self.weights[own], starts, features)

    @property
    def is_start(self) -> Flags:
        """Whether each input is the first of a sequence, bool of shape (N,)."""
        is_start = np.zeros(len(self), bool)
        is_start[self.starts[:-1]] = True
        return is_start


def encode_sequences(
    recording: Recording, vocabulary: Vocabulary, end: str | None, boundary: Mapping[str, Sequence[float]] | None = None
) -> EncodedSequences:
    """Return the inputs and targets of `recording`.

    Args:
        recording: S sequences of N symbols.
        vocabulary: Gives symbols their ids.
        end: The end symbol; None: there is none, so that the first symbol of a sequence is no target and empty
            sequences are left out.
        boundary: Name of a feature -> its value with the end symbol, of shape (1,); needed if there are both.

    A recording with targets has no end symbol.

    Raises:
        UnknownSymbolError: A symbol has no id.
    """
    has_inputs = (recording.lengths > 0) | (recording.has_start & (end is not None))
    recording = recording if has_inputs.all() else recording.select(np.flatnonzero(has_inputs))
    head, tail = recording.has_start & (end is not None), recording.has_end & (end is not None)
    lengths = recording.lengths + head
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ends = starts[1:] - 1
    size, features, end_id = int(starts[-1]), recording.features, 0 if end is None else vocabulary.encode(end)
    table = vocabulary.encode_all(recording.symbols) if len(vocabulary) else np.zeros(len(recording.symbols), np.int32)
    inputs, weights = new_array((size,), np.int32), new_array((size,), np.float32)
    targets: AnyArray = new_array((size,), np.int32) if recording.targets is None else recording.targets
    values = None if features is None else new_array((size, len(features.names)), np.float32)
    for block in blocks(size):
        of = np.searchsorted(starts, np.arange(block.start, block.stop), "right") - 1  # the sequence of each input
        place = np.arange(block.start, block.stop) - starts[of] - head[of]  # -1: the end symbol before its first symbol
        is_symbol = place >= 0
        rows = (recording.starts[of] + place)[is_symbol]
        inputs[block] = end_id
        inputs[block][is_symbol] = table[recording.ids[rows]]
        weights[block] = 1
        if values is not None and features is not None:
            values[block] = [(boundary or {})[name][0] for name in features.names] if head.any() else 0
            values[block][is_symbol] = features.values[rows]
        release(inputs, weights, values, recording.ids, None if features is None else features.values)
    if recording.targets is None:
        for block in blocks(size):
            targets[block] = np.append(inputs[block.start + 1 : block.stop + 1], np.int32(0))[
                : block.stop - block.start
            ]
            last = slice(*np.searchsorted(ends, [block.start, block.stop]))  # the ends of sequences in this block
            targets[ends[last]] = np.where(tail[last], end_id, 0)
            weights[ends[last]] = tail[last]
            release(targets, inputs, weights)
    if features is not None and values is not None:
        features = replace(features, values=values)
    return EncodedSequences(inputs, targets, weights, starts, features)


def whole_sequences(
    recording: Recording, vocabulary: Vocabulary, end: str | None, boundary: Mapping[str, Sequence[float]]
) -> list[Inputs]:
    """Return the inputs of each sequence, complete ones, with the end symbol before and after it; see above."""
    recording = recording.without_empty() if end is None else recording
    ids, features = vocabulary.encode_all(recording.symbols)[recording.ids], recording.features
    end_id = vocabulary.encode_all([] if end is None else [end])
    values = {} if features is None else features.as_inputs()
    ends = {name: np.array([boundary[name]] if len(end_id) else [], np.float32).reshape(-1, 1) for name in values}
    return [
        Inputs(
            np.concatenate([end_id, ids[first:last], end_id]),
            {name: np.concatenate([ends[name], all[first:last], ends[name]]) for name, all in values.items()},
        )
        for first, last in pairwise(recording.starts.tolist())
    ]
