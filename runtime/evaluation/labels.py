"""Evaluate labels: accuracy, log loss, calibration and confusion, at each step and at the end of sequences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids, Indices
from ..streams.model import Model
from ..tasks.distribution import Float64, next_symbol_probabilities
from .answers import answers_by_mode, main_rows, silent_note
from .evaluation import AT_END, Evaluation
from .metrics import SymbolScores
from .ngram import Baseline
from .targets import TargetData


def label_probabilities(outputs: Float32, activation: str, name: str) -> Float64:
    """Return the distributions of labels that outputs of shape (T, K) stand for; (T, 2) if K is 1.

    Raises:
        NotFiniteError: An output is no distribution.
    """
    if outputs.shape[1] == 1:
        second = outputs.astype(np.float64)
        return np.concatenate([1 - second, second], axis=1)
    return next_symbol_probabilities(outputs, activation, name)


def label_scores(outputs: Float32, data: TargetData, model: Model, rows: AnyArray | None = None) -> SymbolScores:
    """Return how the labels of `rows`, None for all, were answered by `outputs`, shape (M, K)."""
    probabilities = label_probabilities(outputs, model.manifest.output, model.file.name)
    chosen = slice(None) if rows is None else rows
    return SymbolScores.of(probabilities, data.targets[chosen], data.positions[chosen])


def evaluate_labels(model: Model, data: TargetData, progress: Callable[[str], None] = lambda _: None) -> Evaluation:
    """Evaluate a model of labels on the device runtime, beside the most frequent label.

    The last row of each sequence is a mode of its own, if there are several sequences.

    Raises:
        FeatureMismatchError, BackendError, NotFiniteError: As `Stream.run` does.
    """
    found = answers_by_mode(model, data, progress)
    modes = {name: label_scores(outputs, data, model, rows) for name, (rows, outputs) in found.items()}
    rows, sequences = main_rows(found), len(data.starts) - 1
    evaluation = Evaluation(
        f"{model.file.name} on {model.backend}", modes, (_most_frequent(data, rows),), data.names,
        tuple(count for count in (3, 5) if count < len(data.names)), 0, sequences, 0,
        (*data.notes, *silent_note(model, rows, len(data.inputs))), of_labels=True,
    )  # fmt: skip
    ends = np.isin(rows, data.starts[1:] - 1)
    if sequences > 1 and ends.any():
        modes[AT_END] = evaluation.main.select(ends)
    return evaluation


def _most_frequent(data: TargetData, rows: Indices) -> Baseline:
    """Return the frequencies of labels, each seen once more than it was, as a prediction for `rows`."""
    train: Ids = data.targets if data.train is None else data.train
    counts = np.bincount(train, minlength=len(data.names)) + 1.0
    shares = np.repeat((counts / counts.sum())[np.newaxis], len(rows), axis=0)
    return Baseline("the most frequent label", SymbolScores.of(shares, data.targets[rows], data.positions[rows]))
