"""Generation, a method of `Stream`: it goes on by what it predicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from .distribution import Float64, next_symbol_probabilities, require_next_symbols
from .errors import OptionError

if TYPE_CHECKING:
    from .sampling import Sampling
    from .stream import Stream


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
) -> Iterator[str]:
    """Go on by what the stream predicts itself: an iterator over the symbols that come.

    The arguments are checked at the call, and nothing moves before the iterator does. Then the prompt is fed, and every
    symbol before it is given out. You may step the stream in between; it goes on from there.

    Args:
        stream: The stream to move.
        count: How many symbols, at most.
        prompt: Symbols to feed first. A stream that has not been stepped since its reset needs some.
        temperature: See `Sampling`, which draws from the answer; of a sigmoid output, from its share of the sum.
        top_k: See `Sampling`.
        top_p: See `Sampling`.
        greedy: See `Sampling`.
        stop: Symbol after which to end.
        seed: The same seed gives the same symbols, on one interpreter; None: others each time.

    Raises:
        OptionError: Options make no sense, or there is no answer to go on from. The stream has not moved.
        TargetError: The model does not answer symbols with the next one. The stream has not moved.
        UnknownSymbolError: A symbol of `prompt` is not in the vocabulary. The stream has not moved.
        NotFiniteError: While iterating: an answer is no distribution. The stream is after the last symbol given out.
    """
    from .sampling import Sampling

    sampling, symbols = Sampling(temperature, top_k, top_p, greedy), list(prompt)
    check_generation(stream, symbols, stop, {"count": (count, 0), **({} if seed is None else {"seed": (seed, 0)})})
    return _generated(stream, count, sampling, symbols, stop, np.random.default_rng(seed))


def _generated(
    stream: Stream, count: int, sampling: Sampling, prompt: list[str], stop: str | None, random: np.random.Generator
) -> Iterator[str]:
    stream.absorb(prompt)
    vocabulary = stream.file.manifest.vocabulary.symbols
    for _ in range(count):
        symbol = vocabulary[sampling.draw(coming(stream), random)]
        stream.step(symbol)
        yield symbol
        if symbol == stop:
            return


def coming(stream: Stream) -> Float64:
    """Return the distribution of the symbol that comes next in `stream`, which has an answer; float64 of shape (K,)."""
    prediction = stream.prediction
    if prediction is None:  # it was reset since `check_generation`
        raise OptionError(f"The stream of {stream.file.name} has no answer to go on from any more: step it first.")
    return next_symbol_probabilities(prediction.probabilities, stream.file.manifest.output, stream.file.name)


def check_generation(stream: Stream, prompt: list[str], stop: str | None, least: dict[str, tuple[int, int]]) -> None:
    """Refuse a generation that cannot be made, before anything moves.

    Args:
        stream: The stream to go on with.
        prompt: Symbols to feed first.
        stop: Symbol after which to end.
        least: Name of a number -> what it is, and what it must be at least.

    Raises:
        TargetError, UnknownSymbolError, OptionError: As `generate` does.
    """
    file = stream.file
    require_next_symbols(file, "nothing can be fed back")
    problems = [
        f"{name} is {number}, it must be a whole number and at least {wanted}"
        for name, (number, wanted) in least.items()
        if not (isinstance(number, Integral) and number >= wanted)
    ]
    if stop is not None and stop not in file.manifest.vocabulary:
        problems.append(f"the stop symbol {stop!r} is not in the vocabulary ({file.manifest.vocabulary.describe()})")
    if not prompt and stream.prediction is None:
        problems.append("the stream has no answer to go on from: give it a prompt of one symbol or more")
    if problems:
        raise OptionError(f"{file.name} cannot go on like that: {'; '.join(problems)}. The stream has not moved.")
    stream.ids_of(prompt)
