"""Streams on the compiled engine: a step is one call of C, and some of it may be left for after the answer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ..common.arrays import MaybeNone
from ..common.errors import NotFiniteError
from ..format.tensor_specs import Features
from ..interpreters.native._engine import Steps
from ..interpreters.native_backend import IDLE
from .prediction import NO_OUTPUTS, Prediction, symbols_of
from .stream import Stream

_new = object.__new__


class NativeStream(Steps, Stream):
    """A stream whose `step_id` is a function of C, which does the step where all is well.

    While the state is in the engine, C has the engine (`_bind_engine`). In any other case, and where a step fails, C
    calls `_step_any_id`, as `Stream.step_id` does.
    """

    _bindings: tuple[Any, ...] | None = None

    @property
    def _bound(self) -> tuple[Any, ...] | None:
        return self._bindings

    @_bound.setter
    def _bound(self, bound: tuple[Any, ...] | None) -> None:
        self._bind_engine(*(bound[:2] if bound else (None, None)))
        self._bindings = bound

    def _bind(self, backend: Any) -> tuple[Any, ...] | None:
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
            values = self._copied(bound[2][symbol])
        except (KeyError, TypeError):
            values = None
        if values is None:  # an unknown symbol, or a failure
            return self._step_any(symbol, None)
        prediction = _new(Prediction)  # its constructor costs 25 ns more
        prediction.values, prediction._symbols, prediction.outputs = values, bound[3], NO_OUTPUTS
        return prediction


class LowLatencyStream(NativeStream):
    """A stream that answers first, made by `Model.stream(low_latency=True)`; else like any other.

    A step computes what depends on the symbol, takes the next state over and returns. What depends on that state alone
    is computed by the next call, or by `settle`.
    """

    def settle(self, *, expect: bool = True) -> None:
        """Compute what the last step has left for later; see `Stream.settle`."""
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
