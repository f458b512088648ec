"""The shortest ways through a stream, methods of `Stream`: all that a step needs at hand, and no lock.

A step of 50 units takes 1.5 microseconds inside of the interpreter. A lock around it costs 0.25, two calls of methods
0.15, a copy of two states instead of one piece of memory 0.05: that is what is saved here. So `step` and `step_id` say
alike what a third function would cost 0.1 to say once.

How it is safe without a lock: `stepping` is set before the stream looks for what goes to the entry of the graph, which
it has only while it sits there. Whoever wants the seat takes that away before looking at `stepping`, and waits
(`Seat.take`). With the global interpreter lock these stores and loads happen in one order for all threads, so not both
can go on. Without it (free-threaded Python) the lock of the seat is used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from operator import index
from sys import getrefcount
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from .arrays import AnyArray, Float32
from .backend import Backend
from .errors import BackendError, FeatureMismatchError
from .intake import no_id
from .manifest import Manifest
from .memory import EVERYTHING, as_bytes, copy_and_count
from .memory_backend import DOUBTFUL, MemoryBackend
from .ports import Features
from .prediction import NO_OUTPUTS, Prediction, prediction_of, symbols_of
from .two_phase_backend import NOTHING, TwoPhaseBackend

if TYPE_CHECKING:
    from .model_file import ModelFile
    from .stream import Stream

_NEW = object.__new__
_ONE_AT_A_TIME = getattr(sys, "_is_gil_enabled", lambda: True)()


def step(stream: Stream, symbol: str | None = None, features: Features | None = None) -> Prediction:
    """Feed one symbol and return how likely each symbol of the output is.

    The state moves forward by one.

    Args:
        stream: The stream to move.
        symbol: One symbol of the model's vocabulary; None for a model that reads features alone.
        features: What the model reads beside the symbol (`Manifest.features`), by name: arrays of the shapes of one
            step. Of a single feature the array alone will do.

    Returns:
        Prediction over the output vocabulary; its numbers are float32 of shape (K,) and stay yours: later steps do not
        change them.

    Raises:
        UnknownSymbolError: `symbol` is not in the vocabulary. The state has not moved.
        FeatureMismatchError: `features` are not those that the model reads. The state has not moved.
        BackendError: The interpreter failed. The state has not moved.
    """
    if stream._tools is None or stream._wide or features is not None:
        return _step_with_lock(stream, symbol, features)
    (
        ids, place, function, arguments, sign, target, source, later, feedback, answer, numbers, idle, symbols,
    ) = stream._tools  # fmt: skip
    if stream._stepping:
        raise within_a_call(stream.file)
    seen = stream._symbols_seen
    stream._stepping = True
    try:
        try:
            id = ids[symbol]
            content = stream._entry_contents[id]
        except (LookupError, TypeError):  # unknown, or new; or another stream has the seat
            content = None
        if content is not None:
            if later is not None and later.unsettled:
                later.settle()
            if later is None or later.expected != id:
                place[EVERYTHING] = content
                function(*arguments)
            if sign[0] >= DOUBTFUL:
                _require_first(stream)
            values = stream._spare
            if getrefcount(values) == idle:  # nobody has what was answered last any more
                stream._room[EVERYTHING] = numbers
            else:
                values = answer.copy()
                stream._room, stream._spare = as_bytes(values), values
            prediction = _NEW(Prediction)  # without its constructor: 25 ns less
            prediction.values, prediction._symbols, prediction.outputs = values, symbols, NO_OUTPUTS
            if target is not None:  # between the move and the count is no call, where a signal handler could come in
                target[EVERYTHING] = source
                stream._symbols_seen = seen + 1
            elif later is not None:
                later.unsettled = True
                stream._symbols_seen = seen + 1
            else:
                copy_and_count(feedback, stream, "_symbols_seen")
            return prediction
    except BaseException as error:
        if stream._symbols_seen != seen:  # a signal handler raised when all was done
            raise
        if later is not None:
            later.expected = NOTHING  # the outputs may be another's by now
        stream._forget_answer(error)
        raise
    finally:
        stream._stepping = False
    return _step_with_lock(stream, symbol, features)  # and the next one without


def step_id(stream: Stream, id: int) -> Float32:
    """Feed the symbol with an id, by the shortest way there is, and return the main output where it is.

    Args:
        stream: The stream to move, of a model that reads symbols alone.
        id: The id of a symbol, from 0 on.

    Returns:
        The main output, float32 of shape (K,), in the memory of the interpreter: the next call of any stream of this
        model may change it, so copy what you keep.

    Raises:
        UnknownSymbolError: It is not the id of a symbol. The state has not moved.
        FeatureMismatchError: The model reads features. The state has not moved.
        BackendError: The interpreter failed. The state has not moved.
    """
    if stream._tools is None:
        return _step_id_with_lock(stream, id)
    _, place, function, arguments, sign, target, source, later, feedback, answer, _, _, _ = stream._tools
    if stream._stepping:
        raise within_a_call(stream.file)
    seen = stream._symbols_seen
    stream._stepping = True
    try:
        try:
            content = stream._entry_contents[id] if id >= 0 else None
        except (LookupError, TypeError, ValueError):
            content = None
        if content is not None:
            if later is not None and later.unsettled:
                later.settle()
            if later is None or later.expected != id:
                place[EVERYTHING] = content
                function(*arguments)
            if sign[0] >= DOUBTFUL:
                _require_first(stream)
            if target is not None:  # see `step`
                target[EVERYTHING] = source
                stream._symbols_seen = seen + 1
            elif later is not None:
                later.unsettled = True
                stream._symbols_seen = seen + 1
            else:
                copy_and_count(feedback, stream, "_symbols_seen")
            return answer  # type: ignore[no-any-return]  # a name for it would cost 2 ns
    except BaseException as error:
        if stream._symbols_seen != seen:  # a signal handler raised when all was done
            raise
        if later is not None:
            later.expected = NOTHING  # the outputs may be another's by now
        stream._forget_answer(error)
        raise
    finally:
        stream._stepping = False
    return _step_id_with_lock(stream, id)


def tools_of(backend: Backend, manifest: Manifest) -> tuple[Any, ...] | None:
    """Return what the functions above have at hand for the streams of a model; None: they take the lock."""
    if not _ONE_AT_A_TIME or not isinstance(backend, MemoryBackend) or manifest.features:
        return None
    target = source = later = None
    if isinstance(backend, TwoPhaseBackend):  # its state moves before the next step
        later = backend
    elif len(backend.feedback) == 1:  # one piece of memory to copy, as is usual
        target, source = backend.feedback[0]
    return (
        manifest.vocabulary.id_by_symbol,
        backend.entry.place,
        *backend.computation,
        backend.sign,
        target,
        source,
        later,
        backend.feedback,
        backend.answer(),
        as_bytes(backend.answer()),
        _references_of_nobody(backend.answer()),
        symbols_of(manifest),
    )


def is_within_step(stream: Stream) -> bool:
    """Tell whether this is called from within a step of `stream`: by a signal handler, which may come in the middle."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code in (step.__code__, step_id.__code__) and frame.f_locals["stream"] is stream:
            return True
    return False


def within_a_call(file: ModelFile) -> BackendError:
    """Return what to raise where a stream of `file` is used in the middle of a call of one."""
    return BackendError(
        f"A call of a stream of {file.name} is not over yet, and this comes from within it: from a signal handler "
        "perhaps, which can set a flag and leave the rest until after the call. Or from another thread; give each a "
        "stream of its own. This call has moved no stream."
    )


def _references_of_nobody(answer: Float32) -> int:
    """Return how many references there are to the array of a stream like `answer` that nobody else has.

    To write into an array takes 0.2 microseconds less than to make one. Whoever keeps an answer, or a view of it, holds
    a reference to the array that it is in, and then the next answer gets an array of its own.
    """
    holder = SimpleNamespace(spare=answer.copy())
    holder.room = as_bytes(holder.spare)
    values = holder.spare
    return getrefcount(values)


def _require_first(stream: Stream) -> None:
    """Raise NotFiniteError if the answer is no distribution; a byte of its first number is as of what may be none."""
    backend = stream._seat.backend
    assert isinstance(backend, MemoryBackend), "only such a seat has tools"
    backend.require_first()


def _step_with_lock(stream: Stream, symbol: str | None, features: Features | None) -> Prediction:
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


def _step_id_with_lock(stream: Stream, id: int) -> Float32:
    if stream._wide and stream.file.manifest.features:
        names = ", ".join(feature.describe() for feature in stream.file.manifest.features)
        raise FeatureMismatchError(f"{stream.file.name} reads {names} at each step: call step(symbol, features).")
    id = _require(id, stream._intake.count)
    with stream._seat.lock:
        try:
            return _step_in_seat(stream, id, {}).answer()
        finally:
            stream._seat.release(stream)


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
