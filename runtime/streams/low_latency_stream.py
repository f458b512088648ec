"""Streams that answer first and work later."""

from __future__ import annotations

from ..interpreters.two_phase_backend import TwoPhaseBackend
from .stream import Stream
from .two_phase_path import settle, step, step_id


class LowLatencyStream(Stream):
    """A stream that is stepped in two phases, made by `Model.stream(low_latency=True)`; else like any other."""

    __slots__ = ()

    step, step_id, settle = step, step_id, settle

    def _forget_answer(self, error: BaseException) -> None:
        """See `Stream`; what was computed ahead may have been overwritten likewise."""
        backend = self._seat.backend
        if self._seat.occupant is self and isinstance(backend, TwoPhaseBackend):
            backend.forget_expected()
        super()._forget_answer(error)
