"""What a model goes on with, as text or JSON, piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import OptionError
from .notation import Notation

if TYPE_CHECKING:
    from .stream import Stream


@dataclass(frozen=True)
class Choice:
    """How to go on.

    Attributes:
        count: How many symbols, at most.
        prompt: Symbols to feed first, in the notation of the model.
        stop: Symbol after which to end, likewise.
        temperature, top_k, top_p, greedy, seed: See `Stream.generate`.
        beam: How many continuations to follow at a time; None: one is drawn.

    Raises:
        OptionError: They do not go together; all of them are named.
    """

    count: int
    prompt: str = ""
    stop: str | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    greedy: bool = False
    beam: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        """Check them."""
        drawing = {"--top-k": self.top_k, "--top-p": self.top_p, "--seed": self.seed}
        given = [name for name, value in drawing.items() if value is not None]
        given += ["--temperature"] if self.temperature != 1 else []
        if self.beam is not None and given:  # greedy is what it is anyway
            raise OptionError(f"--beam takes the likeliest and draws nothing: leave out {', '.join(given)}.")

    def read(self, notation: Notation) -> tuple[list[str], str | None]:
        """Return the prompt as symbols, and the symbol to stop at.

        Raises:
            UnknownSymbolError: One of them is none.
        """
        return notation.read_prompt(self.prompt), None if self.stop is None else notation.read_symbol(self.stop)


def write_symbols(stream: Stream, choice: Choice, *, as_json: bool) -> Iterator[str]:
    """Draw symbols and return them as they come, and a newline after the last; JSON in one piece.

    Raises:
        OptionError, TargetError, UnknownSymbolError, NotFiniteError: As `Stream.generate` does.
    """
    notation = Notation.of(stream.file.manifest)
    prompt, stop = choice.read(notation)
    coming = stream.generate(
        choice.count, prompt=prompt, temperature=choice.temperature, top_k=choice.top_k, top_p=choice.top_p,
        greedy=choice.greedy, stop=stop, seed=choice.seed,
    )  # fmt: skip
    if as_json:
        yield json.dumps({"prompt": prompt, "symbols": list(coming)}, ensure_ascii=False)
    else:
        try:
            yield from notation.write(coming)
        except Exception:  # what is said of it does not belong into the line of the symbols
            yield "\n"
            raise
    yield "\n"


def write_continuations(stream: Stream, choice: Choice, *, as_json: bool) -> Iterator[str]:
    """Find the likeliest continuations and return a line for each; JSON in one.

    Raises:
        OptionError, TargetError, UnknownSymbolError, NotFiniteError: As `Stream.beam` does.
    """
    notation = Notation.of(stream.file.manifest)
    prompt, stop = choice.read(notation)
    assert choice.beam is not None, "else one is drawn"
    found = stream.beam(choice.count, choice.beam, prompt=prompt, stop=stop)
    if as_json:
        ways = [{"symbols": way.symbols, "log_probability": round(way.log_probability, 6)} for way in found]
        yield json.dumps({"prompt": prompt, "continuations": ways}, ensure_ascii=False) + "\n"
        return
    for way in found:
        yield f"{way.log_probability:.3f}\t{notation.line(way.symbols)}\n"
