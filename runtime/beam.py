"""Beam search, a method of `Stream`: the likeliest ways in which it may go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from .generation import check_generation, coming

if TYPE_CHECKING:
    from .stream import Stream


@dataclass(frozen=True)
class Continuation:
    """One way in which a stream may go on.

    Attributes:
        symbols: What comes.
        log_probability: Natural logarithm of the probability of all of them together, given everything before.
        stream: A fork of the stream that has been fed the prompt and `symbols`.
    """

    symbols: tuple[str, ...]
    log_probability: float
    stream: Stream


def beam(
    stream: Stream, count: int, width: int, *, prompt: Iterable[str] = (), stop: str | None = None
) -> list[Continuation]:
    """Return the likeliest ways to go on, the likeliest first. The stream itself does not move.

    Of all ways to add a symbol to the `width` likeliest beginnings the `width` likeliest are kept, `count` times. Go on
    with the one you choose: `stream = continuation.stream`.

    Args:
        stream: Where to start. It stays there.
        count: How many symbols, at most.
        width: How many continuations to follow, and at most to return; 1 is greedy.
        prompt: Symbols to feed first. A stream that has not been stepped since its reset needs some.
        stop: Symbol after which a continuation ends. It keeps its place among the others: few symbols are likelier
            than many.

    Raises:
        OptionError: Options make no sense, or there is no answer to go on from.
        TargetError: The model does not answer symbols with the next one.
        UnknownSymbolError: A symbol of `prompt` is not in the vocabulary.
        NotFiniteError: An answer is no distribution.
    """
    symbols = list(prompt)
    check_generation(stream, symbols, stop, {"count": (count, 0), "width": (width, 1)})
    start = stream.fork()
    start.absorb(symbols)
    found = [Continuation((), 0.0, start)]
    for _ in range(count):
        choices: list[tuple[float, Continuation, int | None]] = []  # log-probability, of what, which id follows
        for one in found:
            if stop is not None and one.symbols[-1:] == (stop,):
                choices.append((one.log_probability, one, None))
                continue
            with np.errstate(divide="ignore"):
                logarithms = np.log(coming(one.stream))
            likeliest = np.argsort(-logarithms, kind="stable")[:width].tolist()
            choices += [(one.log_probability + float(logarithms[i]), one, i) for i in likeliest if logarithms[i] > -inf]
        choices.sort(key=lambda choice: -choice[0])  # stable: of equals the earlier
        if all(id is None for _, _, id in choices):
            break
        found = [_followed(one, total, id) for total, one, id in choices[:width]]
    return found


def _followed(one: Continuation, log_probability: float, id: int | None) -> Continuation:
    """Return `one` with the symbol `id` after it; None: as it is."""
    if id is None:
        return one
    stream = one.stream.fork()
    symbol = stream.file.manifest.vocabulary.symbols[id]
    stream.step(symbol)
    return Continuation((*one.symbols, symbol), log_probability, stream)
