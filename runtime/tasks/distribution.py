"""Outputs of a model as distributions of the next symbol: probabilities, log-probabilities and ranks."""

from __future__ import annotations

from math import inf, log

import numpy as np
from numpy.typing import NDArray

from ..common.arrays import AnyArray, Float32, Floats, Ids
from ..common.errors import NotFiniteError, TargetError
from ..format.model_file import ModelFile

Float64 = NDArray[np.float64]
SMALLEST = 2.0**-126  # the least normal float32; below it interpreters may or may not flush to 0
_MOST_IN_A_BYTE = 255


def require_next_symbols(file: ModelFile, purpose: str, *, with_features: bool = False) -> None:
    """Refuse a model that does not predict its next symbol.

    Args:
        file: The model.
        purpose: What is not possible then, for the message.
        with_features: The model may read features beside the symbol; else it must read symbols alone.

    Raises:
        TargetError: It answers with labels or values, or reads no symbols, or features that it may not read.
    """
    manifest = file.manifest
    problems = []
    if manifest.output == "linear":
        problems.append("answers with values")
    elif manifest.labels is not None:
        problems.append(f"answers with labels ({manifest.labels.describe()})")
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


def next_symbol_probabilities(outputs: Float32, activation: str, name: str) -> Float64:
    """Return the distributions that `outputs` stand for, float64 of the same shape (..., K).

    A sigmoid output gives each symbol a probability of its own. As exactly one symbol comes next, they are divided by
    their sum. Those of a softmax output are taken as they are.

    Args:
        outputs: Probabilities as the model returns them.
        activation: "softmax" or "sigmoid".
        name: Name of the model, for messages.

    Raises:
        NotFiniteError: A probability is not a finite number, or all of a row are 0.
    """
    exact = outputs.astype(np.float64)
    totals = exact.sum(axis=-1, keepdims=True)
    wrong = ~(np.isfinite(totals) & (totals > 0))
    if wrong.any():
        raise NotFiniteError(
            f"{name} answered with probabilities that are no distribution (their sum is {float(totals[wrong][0])}). "
            "Its state has left what it was trained on: reset the stream, or check the model with: stepcell check"
        )
    if activation == "sigmoid":
        exact /= totals
    return exact


def log_probabilities_and_ranks(outputs: Float32, ids: Ids, file: ModelFile) -> tuple[Float64, Ids]:
    """Return how each of `ids`, shape (T,), was predicted by the output before it.

    Args:
        outputs: The outputs before them, float32 of shape (T, K).
        ids: The ids that followed.
        file: The model.

    Returns:
        Log-probabilities, float64 of shape (T,), and ranks, int32 of the same shape; see `Score`.

    Raises:
        NotFiniteError: An output is no distribution.
    """
    chosen = _chosen(outputs, ids)
    if file.manifest.output == "softmax" and _are_distributions(outputs, chosen, file):
        probabilities = chosen.astype(np.float64)  # the others are not needed, and there may be thousands
    else:
        probabilities = _chosen(next_symbol_probabilities(outputs, file.manifest.output, file.name), ids)
    return np.log(np.maximum(probabilities, SMALLEST)), ranks_of(outputs, ids, chosen)


def log_probability_and_rank(output: Float32, id: int, file: ModelFile) -> tuple[float, int]:
    """Return the same for one symbol and the output before it, shape (K,), in a tenth of the time."""
    chosen = output[id]
    total = float(output.sum(dtype=np.float64))
    if not 0 < total < inf:
        next_symbol_probabilities(output, file.manifest.output, file.name)  # raises
    probability = float(chosen) / total if file.manifest.output == "sigmoid" else float(chosen)
    before = np.count_nonzero(output > chosen) + np.count_nonzero(output[:id] == chosen)
    return log(max(probability, SMALLEST)), 1 + int(before)


def ranks_of(outputs: Floats, ids: Ids, chosen: Floats | None = None) -> Ids:
    """Return the rank of each id in its output, int32 of shape (T,): 1 for the likeliest.

    Args:
        outputs: Shape (T, K).
        ids: Shape (T,).
        chosen: The value of each id in its output, (T,), if it is known already.
    """
    chosen = _chosen(outputs, ids) if chosen is None else chosen
    repeated = _repeated(chosen, outputs.shape[1])  # faster than a row-wise comparison
    before = outputs > repeated
    # A byte counts to 255, a float32 to 2**24.
    counts = before.view(np.uint8) if outputs.shape[1] <= _MOST_IN_A_BYTE else before.astype(np.float32)
    ranks: Ids = _sums(counts).astype(np.int32) + np.int32(1)
    equal = np.equal(outputs, repeated, out=before)
    if np.count_nonzero(equal) > ids.size:  # of equally likely symbols the lower id comes first
        ranks += (equal & (np.arange(outputs.shape[1]) < ids[:, np.newaxis])).sum(axis=1, dtype=np.int32)
    return ranks


def _are_distributions(outputs: Float32, chosen: Floats, file: ModelFile) -> bool:
    """Tell whether the sums of softmax `outputs`, (T, K), are finite and not 0, given the `chosen` value of each, (T,).

    A value above 0 shows it for its whole row (see `finite.outputs_to_check`), but not for a graph that stepcell did
    not make.
    """
    if file.manifest.io_mapping is None and chosen.size and chosen.min() > 0 and chosen.max() < inf:
        return True
    totals = _sums(outputs)
    return bool(((totals > 0) & (totals < inf)).all())


def _repeated(numbers: Floats, times: int) -> Floats:
    """Return each of `numbers`, (T,), `times` times in a row, (T, times)."""
    if numbers.dtype == np.float32 and times % 2 == 0:  # pairs are moved as one number: half as many
        pairs = np.repeat(numbers, 2).view(np.int64)
        return np.repeat(pairs, times // 2).view(np.float32).reshape(-1, times)
    return np.repeat(numbers, times).reshape(-1, times)


def _chosen(rows: Floats, ids: Ids) -> Floats:
    """Return the value at each of `ids`, (T,), in its row, (T, K)."""
    chosen: Floats = rows.reshape(-1).take(np.arange(0, rows.size, rows.shape[1]) + ids)
    return chosen


def _sums(rows: AnyArray) -> AnyArray:
    """Return the sum of each row, (T, K) to (T,): four times as fast as `sum`, without other threads."""
    sums: AnyArray = np.einsum("ij->i", rows)
    return sums
