"""Generate symbols from the predictions of a stream: by drawing, or by beam search for the likeliest continuations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf, isfinite
from numbers import Integral

import numpy as np

from ..common.errors import OptionError, TargetError
from ..streams.snapshot import Snapshot
from ..streams.stream import Stream
from .begin import can_begin
from .distribution import Float64, next_symbol_probabilities, require_next_symbols


def generate(
    stream: Stream,
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
    """Feed a stream its own predictions: return an iterator over the symbols.

    The arguments are checked at the call. The stream moves with the iterator: the prompt is fed first, and each symbol
    before it is yielded. You may step the stream in between; the iterator continues from there.

    Args:
        stream: The stream to move.
        count: How many symbols, at most.
        prompt: Symbols to feed first. A stream that has not been stepped since its reset needs some, unless its model
            has an end symbol to begin with; a model that answers from its N-th step on needs N in all.
        temperature: See `Sampling`.
        top_k: See `Sampling`.
        top_p: See `Sampling`.
        greedy: See `Sampling`.
        stop: Symbol after which to end.
        seed: The same seed gives the same symbols, on one interpreter; None: others each time.
        begin: Feed the end symbol first to a fresh stream of a model of whole sequences; see `begin_sequence`.
        offer_unknown: Generate the unknown symbol too, and the end symbol of a model of texts. (As `stop`, a symbol is
            always generated.)

    Raises:
        OptionError: Options make no sense, or there is no prediction to start from. The stream has not moved.
        TargetError: The model does not answer symbols with the next one, or not at each step. The stream has not moved.
        UnknownSymbolError: A symbol of `prompt` is not in the vocabulary. The stream has not moved.
        NotFiniteError: While iterating: an output is no distribution. The stream is after the last symbol yielded.
    """
    sampling, symbols = Sampling(temperature, top_k, top_p, greedy), list(prompt)
    numbers = {"count": (count, 0), **({} if seed is None else {"seed": (seed, 0)})}
    check_generation(stream, symbols, stop, numbers, begin=begin)
    hidden = hidden_ids(stream, stop, offer_unknown=offer_unknown)
    if begin:
        symbols = begun(stream, symbols)
    return _generated(stream, count, sampling, symbols, stop, np.random.default_rng(seed), hidden)


def _generated(
    stream: Stream, count: int, sampling: Sampling, prompt: list[str], stop: str | None, random: np.random.Generator,
    hidden: list[int],
) -> Iterator[str]:  # fmt: skip
    stream.absorb(prompt)
    vocabulary = stream.file.manifest.vocabulary.symbols
    for _ in range(count):
        symbol = vocabulary[sampling.draw(_without(next_distribution(stream), hidden), random)]
        stream.step(symbol)
        yield symbol
        if symbol == stop:
            return


def next_distribution(stream: Stream) -> Float64:
    """Return the distribution of the next symbol of `stream`, float64 of shape (K,).

    Raises:
        OptionError: The stream has no prediction.
        NotFiniteError: Its output is no distribution.
    """
    prediction = stream.prediction
    if prediction is None:  # it was reset since `check_generation`
        raise OptionError(f"The stream of {stream.file.name} has no prediction any more: step it first.")
    return next_symbol_probabilities(prediction.probabilities, stream.file.manifest.output, stream.file.name)


def begun(stream: Stream, prompt: list[str]) -> list[str]:
    """Return the symbols of a prompt, after the end symbol if a sequence begins with them; see `begin_sequence`."""
    end = stream.file.manifest.trained_data.end
    return [end, *prompt] if end is not None and prompt[:1] != [end] and can_begin(stream) else prompt


def hidden_ids(stream: Stream, stop: str | None, *, offer_unknown: bool) -> list[int]:
    """Return the ids that are not generated: those of `Prediction.top`, but for `stop`."""
    symbols = stream.file.manifest.output_symbols
    return [] if offer_unknown else [id for id in symbols.hidden if symbols[id] != stop]


def _without(distribution: Float64, hidden: list[int]) -> Float64:
    """Return a distribution with zeros for `hidden` ids, unless nothing is left."""
    if not hidden:
        return distribution
    rest = distribution.copy()
    rest[hidden] = 0.0
    return rest if rest.any() else distribution


def check_generation(
    stream: Stream, prompt: list[str], stop: str | None, numbers: dict[str, tuple[int, int]], *, begin: bool
) -> None:
    """Refuse impossible options before the stream moves.

    Args:
        stream: The stream to move.
        prompt: Symbols to feed first.
        stop: Symbol after which to end.
        numbers: Name of an option -> its value, and the least that it may be.
        begin: Whether a fresh stream is fed the end symbol, if its model has one.

    Raises:
        TargetError, UnknownSymbolError, OptionError: As `generate` does.
    """
    file = stream.file
    require_next_symbols(file, "nothing can be fed back")
    if file.manifest.answers.every > 1:
        raise TargetError(
            f"{file.name} answers {file.manifest.answers.describe()}, so nothing can be fed back: the symbols between "
            "two answers are not predicted. Step it instead: Stream.step, or stepcell predict."
        )
    problems = [
        f"{name} is {number}, it must be a whole number and at least {wanted}"
        for name, (number, wanted) in numbers.items()
        if not (isinstance(number, Integral) and number >= wanted)
    ]
    if stop is not None and stop not in file.manifest.vocabulary:
        problems.append(f"the stop symbol {stop!r} is not in the vocabulary ({file.manifest.vocabulary.describe()})")
    answers, fed = file.manifest.answers, len(begun(stream, prompt)) if begin else len(prompt)
    needed = max(answers.first - stream.symbols_seen, int(stream.prediction is None))
    if fed < needed:
        more = "one symbol" if needed == 1 else f"{needed - fed + len(prompt)} symbols"
        problems.append(f"the stream has no prediction yet: give it a prompt of {more} or more")
    if problems:
        raise OptionError(f"{file.name} cannot generate symbols: {'; '.join(problems)}. The stream has not moved.")
    stream.ids_of(prompt)


@dataclass(frozen=True)
class Continuation:
    """A continuation of a stream.

    Attributes:
        symbols: The symbols that follow.
        log_probability: Natural logarithm of their joint probability, given everything before.
        stream: A fork of the stream that has been fed the prompt and `symbols`.
    """

    symbols: tuple[str, ...]
    log_probability: float
    stream: Stream


def beam(
    stream: Stream, count: int, width: int, *, prompt: Iterable[str] = (), stop: str | None = None, begin: bool = True,
    offer_unknown: bool = False,
) -> list[Continuation]:  # fmt: skip
    """Search the likeliest continuations and return them, the likeliest first. The stream itself does not move.

    Of all ways to add a symbol to the `width` likeliest beginnings the `width` likeliest are kept, `count` times.
    Continue with the one you choose: `stream = continuation.stream`.

    Args:
        stream: Where to start. It stays there.
        count: How many symbols, at most.
        width: How many continuations to follow, and at most to return; 1 is greedy.
        prompt: Symbols to feed first. A stream that has not been stepped since its reset needs some.
        stop: Symbol after which a continuation ends. It keeps its place among the others: few symbols are likelier
            than many.
        begin: See `generate`.
        offer_unknown: See `generate`.

    Raises:
        OptionError: Options make no sense, or there is no prediction to start from.
        TargetError: The model does not answer symbols with the next one, or not at each step.
        UnknownSymbolError: A symbol of `prompt` is not in the vocabulary.
        NotFiniteError: An output is no distribution.
    """
    symbols = list(prompt)
    check_generation(stream, symbols, stop, {"count": (count, 0), "width": (width, 1)}, begin=begin)
    symbols, hidden = (
        begun(stream, symbols) if begin else symbols,
        hidden_ids(stream, stop, offer_unknown=offer_unknown),
    )
    walker = stream.fork()  # the one stream that is stepped, from snapshot to snapshot
    walker.absorb(symbols)
    found = [_Path((), 0.0, walker.snapshot())]
    for _ in range(count):
        choices: list[tuple[float, _Path, int | None]] = []  # log-probability, beginning, next id
        for one in found:
            if stop is not None and one.symbols[-1:] == (stop,):
                choices.append((one.log_probability, one, None))
                continue
            walker.go_to(one.end)
            with np.errstate(divide="ignore"):
                logarithms = np.log(_without(next_distribution(walker), hidden))
            likeliest = np.argsort(-logarithms, kind="stable")[:width].tolist()
            choices += [(one.log_probability + float(logarithms[i]), one, i) for i in likeliest if logarithms[i] > -inf]
        choices.sort(key=lambda choice: -choice[0])  # stable: of equals the earlier
        if all(id is None for _, _, id in choices):
            break
        found = [one if id is None else _followed(walker, one, total, id) for total, one, id in choices[:width]]
    return [Continuation(one.symbols, one.log_probability, type(stream)(stream.pool, one.end)) for one in found]


@dataclass(frozen=True)
class _Path:
    """A continuation during the search; `end` is where the stream is after its symbols."""

    symbols: tuple[str, ...]
    log_probability: float
    end: Snapshot


def _followed(walker: Stream, one: _Path, log_probability: float, id: int) -> _Path:
    """Return `one` followed by the symbol `id`, to which `walker` steps."""
    symbol = walker.file.manifest.vocabulary.symbols[id]
    walker.go_to(one.end)
    walker.step(symbol)
    return _Path((*one.symbols, symbol), log_probability, walker.snapshot())


@dataclass(frozen=True)
class Sampling:
    """Options for drawing the next symbol: temperature is applied first, then `top_k`, then `top_p`.

    Attributes:
        temperature: The probabilities are raised to its inverse: below 1 the likely become likelier.
        top_k: Draw among this many of the likeliest.
        top_p: Draw among the fewest of the likeliest with this joint probability (nucleus sampling, Holtzman et al.
            2020, arXiv 1904.09751).
        greedy: Take the likeliest, of equals the first by id; nothing is drawn.

    Raises:
        OptionError: They make no sense, or `greedy` makes others needless.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    greedy: bool = False

    def __post_init__(self) -> None:
        """Check the options."""
        problems = []
        if not (isfinite(self.temperature) and self.temperature > 0):
            problems.append(
                f"the temperature is {self.temperature}, it must be above 0 (the likeliest symbol each time: greedy)"
            )
        if self.top_k is not None and not (isinstance(self.top_k, Integral) and self.top_k >= 1):
            problems.append(f"top_k is {self.top_k}, it must be a whole number and at least 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            problems.append(f"top_p is {self.top_p}, it must be above 0 and at most 1")
        if self.greedy and (self.temperature != 1 or self.top_k is not None or self.top_p is not None):
            problems.append("greedy takes the likeliest symbol, so leave out temperature, top_k and top_p")
        if problems:
            raise OptionError(f"No symbol can be drawn with these options: {'; '.join(problems)}.")

    def draw(self, distribution: Float64, random: np.random.Generator) -> int:
        """Return an id drawn from `distribution`, shape (K,).

        One number is taken from `random`, even if `top_k` leaves no choice. The ids keep their order: outputs that
        differ in a last digit between interpreters hardly ever give another symbol.
        """
        if self.greedy:
            return int(distribution.argmax())
        weights = distribution
        if self.temperature != 1:
            with np.errstate(divide="ignore", over="ignore"):
                logs = (np.log(distribution) - np.log(distribution.max())) / self.temperature
            weights = np.exp(logs)
        if self.top_k is not None or self.top_p is not None:
            weights = self._cut(weights)
        cumulative = weights.cumsum()
        id = int(cumulative.searchsorted(random.random() * cumulative[-1], side="right"))
        return min(id, int(np.flatnonzero(weights)[-1]))  # the product may have been rounded up to the whole sum

    def _cut(self, weights: Float64) -> Float64:
        """Return `weights` with zeros for the ids that are not to be drawn."""
        order = np.argsort(-weights, kind="stable")
        keep = order[: self.top_k]
        if self.top_p is not None:
            shares = weights[keep].cumsum()
            keep = keep[: int((shares < self.top_p * shares[-1]).sum()) + 1]
        kept = np.zeros_like(weights)
        kept[keep] = weights[keep]
        return kept
