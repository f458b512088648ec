"""What a model says about its next symbol, as a distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .arrays import Float32
from .errors import NotFiniteError, TargetError
from .model_file import ModelFile

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


def require_next_symbols(file: ModelFile, purpose: str) -> None:
    """Refuse a model that does not predict its next symbol, without which there is no `purpose`.

    Raises:
        TargetError: Its answers are labels.
    """
    if file.manifest.features or file.manifest.output == "linear":
        what = "reads features beside its symbol" if file.manifest.features else "answers with values"
        raise TargetError(f"{file.name} {what}, so {purpose}. Step it instead: Stream.step, or stepcell predict.")
    if file.manifest.labels is not None:
        raise TargetError(
            f"{file.name} answers with labels ({file.manifest.labels.describe()}) and not with its next symbol, so "
            f"{purpose}. Step it instead: Stream.step, or stepcell predict."
        )
