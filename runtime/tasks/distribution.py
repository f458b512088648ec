"""What a model says about its next symbol, as a distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.arrays import Float32
from ..common.errors import NotFiniteError, TargetError
from ..format.model_file import ModelFile

Float64 = NDArray[np.float64]


def next_symbol_probabilities(answers: Float32, output: str, name: str) -> Float64:
    """Return the distributions that `answers` stand for, float64 of the same shape (..., K).

    A sigmoid output gives each symbol a probability of its own. As exactly one symbol comes next, they are divided by
    their sum. Those of a softmax output are taken as they are.

    Args:
        answers: Probabilities as a model gives them.
        output: "softmax" or "sigmoid".
        name: That of the model, for messages.

    Raises:
        NotFiniteError: A probability is not a finite number, or all of an answer are 0.
    """
    exact = answers.astype(np.float64)
    totals = exact.sum(axis=-1, keepdims=True)
    if not (np.isfinite(totals) & (totals > 0)).all():
        raise NotFiniteError(
            f"{name} answered with probabilities that are no distribution (their sum is "
            f"{float(totals[~(np.isfinite(totals) & (totals > 0))][0])}). Its state has left what it was trained on: "
            "reset the stream, or check the model with: stepcell check"
        )
    if output == "sigmoid":
        exact /= totals
    return exact


def require_next_symbols(file: ModelFile, purpose: str, *, with_features: bool = False) -> None:
    """Refuse a model that does not predict its next symbol, without which there is no `purpose`.

    Args:
        file: The model.
        purpose: What there would not be, for the message.
        with_features: It may read features beside the symbol; else it must read symbols alone.

    Raises:
        TargetError: It answers with labels or values, or reads no symbols, or features that it may not.
    """
    manifest = file.manifest
    problems = []
    if manifest.labels is not None:
        problems.append(f"answers with labels ({manifest.labels.describe()})")
    if manifest.output == "linear":
        problems.append("answers with values")
    if not len(manifest.vocabulary):
        problems.append("reads no symbols")
    if manifest.features and not with_features:
        problems.append(f"reads features ({', '.join(feature.describe() for feature in manifest.features)})")
    if problems:
        raise TargetError(
            f"{file.name} {' and '.join(problems)}, so {purpose}: that takes a model which reads symbols"
            f"{'' if with_features else ' alone'} and answers with the next one. Step it instead: Stream.step, or "
            "stepcell predict."
        )
