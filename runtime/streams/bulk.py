"""Many symbols in one call: methods of `Stream`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids
from ..format.tensor_specs import Features
from ..interpreters.base import Backend
from .input_encoder import require_ids
from .prediction import Prediction, prediction_of

if TYPE_CHECKING:
    from .stream import Stream


def absorb(stream: Stream, symbols: Iterable[str] | None = None, features: Features | None = None) -> Prediction | None:
    """Feed a whole history at once: the same state and the same answer as stepping it, bit for bit.

    (In a file of whole sequences, model.sequence.onnx, up to float32 rounding: there a long product of matrices takes
    the place of many short ones.)

    Args:
        stream: The stream to move.
        symbols: Symbols of the vocabulary, in order. They are all checked before the first is fed.
        features: As for `step`, with the T steps as first dimension of each array.

    Returns:
        The prediction after the last symbol; None if there are no symbols.

    Raises:
        UnknownSymbolError: One of them is not in the vocabulary. The state has not moved.
        FeatureMismatchError: `features` are not those that the model reads. The state has not moved.
        BackendError: The interpreter failed. The state has not moved.
    """
    ids, checked = stream._intake.of_many(symbols, features)
    if not ids.size:
        return None

    def work(backend: Backend) -> Prediction:
        if checked:
            for _ in _steps(backend, ids, checked):
                pass
        else:
            backend.absorb(ids)
        return prediction_of(stream._seat.answers(), stream.file.manifest)

    return stream._work(work, moves=ids.size)


def run(stream: Stream, symbols: Iterable[str] | None = None, features: Features | None = None) -> Float32:
    """Feed many symbols and return the answers to all of them: what stepping them answers, bit for bit.

    Args:
        stream: The stream to move.
        symbols: T symbols of the vocabulary, in order. They are all checked before the first is fed.
        features: As for `absorb`.

    Returns:
        The main output, float32 of shape (T, K), yours to keep. Feed millions of symbols in parts, or see `score`.

    Raises:
        UnknownSymbolError, FeatureMismatchError, BackendError: As `absorb` does. The state has not moved.
    """
    ids, checked = stream._intake.of_many(symbols, features)
    if not checked:
        return run_ids(stream, ids)

    def work(backend: Backend) -> Float32:
        answers = _room_for_answers(stream, ids.size)
        for step, _ in enumerate(_steps(backend, ids, checked)):
            answers[step] = backend.answer()
        return answers

    return stream._work(work, moves=ids.size)


def run_ids(stream: Stream, ids: Ids) -> Float32:
    """Do what `run` does with ids, for models that read symbols alone.

    Args:
        stream: The stream to move.
        ids: Ids of the vocabulary, int32 of shape (T,). They are all checked before the first is fed.

    Returns:
        The main output, float32 of shape (T, K), yours to keep.

    Raises:
        UnknownSymbolError: One of them is no id. The state has not moved.
        FeatureMismatchError: The model reads features. The state has not moved.
        BackendError: The interpreter failed. The state has not moved.
    """
    stream._intake.features_of(None)
    ids = np.asarray(ids)
    if not ids.size:
        return _room_for_answers(stream, 0)
    require_ids(ids, stream._intake.count, "The stream has not moved.")
    return stream._work(lambda backend: backend.run(ids), moves=ids.size)


def _room_for_answers(stream: Stream, steps: int) -> Float32:
    return np.empty((steps, len(stream.file.manifest.output_vocabulary)), np.float32)


def _steps(backend: Backend, ids: Ids, features: Mapping[str, AnyArray]) -> Iterator[None]:
    """Step `ids` with the rows of `features`, and pause after each."""
    for step, id in enumerate(ids.tolist()):
        backend.write_features({name: array[step] for name, array in features.items()})
        backend.step(id)
        yield
