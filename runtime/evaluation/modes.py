"""Evaluation modes: feed sequences to a model with its state carried, reset or cut off, and score the predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.arrays import Flags, Float32, Indices
from ..data import EncodedSequences
from ..data.ranges import concatenated_ranges
from ..format.tensor_specs import EVERY_STEP
from ..streams.model import Model
from ..tasks.distribution import next_symbol_probabilities, require_next_symbols
from ..tasks.score import run_ids
from .metrics import SymbolScores, positions_of

_WINDOWS, _WINDOW_STEPS, _SEED = 2_000, 200_000, 20_201_120  # most windows drawn, most steps in all of them


@dataclass(frozen=True)
class EvaluationModes:
    """A model and the sequences that it is evaluated on. Each mode has a stream of its own.

    Attributes:
        model: A model that predicts its next symbol.
        sequences: The sequences, with the features that it reads.
        at_a_time: How many probabilities are kept in memory.

    Raises:
        TargetError: The model answers with labels or values.
    """

    model: Model
    sequences: EncodedSequences
    at_a_time: int = 1 << 18

    def __post_init__(self) -> None:
        """Check the model."""
        require_next_symbols(self.model.file, "it cannot be evaluated on a stream", with_features=True)

    def carried(self) -> SymbolScores:
        """Feed one sequence after the other and never reset the state."""
        return self._score(np.zeros(1, np.int64), np.arange(len(self.sequences)), self.sequences.weights > 0)

    def reset(self) -> SymbolScores:
        """Reset the state before each sequence."""
        return self._score(self.sequences.starts[:-1], np.arange(len(self.sequences)), self.sequences.weights > 0)

    def windowed(self, length: int) -> SymbolScores | None:
        """Feed only the last `length` symbols of its sequence before each symbol of a random sample.

        None if no symbol has more before it: the mode is then `reset`. Or if the model has no answer to so few.
        """
        positions = positions_of(self.sequences)
        ends = np.flatnonzero(self.sequences.weights > 0)
        answers = self.model.manifest.answers
        if not (positions[ends] > length).any() or not answers.answers_at(length):
            return None
        most = min(_WINDOWS, max(_WINDOW_STEPS // length, 1))
        drawn = np.sort(np.random.default_rng(_SEED).permutation(ends)[:most])
        lengths = np.minimum(positions[drawn], length)
        indices, after = concatenated_ranges(drawn - lengths + 1, drawn + 1), np.cumsum(lengths)
        is_last = np.zeros(len(indices), bool)
        is_last[after - 1] = True
        return self._score(after - lengths, indices, is_last)

    def memoryless(self) -> SymbolScores | None:
        """Reset the state before each symbol: the model knows only the last one. None: it has no answer then."""
        sequences = self.sequences
        if not self.model.manifest.answers.answers_at(1):
            return None
        if sequences.features is not None:  # hardly any two steps read the same
            scored = np.flatnonzero(sequences.weights > 0)
            return self._score(np.arange(len(scored)), scored, np.ones(len(scored), bool))
        seen, which = np.unique(sequences.inputs, return_inverse=True)
        stream, rows = self.model.stream(), []
        for id in seen.astype(np.int32):
            stream.reset()
            rows.append(stream.run_ids(np.array([id], np.int32)))
        alone = self._distributions(np.concatenate(rows))
        return SymbolScores.in_blocks(sequences, alone.shape[1], lambda part: alone[which[part]])

    def _score(self, starts: Indices, indices: Indices, scored: Flags) -> SymbolScores:
        """Feed the inputs at `indices` and score some of the predictions.

        Args:
            starts: Positions in `indices` before which the state is reset.
            indices: The inputs to feed, shape (N,).
            scored: Whether the target of each is scored, shape (N,).
        """
        sequences, stream = self.sequences, self.model.stream()
        inputs, targets = sequences.inputs[indices], sequences.targets[indices]
        positions = positions_of(sequences)[indices]
        features = {} if sequences.features is None else sequences.features.as_inputs(indices)
        sparse, scored = self.model.manifest.answers != EVERY_STEP, scored.copy()
        block = max(1, self.at_a_time // self.model.manifest.output_size)
        parts: list[SymbolScores] = []
        rows: list[Float32] = []  # outputs since `first` that are not scored yet
        first = 0
        for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(inputs)], strict=True):
            stream.reset()
            for start in range(begin, end, block):
                stop = min(start + block, end)
                outputs = run_ids(stream, inputs, features, slice(start, stop))
                if sparse:  # NaN stands in the rows of steps without an answer
                    scored[start:stop] &= ~np.isnan(outputs[:, 0])
                rows.append(outputs[scored[start:stop]])
                if stop - first >= block or stop == len(inputs):
                    known = np.flatnonzero(scored[first:stop]) + first
                    distributions = self._distributions(np.concatenate(rows))
                    parts.append(SymbolScores.of(distributions, targets[known], positions[known]))
                    rows, first = [], stop
        return SymbolScores.concatenate(parts)

    def _distributions(self, outputs: Float32) -> Float32:
        """Return the distributions that `outputs` stand for."""
        activation = self.model.manifest.output
        exact = next_symbol_probabilities(outputs, activation, self.model.file.name)
        return exact.astype(np.float32) if activation == "sigmoid" else outputs
