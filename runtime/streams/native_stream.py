"""Streams on the compiled engine: a step is one call of C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..common.arrays import Float32, MaybeNone
from ..format.tensor_specs import Features
from ..interpreters.native._engine import Steps
from ..interpreters.native_backend import NativeBackend
from .low_latency_stream import LowLatencyStream
from .prediction import NO_OUTPUTS, Prediction, symbols_of
from .stream import Stream
from .stream_state import StreamState

_new = object.__new__


class _Bound(Steps):
    """The part that both classes have: `step_id` is a function of C, which does the step where all is well.

    While the state is in the engine, C has the engine (`_bind_engine`). In any other case, and where a step fails, C
    calls `_step_any_id`, as `Stream.step_id` does.
    """

    file: Any
    pool: Any
    _bindings: tuple[Any, ...] | None = None
    _step_any: Callable[[str | None, Features | None], Prediction | MaybeNone]  # of `Stream`

    @property
    def _bound(self) -> tuple[Any, ...] | None:
        return self._bindings

    @_bound.setter
    def _bound(self, bound: tuple[Any, ...] | None) -> None:
        self._bind_engine(*(bound[:2] if bound else (None, None)))
        self._bindings = bound

    def _bind(self, backend: NativeBackend) -> tuple[Any, ...] | None:
        manifest = self.file.manifest
        if backend.engine is None or manifest.extra_outputs or self.pool.answers is not None:
            return None
        return backend.engine, backend.answer(), manifest.vocabulary.id_by_symbol, symbols_of(manifest)

    def step(self, symbol: str | None = None, features: Features | None = None) -> Prediction | MaybeNone:
        """Feed one symbol and return how likely each symbol of the output is; see `Stream.step`."""
        bound = self._bindings
        if bound is None or features is not None:
            return self._step_any(symbol, features)
        try:
            values: Float32 | None = self._copied(bound[2][symbol])
        except (KeyError, TypeError):
            values = None
        if values is None:  # an unknown symbol, or a failure
            return self._step_any(symbol, None)
        prediction = _new(Prediction)  # its constructor costs 25 ns more
        prediction.values, prediction._symbols, prediction.outputs = values, bound[3], NO_OUTPUTS
        return prediction


class NativeStream(_Bound, Stream):  # type: ignore[misc]  # its `_bound` is a property
    """A stream on the compiled engine."""


class NativeLowLatencyStream(_Bound, LowLatencyStream):  # type: ignore[misc]
    """A low-latency stream on the compiled engine, which takes the next state over before it answers."""

    after_fork = StreamState.after_fork  # so nothing is lost with the engine
