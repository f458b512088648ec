"""Streams: one sequence being stepped, by an interpreter of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arrays import AnyArray, Float32, Ids, MaybeNone
from ..common.errors import FeatureMismatchError
from ..format.tensor_specs import Features
from ..interpreters.base import Backend
from .input_encoder import no_id, require_ids
from .prediction import Prediction, prediction_of, symbols_of
from .stream_state import StreamState

if TYPE_CHECKING:  # these take a stream
    from ..tasks.generate import Continuation
    from ..tasks.score import Score


class Stream(StreamState):
    """One sequence of symbols on its way through a model.

    Made by `Model.stream()`. Its answers depend on every symbol since the last `reset()` and on nothing else. It has an
    interpreter of its own, opened at its first step (half a millisecond). A stream belongs to one thread; streams of
    one model may step in different threads. A call that fails leaves the state where it was. Ctrl-C leaves it before or
    after a step, never between. Do not use a stream in a signal handler, which may run in the middle of its step: let
    the handler set a flag.
    """

    def step(self, symbol: str | None = None, features: Features | None = None) -> Prediction | MaybeNone:
        """Feed one symbol and return how likely each symbol of the output is.

        The state moves forward by one.

        Args:
            symbol: One symbol of the model's vocabulary; None for a model that reads features alone.
            features: What the model reads beside the symbol (`Manifest.features`), by name: arrays of the shapes of one
                step. Of a single feature the array alone will do.

        Returns:
            Prediction over the output vocabulary; its numbers are float32 of shape (K,) and belong to the caller.
            Its `unknown` says that the model read its unknown symbol in place of `symbol`. None from a model that does
            not answer at each step (`Manifest.answers`), where this step has no answer.

        Raises:
            UnknownSymbolError: `symbol` is not in the vocabulary. The state has not moved.
            FeatureMismatchError: `features` are not those that the model reads. The state has not moved.
            BackendError: The interpreter failed. The state has not moved.
            NotFiniteError: The answer or the next state is not finite. The state has not moved.
        """
        if self._bound is None or features is not None:
            return self._step_any(symbol, features)
        backend, answer, ids, symbols = self._bound
        try:
            id = ids[symbol]
        except (KeyError, TypeError):
            return self._step_any(symbol, None)
        self._advance(backend, id)
        return Prediction(answer.copy(), symbols)

    def step_id(self, id: int) -> Float32 | MaybeNone:
        """Feed the symbol with an id, by the shortest way there is, and return the main output where it is.

        Args:
            id: The id of a symbol, from 0 on.

        Returns:
            The main output, float32 of shape (K,), in the memory of the interpreter: the next call of this stream may
            change it, so copy what you keep. None where `step` returns None.

        Raises:
            UnknownSymbolError: It is not the id of a symbol. The state has not moved.
            FeatureMismatchError: The model reads features. The state has not moved.
            BackendError, NotFiniteError: As `step` does. The state has not moved.
        """
        if self._bound is None or type(id) is not int or not 0 <= id < self.pool.encoder.count:
            return self._step_any_id(id)
        backend, answer, _, _ = self._bound
        self._advance(backend, id)
        return answer

    def _step_any(self, symbol: str | None, features: Features | None) -> Prediction | MaybeNone:
        """Step on any backend, with features, further outputs and steps without an answer; see `step`."""
        encoder, manifest, answers = self.pool.encoder, self.file.manifest, self.pool.answers
        id, checked = encoder.id_of(symbol), encoder.features_of(features)
        backend = self._step(id, checked)
        if answers is not None and not answers.answers_at(backend.steps):
            return None
        unknown = symbol is not None and symbol not in manifest.vocabulary
        if unknown or manifest.extra_outputs:
            return self._prediction_at(backend.steps, unknown=unknown)
        return Prediction(backend.answer().copy(), symbols_of(manifest))

    def _prediction_at(self, step: int, *, unknown: bool = False) -> Prediction | None:
        """Return what the interpreter has answered in that step; None: nothing."""
        answers = self._answers_at(step)
        return None if answers is None else prediction_of(answers, self.file.manifest, unknown=unknown)

    def _step_any_id(self, id: int) -> Float32 | MaybeNone:
        """Step on any backend; see `step_id`."""
        features = self.file.manifest.features
        if features:
            names = ", ".join(feature.describe() for feature in features)
            raise FeatureMismatchError(f"{self.file.name} reads {names} at each step: call step(symbol, features).")
        try:
            number = index(id)
        except TypeError:
            number = -1
        if not 0 <= number < self.pool.encoder.count:
            raise no_id(id, self.pool.encoder.count, "The stream has not moved.")
        backend, answers = self._step(number, {}), self.pool.answers
        return backend.answer() if answers is None or answers.answers_at(backend.steps) else None

    def peek(self, symbol: str | None = None, features: Features | None = None) -> Prediction | MaybeNone:
        """Return what `step` would return; the state does not move.

        Args:
            symbol: As for `step`.
            features: As for `step`.

        Raises:
            UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: As `step` does.
        """
        id, checked = self.pool.encoder.id_of(symbol), self.pool.encoder.features_of(features)
        backend = self._interpreter()
        self._last_answers()

        def compute() -> Prediction | None:
            backend.write_features(checked)
            backend.peek(id)
            unknown = symbol is not None and symbol not in self.file.manifest.vocabulary
            return self._prediction_at(backend.steps + 1, unknown=unknown)

        return self._guarded(compute)

    def settle(self, *, expect: bool = True) -> None:
        """Do now what a step of a low-latency stream has left for later; see `Model.stream`. The state stays.

        Args:
            expect: Compute the answer to the symbol that the last answer calls likeliest as well. If that is the one
                that is stepped next, its answer is there already. (Of models that answer with the next symbol.)

        Raises:
            BackendError: The interpreter failed. The state has not moved.
        """

    def absorb(self, symbols: Iterable[str] | None = None, features: Features | None = None) -> Prediction | None:
        """Feed a whole history at once: the same state and the same answer as stepping it, bit for bit.

        (In a file of whole sequences, model.sequence.onnx, up to float32 rounding: there a long product of matrices
        takes the place of many short ones.)

        Args:
            symbols: Symbols of the vocabulary, in order. They are all checked before the first is fed.
            features: As for `step`, with the T steps as first dimension of each array.

        Returns:
            The prediction after the last symbol; None if there are no symbols, or where `step` returns None.

        Raises:
            UnknownSymbolError: One of them is not in the vocabulary. The state has not moved.
            FeatureMismatchError: `features` are not those that the model reads. The state has not moved.
            BackendError, NotFiniteError: As `step` does. The state has not moved.
        """
        ids, checked = self.pool.encoder.of_many(symbols, features)
        if not ids.size:
            return None
        last = self.symbols_seen + ids.size

        def work(backend: Backend) -> Prediction | None:
            if checked:
                for _ in _steps(backend, ids, checked):
                    pass
            else:
                backend.absorb(ids)
            return self._prediction_at(last)

        return self._move(work, ids.size)

    def run(self, symbols: Iterable[str] | None = None, features: Features | None = None) -> Float32:
        """Feed many symbols and return the answers to all of them: what stepping them answers, bit for bit.

        Args:
            symbols: T symbols of the vocabulary, in order. They are all checked before the first is fed.
            features: As for `absorb`.

        Returns:
            The main output, float32 of shape (T, K), yours to keep; NaN in the rows of steps without an answer. Feed
            millions of symbols in parts, or see `score`.

        Raises:
            UnknownSymbolError, FeatureMismatchError, BackendError, NotFiniteError: As `absorb` does. The state has not
                moved.
        """
        ids, checked = self.pool.encoder.of_many(symbols, features)
        if not checked:
            return self.run_ids(ids)

        def work(backend: Backend) -> Float32:
            answers = self._empty_answers(ids.size)
            for step, _ in enumerate(_steps(backend, ids, checked)):
                answers[step] = backend.answer()
            return answers

        return self._run(work, ids.size)

    def run_ids(self, ids: Ids) -> Float32:
        """Run ids, as `run` does with symbols, for models that read symbols alone.

        Args:
            ids: Ids of the vocabulary, int32 of shape (T,). They are all checked before the first is fed.

        Returns:
            The main output, float32 of shape (T, K), yours to keep; NaN as in `run`.

        Raises:
            UnknownSymbolError: One of them is no id. The state has not moved.
            FeatureMismatchError: The model reads features. The state has not moved.
            BackendError, NotFiniteError: As `step` does. The state has not moved.
        """
        self.pool.encoder.features_of(None)
        ids = np.asarray(ids)
        if not ids.size:
            return self._empty_answers(0)
        require_ids(ids, self.pool.encoder.count, "The stream has not moved.")
        return self._run(lambda backend: backend.run(ids), ids.size)

    def _run(self, work: Callable[[Backend], Float32], count: int) -> Float32:
        """Return the answers of `work`, which steps `count` symbols, with NaN in the rows of steps without one."""
        seen, answers = self.symbols_seen, self._move(work, count)
        if self.pool.answers is not None:
            answers[~self.pool.answers.which_answer(np.arange(seen + 1, seen + count + 1))] = np.nan
        return answers

    def ids_of(self, symbols: Iterable[str]) -> Ids:
        """Return the ids of symbols; nothing moves.

        Args:
            symbols: T symbols.

        Returns:
            int32 of shape (T,).

        Raises:
            UnknownSymbolError: One of them is not in the vocabulary; the message says which.
        """
        return self.pool.encoder.ids_of(symbols)

    def fork(self) -> Stream:
        """Return a second stream that continues from here, independent of this one."""
        return type(self)(self.pool, self.snapshot())

    def generate(
        self,
        count: int,
        *,
        prompt: Iterable[str] = (),
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        greedy: bool = False,
        stop: str | None = None,
        seed: int | None = None,
        begin: bool = True,
        offer_unknown: bool = False,
    ) -> Iterator[str]:
        """Go on by what the stream predicts itself: an iterator over the symbols. See `tasks.generate.generate`."""
        from ..tasks.generate import generate

        return generate(
            self, count, prompt=prompt, temperature=temperature, top_k=top_k, top_p=top_p, greedy=greedy, stop=stop,
            seed=seed, begin=begin, offer_unknown=offer_unknown,
        )  # fmt: skip

    def beam(
        self, count: int, width: int, *, prompt: Iterable[str] = (), stop: str | None = None, begin: bool = True,
        offer_unknown: bool = False,
    ) -> list[Continuation]:  # fmt: skip
        """Return the likeliest ways to go on, the likeliest first; the stream stays. See `tasks.generate.beam`."""
        from ..tasks.generate import beam

        return beam(self, count, width, prompt=prompt, stop=stop, begin=begin, offer_unknown=offer_unknown)

    def score(
        self, symbols: Iterable[str], features: Features | None = None, *, in_lanes: bool = True, begin: bool = True
    ) -> Score:
        """Feed symbols and return how likely each was, given all before it. See `tasks.score.score`."""
        from ..tasks.score import score

        return score(self, symbols, features, in_lanes=in_lanes, begin=begin)

    def _empty_answers(self, steps: int) -> Float32:
        return np.empty((steps, self.file.manifest.output_size), np.float32)

    def __copy__(self) -> Stream:
        """Return a fork."""
        return self.fork()

    def __deepcopy__(self, memo: dict[int, Any]) -> Stream:
        """Return a fork."""
        return self.fork()

    def __repr__(self) -> str:
        """Return model and position in a line."""
        return f"{type(self).__name__}({self.file.name}, symbols_seen={self.symbols_seen})"


def _steps(backend: Backend, ids: Ids, features: Mapping[str, AnyArray]) -> Iterator[None]:
    """Step `ids` with the rows of `features`, and pause after each."""
    for step, id in enumerate(ids.tolist()):
        backend.write_features({name: array[step] for name, array in features.items()})
        backend.step(id)
        yield
