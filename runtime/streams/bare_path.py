"""The shortest ways through a stream, methods of `Stream`: all that a step needs at hand, and no lock.

A step of 50 units takes 1.5 microseconds inside of the interpreter. A lock around it costs 0.25, two calls of methods
0.15, a copy of two states instead of one piece of memory 0.05: that is what is saved here. So `step` and `step_id` say
alike what a third function would cost 0.1 to say once, and streams that step in two phases have both for themselves
(`two_phase_path`).

How it is safe without a lock: `stepping` is set before the stream looks for what goes to the entry of the graph, which
it has only while it sits there. Whoever wants the seat takes that away before looking at `stepping`, and waits
(`Seat.take`). With the global interpreter lock these stores and loads happen in one order for all threads, so not both
can go on. Without it (free-threaded Python) the lock of the seat is used.
"""

from __future__ import annotations

import sys
from sys import getrefcount
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..common.arrays import Float32
from ..format.manifest import Manifest
from ..format.tensor_specs import Features
from ..interpreters.base import Backend
from ..interpreters.in_place import SIGN_LIMIT, InPlaceBackend
from ..interpreters.memory import ALL, as_bytes, copy_and_count
from .locked_path import step_id_with_lock, step_with_lock
from .prediction import NO_OUTPUTS, Prediction, symbols_of
from .within_a_call import within_a_call

if TYPE_CHECKING:
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
        return step_with_lock(stream, symbol, features)
    place, function, arguments, sign, target, source, feedback, answer, answering = stream._tools
    ids, numbers, idle, symbols = answering
    if stream._stepping:
        raise within_a_call(stream.file)
    seen = stream._symbols_seen
    stream._stepping = True
    try:
        try:
            content = stream._entry_contents[ids[symbol]]
        except (LookupError, TypeError):  # unknown, or new; or another stream has the seat
            content = None
        if content is not None:
            place[ALL] = content
            function(*arguments)
            if sign[0] >= SIGN_LIMIT:
                require_first(stream)
            values = stream._spare
            if getrefcount(values) == idle:  # nobody has what was answered last any more
                stream._room[ALL] = numbers
            else:
                values = answer.copy()
                stream._room, stream._spare = as_bytes(values), values
            prediction = _NEW(Prediction)  # without its constructor: 25 ns less
            prediction.values, prediction._symbols, prediction.outputs = values, symbols, NO_OUTPUTS
            if target is not None:  # between the move and the count is no call, where a signal handler could come in
                target[ALL] = source
                stream._symbols_seen = seen + 1
            else:
                copy_and_count(feedback, stream, "_symbols_seen")
            return prediction
    except BaseException as error:
        if stream._symbols_seen != seen:  # a signal handler raised when all was done
            raise
        stream._forget_answer(error)  # the outputs may be another's by now
        raise
    finally:
        stream._stepping = False
    return step_with_lock(stream, symbol, features)  # and the next one without


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
        return step_id_with_lock(stream, id)
    place, function, arguments, sign, target, source, feedback, answer, _ = stream._tools
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
            place[ALL] = content
            function(*arguments)
            if sign[0] >= SIGN_LIMIT:
                require_first(stream)
            if target is not None:  # see `step`
                target[ALL] = source
                stream._symbols_seen = seen + 1
            else:
                copy_and_count(feedback, stream, "_symbols_seen")
            return answer  # type: ignore[no-any-return]  # a name for it would cost 2 ns
    except BaseException as error:
        if stream._symbols_seen != seen:  # see `step`
            raise
        stream._forget_answer(error)
        raise
    finally:
        stream._stepping = False
    return step_id_with_lock(stream, id)


def tools_of(backend: Backend, manifest: Manifest) -> tuple[Any, ...] | None:
    """Return what the functions above have at hand for the streams of a model; None: they take the lock."""
    if not can_do_without_lock(manifest) or not isinstance(backend, InPlaceBackend):
        return None
    # One piece of memory to copy, as is usual, or several.
    target, source = backend.feedback[0] if len(backend.feedback) == 1 else (None, None)
    return (
        backend.slot.buffer,
        *backend.call,
        backend.sign,
        target,
        source,
        backend.feedback,
        backend.answer(),
        answering_of(backend.answer(), manifest),
    )


def can_do_without_lock(manifest: Manifest) -> bool:
    """Tell whether streams of a model may step without a lock, if their backend lets them."""
    return _ONE_AT_A_TIME and not manifest.features


def answering_of(answer: Float32, manifest: Manifest) -> tuple[Any, ...]:
    """Return what makes a prediction of `answer`: ids by symbol, its memory, when an array is idle, and the symbols."""
    return manifest.vocabulary.id_by_symbol, as_bytes(answer), _references_of_nobody(answer), symbols_of(manifest)


def _references_of_nobody(answer: Float32) -> int:
    """Return how many references there are to the array of a stream like `answer` that nobody else has.

    To write into an array takes 0.2 microseconds less than to make one. Whoever keeps an answer, or a view of it, holds
    a reference to the array that it is in, and then the next answer gets an array of its own.
    """
    holder = SimpleNamespace(spare=answer.copy())
    holder.room = as_bytes(holder.spare)
    values = holder.spare
    return getrefcount(values)


def require_first(stream: Stream) -> None:
    """Raise NotFiniteError if the answer is no distribution; a byte of its first number is as of what may be none."""
    backend = stream._seat.backend
    assert isinstance(backend, InPlaceBackend), "only such a seat has tools"
    backend.require_first()
