"""Scoring, a method of `Stream`: the log-probability of each symbol, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from math import inf, log
from typing import TYPE_CHECKING

import numpy as np

from ..common.arrays import AnyArray, Float32, Floats, Ids
from ..format.tensor_specs import Features, checked_features
from .distribution import Float64, next_symbol_probabilities, require_next_symbols
from .lanes import FEWEST, LANES, forgets, score_in_lanes

if TYPE_CHECKING:
    from ..format.model_file import ModelFile
    from ..streams.stream import Stream
    from .score import Score

_MOST_IN_A_BYTE = 255
SMALLEST = 2.0**-126  # the least normal float32; below it interpreters may or may not flush to 0
_ANSWERS_AT_A_TIME = 1 << 16  # probabilities: they and what is made of them stay in the cache


def score(stream: Stream, symbols: Iterable[str], features: Features | None = None, *, in_lanes: bool = True) -> Score:
    """Feed symbols and return how likely each was, given all before it.

    The first has no probability if the stream has no answer yet; after a step, or an earlier `score`, it has: scoring
    in parts gives what scoring at once gives.

    Args:
        stream: The stream to move.
        symbols: T symbols in order, millions if you like: 24 bytes of each are kept. They are all checked before the
            first is fed.
        features: As for `Stream.absorb`: what the model reads beside them.
        in_lanes: Step parts of a long stream (65,536 symbols and more) side by side where the model forgets fast
            enough, two to five times as fast; `Score.lanes` has the certificate. See `lanes.py`.

    Raises:
        UnknownSymbolError: One of them is not in the vocabulary. The stream has not moved.
        FeatureMismatchError: `features` are not those that the model reads. The stream has not moved.
        TargetError: The model does not answer symbols with the next one. The stream has not moved.
        BackendError: The interpreter failed. The stream has not moved.
        NotFiniteError: An answer is no distribution. The stream has not moved.
    """
    require_next_symbols(stream.file, "its symbols have no probability", with_features=True)
    return score_ids(stream, stream.ids_of(symbols), features, in_lanes=in_lanes)


def score_ids(stream: Stream, ids: Ids, features: Features | None = None, *, in_lanes: bool = True) -> Score:
    """Do what `score` does with the ids of symbols, int32 of shape (T,)."""
    from .score import Score

    beside = checked_features(features, stream.file.manifest.features, stream.file.name, ids.shape)
    before = stream.snapshot()
    log_probabilities, ranks = np.full(ids.size, np.nan), np.zeros(ids.size, np.int32)
    step = max(1, _ANSWERS_AT_A_TIME // len(stream.file.manifest.output_vocabulary))
    main = None if before.answers is None else before.answers[stream.file.manifest.answer]
    last = np.empty((0, 0), np.float32) if main is None else main[np.newaxis]
    try:
        if in_lanes and can_use_lanes(stream, ids):
            if len(last):
                log_probabilities[:1], ranks[:1] = judge(last, ids[:1], stream.file)
            judged = partial(judge, file=stream.file)
            with stream._seat.lend_batch(LANES) as batch:
                lanes = score_in_lanes(stream, batch, ids, judged, log_probabilities, ranks)
            return Score(log_probabilities, ranks, lanes)
        for start in range(0, ids.size, step):
            answers = run_ids(stream, ids, beside, slice(start, start + step))
            known = np.concatenate([last, answers[:-1]]) if len(last) else answers[:-1]
            part = slice(start + len(answers) - len(known), start + len(answers))
            log_probabilities[part], ranks[part] = judge(known, ids[part], stream.file)
            last = answers[-1:]
    except BaseException:
        stream.go_to(before)
        raise
    return Score(log_probabilities, ranks)


def run_ids(stream: Stream, ids: Ids, features: Mapping[str, AnyArray], places: slice) -> Float32:
    """Feed some of `ids`, shape (T,), with their `features`, (T, ...) each; return the answers as `Stream.run` does."""
    if not features:
        return stream.run_ids(ids[places])
    symbols = stream.file.manifest.vocabulary.symbols
    return stream.run([symbols[id] for id in ids[places].tolist()], {n: array[places] for n, array in features.items()})


def can_use_lanes(stream: Stream, ids: Ids) -> bool:
    """Tell whether cutting `ids` in lanes is possible and worth a try."""
    manifest = stream.file.manifest
    if manifest.features:
        return False
    return ids.size >= FEWEST and not manifest.extra_outputs and not manifest.sequence and forgets(stream, ids)


def judge(answers: Float32, ids: Ids, file: ModelFile) -> tuple[Float64, Ids]:
    """Judge each of `ids`, shape (T,), by the answer that was given before it.

    Args:
        answers: The answers before them, float32 of shape (T, K).
        ids: The ids.
        file: The model.

    Returns:
        Log-probabilities, float64 of shape (T,), and ranks, int32 of the same shape; see `Score`.

    Raises:
        NotFiniteError: An answer is no distribution.
    """
    chosen = _chosen(answers, ids)
    if file.manifest.output == "softmax" and _are_distributions(answers, chosen, file):
        probabilities = chosen.astype(np.float64)  # the others are not needed, and there may be thousands
    else:
        probabilities = _chosen(next_symbol_probabilities(answers, file.manifest.output, file.name), ids)
    return np.log(np.maximum(probabilities, SMALLEST)), ranks_of(answers, ids, chosen)


def ranks_of(answers: Floats, ids: Ids, chosen: Floats | None = None) -> Ids:
    """Return which place each id has in its answer: 1 for the likeliest.

    Args:
        answers: Shape (T, K).
        ids: Shape (T,).
        chosen: What they have in their answers, (T,), if that is known already.
    """
    chosen = _chosen(answers, ids) if chosen is None else chosen
    repeated = _repeated(chosen, answers.shape[1])  # compared with less ado than row by row
    before = answers > repeated
    # A byte counts to 255, a float32 to 2**24.
    counts = before.view(np.uint8) if answers.shape[1] <= _MOST_IN_A_BYTE else before.astype(np.float32)
    ranks: Ids = _sums(counts).astype(np.int32) + np.int32(1)
    equal = np.equal(answers, repeated, out=before)
    if np.count_nonzero(equal) > ids.size:  # of equally likely symbols the lower id comes first
        ranks += (equal & (np.arange(answers.shape[1]) < ids[:, np.newaxis])).sum(axis=1, dtype=np.int32)
    return ranks


def _are_distributions(answers: Float32, chosen: Floats, file: ModelFile) -> bool:
    """Tell whether `answers` of a softmax, (T, K), add up to something, given what was `chosen` of each, (T,).

    One number tells of all of a row, unless it is 0: see `finite.outputs_to_check`. Of what others made of a graph this
    is not known.
    """
    if file.manifest.io_mapping is None and chosen.size and chosen.min() > 0 and chosen.max() < inf:
        return True
    totals = _sums(answers)
    return bool(((totals > 0) & (totals < inf)).all())


def _repeated(numbers: Floats, times: int) -> Floats:
    """Return each of `numbers`, (T,), so many times in a row, (T, times)."""
    if numbers.dtype == np.float32 and times % 2 == 0:  # two are moved as one: half as many
        pairs = np.repeat(numbers, 2).view(np.int64)
        return np.repeat(pairs, times // 2).view(np.float32).reshape(-1, times)
    return np.repeat(numbers, times).reshape(-1, times)


def _chosen(rows: Floats, ids: Ids) -> Floats:
    """Return what each of `ids`, (T,), has in its row, (T, K) to (T,)."""
    chosen: Floats = rows.reshape(-1).take(np.arange(0, rows.size, rows.shape[1]) + ids)
    return chosen


def _sums(rows: AnyArray) -> AnyArray:
    """Return the sum of each row, (T, K) to (T,): in a quarter of the time that `sum` takes, without other threads."""
    sums: AnyArray = np.einsum("ij->i", rows)
    return sums


def judge_one(answer: Float32, id: int, file: ModelFile) -> tuple[float, int]:
    """Do what `judge` does with one symbol and the answer before it, shape (K,), in a tenth of the time."""
    chosen = answer[id]
    total = float(answer.sum(dtype=np.float64))
    if not 0 < total < inf:
        next_symbol_probabilities(answer, file.manifest.output, file.name)  # raises
    probability = float(chosen) / total if file.manifest.output == "sigmoid" else float(chosen)
    before = np.count_nonzero(answer > chosen) + np.count_nonzero(answer[:id] == chosen)
    return log(max(probability, SMALLEST)), 1 + int(before)
