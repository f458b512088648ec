"""Steps with the lock of the seat: of a stream that does not sit there yet, or of a model that reads features."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Any

from ..common.arrays import AnyArray, Float32
from ..common.errors import FeatureMismatchError
from ..format.tensor_specs import Features
from ..interpreters.base import Backend
from .input_encoder import no_id
from .prediction import Prediction, prediction_of, symbols_of

if TYPE_CHECKING:
    from .stream import Stream


def step_with_lock(stream: Stream, symbol: str | None, features: Features | None) -> Prediction:
    """Do what `Stream.step` does."""
    seat, manifest = stream._seat, stream._seat.file.manifest
    id, checked = stream._intake.id_of(symbol), stream._intake.features_of(features)
    with seat.lock:
        try:
            backend = _step_in_seat(stream, id, checked)
            if stream._wide:
                return prediction_of(seat.answers(), manifest)
            return Prediction(backend.answer().copy(), symbols_of(manifest))
        finally:
            seat.release(stream)


def step_id_with_lock(stream: Stream, id: int) -> Float32:
    """Do what `Stream.step_id` does."""
    if stream._wide and stream.file.manifest.features:
        names = ", ".join(feature.describe() for feature in stream.file.manifest.features)
        raise FeatureMismatchError(f"{stream.file.name} reads {names} at each step: call step(symbol, features).")
    id = _require(id, stream._intake.count)
    with stream._seat.lock:
        try:
            return _step_in_seat(stream, id, {}).answer()
        finally:
            stream._seat.release(stream)


def settle_with_lock(stream: Stream, *, expect: bool) -> None:
    """Do what `Stream.settle` does."""
    seat = stream._seat
    with seat.lock:
        if seat.occupant is stream:
            seat.hold(stream)
            try:
                seat.settle(stream, expect=expect)
            finally:
                seat.release(stream)


def _step_in_seat(stream: Stream, id: int, features: Mapping[str, AnyArray]) -> Backend:
    """Step `stream`, with the lock of its seat held, and return the backend that has its answer."""
    backend = stream._seat.take(stream)
    before = backend.steps
    try:
        if features:
            backend.write_features(features)
        backend.step(id)
        stream._symbols_seen += 1
    except BaseException as error:
        if backend.steps != before:  # a signal handler raised when it had moved
            stream._symbols_seen += 1
            raise
        stream._forget_answer(error)
        raise
    return backend


def _require(id: Any, ids: int) -> int:
    """Return `id` as an integer, or raise UnknownSymbolError where it is not one of `ids`."""
    try:
        number = index(id)
    except TypeError:
        number = -1
    if not 0 <= number < ids:
        raise no_id(id, ids, "The stream has not moved.")
    return number
