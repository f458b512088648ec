"""The command `stepcell generate`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Backend, Json, ModelFile

if TYPE_CHECKING:
    from ..notation import Notation
    from ..stream import Stream


def generate(
    file: ModelFile,
    prompt: Annotated[
        str,
        typer.Option("--prompt", metavar="SYMBOLS", help="Symbols to begin with.", show_default=False),
    ] = "",
    count: Annotated[int, typer.Option("--count", min=0, help="How many symbols, at most.")] = 100,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Below 1 the likely become likelier, above 1 less so.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Draw among so many of the likeliest.")] = None,
    top_p: Annotated[
        float | None,
        typer.Option("--top-p", help="Draw among the fewest of the likeliest that have this probability together."),
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Take the likeliest symbol each time.")] = False,
    beam: Annotated[
        int | None,
        typer.Option("--beam", min=1, metavar="WIDTH", help="Find the likeliest continuations, so many at a time."),
    ] = None,
    stop: Annotated[
        str | None, typer.Option("--stop", metavar="SYMBOL", help="End after this symbol.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed draws the same symbols; by default others each time.")
    ] = None,
    backend: Backend = None,
    as_json: Json = False,
) -> None:
    r"""Let a model go on by what it predicts itself, and print the symbols as they come.

    They are printed as the text they are, where the model was trained on text or all its symbols are characters; else
    with blanks between them (or on lines of their own, if they have blanks within). The prompt is written in the same
    way; \n, \t and \\ stand for newline, tab and backslash. Without one, a model of whole sequences begins one.
    """
    from .. import OptionError, load
    from ..console import quiet_stderr
    from ..notation import Notation
    from ..vocabulary import unescape_symbol

    drawing = {"--top-k": top_k, "--top-p": top_p, "--seed": seed}
    given = [name for name, value in drawing.items() if value is not None]
    given += ["--temperature"] if temperature != 1 else []
    if beam is not None and given:  # greedy is what it is anyway
        raise OptionError(f"--beam takes the likeliest and draws nothing: leave out {', '.join(given)}.")
    with quiet_stderr():
        model = load(file, backend=backend)
    notation = Notation.of(model.manifest)
    symbols = notation.read(prompt) or ([notation.end] if notation.end is not None else [])
    last = None if stop is None else stop if stop in model.vocabulary else unescape_symbol(stop)
    stream = model.stream()
    if beam is not None:
        _print_beam(stream, notation, count, beam, symbols, last, as_json=as_json)
        return
    coming = stream.generate(
        count, prompt=symbols, temperature=temperature, top_k=top_k, top_p=top_p, greedy=greedy, stop=last, seed=seed
    )
    if as_json:
        print(json.dumps({"prompt": symbols, "symbols": list(coming)}, ensure_ascii=False))
        return
    try:
        for piece in notation.write(coming):
            sys.stdout.write(piece)
            sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        print(flush=True)


def _print_beam(
    stream: Stream, notation: Notation, count: int, width: int, prompt: list[str], stop: str | None, *, as_json: bool
) -> None:
    from ..vocabulary import escape_symbol

    found = stream.beam(count, width, prompt=prompt, stop=stop)
    if as_json:
        ways = [{"symbols": one.symbols, "log_probability": round(one.log_probability, 6)} for one in found]
        print(json.dumps({"prompt": prompt, "continuations": ways}, ensure_ascii=False))
        return
    for one in found:
        print(f"{one.log_probability:.3f}\t{escape_symbol(''.join(notation.write(one.symbols)))}")
