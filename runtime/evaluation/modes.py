"""Ways to feed sequences to a model on the device runtime, and what its answers were worth in each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.arrays import Flags, Float32, Indices
from ..data import EncodedSequences
from ..data.recording import concatenated_ranges
from ..streams.model import Model
from ..tasks.distribution import next_symbol_probabilities, require_next_symbols
from ..tasks.score import run_ids
from .metrics import SymbolScores
from .ngram import positions_of

_ANSWERS_AT_A_TIME = 1 << 18  # probabilities in memory
_WINDOWS, _WINDOW_STEPS, _SEED = 2_000, 200_000, 20_201_120  # most windows drawn, most steps in all of them


@dataclass(frozen=True)
class EvaluationModes:
    """A model and the sequences that it is judged by. Each pass is a stream of its own.

    Attributes:
        model: Predicts its next symbol.
        tape: The sequences, with the features that it reads.

    Raises:
        TargetError: The model answers with labels or values.
    """

    model: Model
    tape: EncodedSequences

    def __post_init__(self) -> None:
        """Check the model."""
        require_next_symbols(self.model.file, "it cannot be evaluated on a stream", with_features=True)

    def carried(self) -> SymbolScores:
        """Feed one sequence behind the other and never reset the state."""
        return self._judge(np.zeros(1, np.int64), np.arange(len(self.tape)), self.tape.weights > 0)

    def reset(self) -> SymbolScores:
        """Reset the state before each sequence."""
        return self._judge(self.tape.starts[:-1], np.arange(len(self.tape)), self.tape.weights > 0)

    def windowed(self, length: int) -> SymbolScores | None:
        """Show nothing but the last `length` symbols of its sequence before each symbol; of symbols that are drawn.

        None where no symbol has more before it, and this would be `reset`.
        """
        tape, within = self.tape, positions_of(self.tape)
        ends = np.flatnonzero(tape.weights > 0)
        if not (within[ends] > length).any():
            return None
        most = min(_WINDOWS, max(_WINDOW_STEPS // length, 1))
        drawn = np.sort(np.random.default_rng(_SEED).permutation(ends)[:most])
        lengths = np.minimum(within[drawn], length)
        places = concatenated_ranges(drawn - lengths + 1, drawn + 1)
        after = np.cumsum(lengths)
        last = np.zeros(len(places), bool)
        last[after - 1] = True
        return self._judge(after - lengths, places, last)

    def memoryless(self) -> SymbolScores:
        """Reset the state before each symbol, so that the last one is all that the model knows."""
        tape, within = self.tape, positions_of(self.tape)
        if tape.features is not None:  # hardly any two steps read the same
            judged = np.flatnonzero(tape.weights > 0)
            return self._judge(np.arange(len(judged)), judged, np.ones(len(judged), bool))
        seen, which = np.unique(tape.inputs, return_inverse=True)
        stream, rows = self.model.stream(), []
        for id in seen.astype(np.int32):
            stream.reset()
            rows.append(stream.run_ids(np.array([id], np.int32)))
        alone = self._distributions(np.concatenate(rows))
        places = np.flatnonzero(tape.weights > 0)
        step = max(1, _ANSWERS_AT_A_TIME // alone.shape[1])
        return SymbolScores.concatenate(
            [
                SymbolScores.of(alone[which[part]], tape.targets[part], within[part])
                for part in (places[start : start + step] for start in range(0, max(len(places), 1), step))
            ]
        )

    def _judge(self, starts: Indices, places: Indices, judged: Flags) -> SymbolScores:
        """Feed what stands at `places` of the tape, shape (N,), with a reset at each of `starts`, which count in them.

        Judged is where `judged`, of the same shape, says so.
        """
        tape, stream = self.tape, self.model.stream()
        inputs, targets, positions = tape.inputs[places], tape.targets[places], positions_of(tape)[places]
        features = {} if tape.features is None else tape.features.as_inputs(places)
        step = max(1, _ANSWERS_AT_A_TIME // len(self.model.output_vocabulary))
        parts: list[SymbolScores] = []
        rows: list[Float32] = []
        first = 0  # what has been fed since then and not been judged yet is in `rows`
        for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(inputs)], strict=True):
            stream.reset()
            for place in range(begin, end, step):
                until = min(place + step, end)
                rows.append(run_ids(stream, inputs, features, slice(place, until))[judged[place:until]])
                if until - first >= step or until == len(inputs):
                    known = np.flatnonzero(judged[first:until]) + first
                    answers = self._distributions(np.concatenate(rows))
                    parts.append(SymbolScores.of(answers, targets[known], positions[known]))
                    rows, first = [], until
        return SymbolScores.concatenate(parts)

    def _distributions(self, answers: Float32) -> Float32:
        """Return the distributions that `answers` stand for."""
        output = self.model.manifest.output
        exact = next_symbol_probabilities(answers, output, self.model.file.name)
        return exact.astype(np.float32) if output == "sigmoid" else answers
