"""Streams that return the output before updating the state."""

from __future__ import annotations

from contextlib import suppress

from ..common.arrays import Float32, MaybeNone
from ..common.errors import NotFiniteError
from ..format.tensor_specs import Features
from ..interpreters.forks import LostInterpreter, leave
from ..interpreters.in_place import SIGN_LIMIT
from ..interpreters.memory import ALL
from ..interpreters.two_phase_backend import IDLE, PENDING
from .prediction import NO_OUTPUTS, Prediction
from .snapshot import Snapshot
from .stream import Stream

_new = object.__new__


class LowLatencyStream(Stream):
    """A stream that steps in two phases, made by `Model.stream(low_latency=True)`; else like any other.

    Its interpreter has a `TwoPhaseBackend`. A step computes the answer, unless it is there already (`settle`), and
    leaves the next state `PENDING`; the next call, or `settle`, completes it.
    """

    def step(self, symbol: str | None = None, features: Features | None = None) -> Prediction | MaybeNone:
        """Feed one symbol and return how likely each symbol of the output is; see `Stream.step`."""
        if self._bound is None or features is not None:
            return self._step_any(symbol, features)
        backend, buffer, cache, call, arguments, sign, _, copy, ids, symbols = self._bound
        try:
            id = ids[symbol]
            content = cache[id]
        except (KeyError, TypeError):
            content = None
        if content is None:
            return self._step_any(symbol, None)
        try:
            pending = backend.pending
            if pending != id:
                if pending == PENDING:
                    backend.settle()
                else:
                    backend.pending = IDLE  # the outputs will no longer be those of an expected symbol
                buffer[ALL] = content
                call(*arguments)
            if sign[0] >= SIGN_LIMIT:
                backend.require_first()
            prediction = _new(Prediction)  # its constructor costs 25 ns more
            prediction.values, prediction._symbols, prediction.outputs = copy(), symbols, NO_OUTPUTS
        except BaseException as error:
            self._forget_answers(error)
            raise
        backend.pending = PENDING  # from here on is no call, in which a signal handler could raise
        backend.steps += 1
        return prediction

    def step_id(self, id: int) -> Float32 | MaybeNone:
        """Feed the symbol with an id and return the main output where it is; see `Stream.step_id`."""
        if self._bound is None:
            return self._step_any_id(id)
        backend, buffer, cache, call, arguments, sign, answer, _, _, _ = self._bound
        try:
            content = cache[id] if id >= 0 else None
        except (LookupError, TypeError, ValueError):
            content = None
        if content is None:
            return self._step_any_id(id)
        try:
            pending = backend.pending
            if pending != id:
                if pending == PENDING:
                    backend.settle()
                else:
                    backend.pending = IDLE  # the outputs will no longer be those of an expected symbol
                buffer[ALL] = content
                call(*arguments)
            if sign[0] >= SIGN_LIMIT:
                backend.require_first()
        except BaseException as error:
            self._forget_answers(error)
            raise
        backend.pending = PENDING
        backend.steps += 1
        return answer

    def after_fork(self) -> None:
        """See `Holder.after_fork`; a step that was not settled cannot be completed."""
        if self._parked is not None or self._backend.pending != PENDING:
            super().after_fork()
            return
        leave(self._backend)
        self._bound = None
        self._backend = LostInterpreter(
            "A low-latency stream", "Call settle(expect=False) on it before the fork, or go on from a saved state."
        )

    def _park(self, snapshot: Snapshot) -> None:
        if isinstance(self._backend, LostInterpreter):
            self._backend = None
        super()._park(snapshot)

    def settle(self, *, expect: bool = True) -> None:
        """Complete the last step; see `Stream.settle`."""
        if self._parked is not None:
            return
        self._guarded(self._backend.settle)
        manifest = self.file.manifest
        predicts = manifest.labels is None and manifest.output != "linear" and not manifest.features
        if expect and predicts and self._backend.pending == IDLE:
            answers = self._last_answers()  # the expected answer overwrites it
            if answers is not None:
                with suppress(NotFiniteError):  # that symbol has not come
                    self._guarded(lambda: self._backend.expect(int(answers[manifest.answer].argmax())))
