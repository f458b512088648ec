"""The shortest ways through a stream that steps in two phases, methods of `LowLatencyStream`.

They do what `bare_path` says, and are as safe. What comes after the answer is left for later, so there is no state to
copy; in its place they look whether something was left, and whether the answer is there already. Said alike here and
there, and in `step` and `step_id`, is what a function for both would cost a tenth of a microsecond: the answer to a
step of 20 units comes after 1.0, and 0.04 of it were saved when these were taken apart.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

from ..common.arrays import Float32
from ..format.manifest import Manifest
from ..format.tensor_specs import Features
from ..interpreters.base import Backend
from ..interpreters.in_place import SIGN_LIMIT
from ..interpreters.memory import ALL, as_bytes
from ..interpreters.two_phase_backend import PENDING, TwoPhaseBackend
from .bare_path import answering_of, can_do_without_lock, require_first
from .locked_path import settle_with_lock, step_id_with_lock, step_with_lock
from .prediction import NO_OUTPUTS, Prediction
from .within_a_call import within_a_call

if TYPE_CHECKING:
    from .stream import Stream

_NEW = object.__new__


def step(stream: Stream, symbol: str | None = None, features: Features | None = None) -> Prediction:
    """Feed one symbol and return how likely each symbol of the output is; see `Stream.step`."""
    if stream._tools is None or stream._wide or features is not None:
        return step_with_lock(stream, symbol, features)
    place, function, arguments, sign, backend, answer, answering = stream._tools
    ids, numbers, idle, symbols = answering
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
            pending = backend.pending
            if pending != id:
                if pending == PENDING:
                    backend.settle()
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
            prediction = _NEW(Prediction)
            prediction.values, prediction._symbols, prediction.outputs = values, symbols, NO_OUTPUTS
            backend.pending = PENDING  # between this and the count is no call, where a signal handler could come in
            stream._symbols_seen = seen + 1
            return prediction
    except BaseException as error:
        stream._forget_answer(error)
        raise
    finally:
        stream._stepping = False
    return step_with_lock(stream, symbol, features)  # and the next one without


def step_id(stream: Stream, id: int) -> Float32:
    """Feed the symbol with an id, by the shortest way there is; see `Stream.step_id`."""
    if stream._tools is None:
        return step_id_with_lock(stream, id)
    place, function, arguments, sign, backend, answer, _ = stream._tools
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
            pending = backend.pending
            if pending != id:
                if pending == PENDING:
                    backend.settle()
                place[ALL] = content
                function(*arguments)
            if sign[0] >= SIGN_LIMIT:
                require_first(stream)
            backend.pending = PENDING  # see `step`
            stream._symbols_seen = seen + 1
            return answer  # type: ignore[no-any-return]  # a name for it would cost 2 ns
    except BaseException as error:
        stream._forget_answer(error)
        raise
    finally:
        stream._stepping = False
    return step_id_with_lock(stream, id)


def settle(stream: Stream, *, expect: bool = True) -> None:
    """Do now what a step has left for later; see `Stream.settle`."""
    if stream._stepping:
        raise within_a_call(stream.file)
    stream._stepping = True
    try:
        if stream._tools is not None and stream._entry_contents:  # it sits there
            stream._seat.settle(stream, expect=expect)
            return
    finally:
        stream._stepping = False
    settle_with_lock(stream, expect=expect)


def tools_of(backend: Backend, manifest: Manifest) -> tuple[Any, ...] | None:
    """Return what the functions above have at hand for the low-latency streams of a model; None: they take the lock."""
    if not can_do_without_lock(manifest) or not isinstance(backend, TwoPhaseBackend):
        return None
    return (
        backend.slot.buffer,
        *backend.call,
        backend.sign,
        backend,
        backend.answer(),
        answering_of(backend.answer(), manifest),
    )
