"""The command `stepcell generate`."""

from __future__ import annotations

import sys
from typing import Annotated

from .options import AsJson, Backend, ModelFile, Static, panel

sampling = panel("Sampling")


def generate(
    file: ModelFile,
    prompt: Annotated[str, sampling("Symbols to begin with.", "none", metavar="SYMBOLS")] = "",
    count: Annotated[int, sampling("Largest number of symbols to generate.", min=0)] = 100,
    temperature: Annotated[float, sampling(
        "Divisor of the logits: below 1 for more likely symbols, above 1 for more varied ones.")] = 1.0,
    top_k: Annotated[int | None, sampling("Draw among this number of most likely symbols.", "all", min=1)] = None,
    top_p: Annotated[float | None, sampling(
        "Draw among the fewest most likely symbols that have this probability together.", "all")] = None,
    greedy: Annotated[bool, sampling("Take the most likely symbol each time.", flag="--greedy")] = False,
    beam: Annotated[int | None, sampling(
        "Find the most likely continuations by beam search of this width.", "no beam search", min=1)] = None,
    stop: Annotated[str | None, sampling("Symbol after which the generation ends.", "none", metavar="SYMBOL")] = None,
    middle: Annotated[bool, sampling(
        "Begin in the middle of a sequence, without the end symbol.", flag="--middle")] = False,
    offer_unknown: Annotated[bool, sampling(
        "Generate the unknown symbol too, and the end symbol of a text.", flag="--offer-unknown")] = False,
    seed: Annotated[int | None, sampling("Random seed: equal seeds draw equal symbols.", "random", min=0)] = None,
    backend: Backend = None,
    static: Static = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    r"""Generate symbols from the predictions of a model, and print each as it is drawn.

    They are printed as text where the model was trained on text or all its symbols are single characters, otherwise
    with blanks between them (or on lines of their own if they contain blanks). The prompt is written in the same way;
    \n, \t and \\ stand for newline, tab and backslash. A model of whole sequences begins a new one,
    with the end symbol before the prompt.

    Example: stepcell generate model.tflite --prompt "The " --count 200 --temperature 0.8
    """
    from .. import OptionError, load
    from ..common.printable import printable
    from ..common.terminal import silence_stderr
    from ..streams.static import parse_static
    from ..tasks.text_output import SymbolFormatter, write_continuations, write_symbols

    drawing = {"--top-k": top_k, "--top-p": top_p, "--seed": seed}
    given = [name for name, value in drawing.items() if value is not None]
    given += ["--temperature"] if temperature != 1 else []
    if beam is not None and given:  # but --greedy agrees with it
        raise OptionError(f"--beam takes the likeliest and draws nothing: leave out {', '.join(given)}.")
    with silence_stderr():
        stream = load(file, backend=backend, static=parse_static(static)).stream()
    formatter = SymbolFormatter.of(stream.file.manifest)
    symbols, end = formatter.read(prompt), None if stop is None else formatter.read_symbol(stop)
    if beam is None:
        drawn = stream.generate(
            count, prompt=symbols, temperature=temperature, top_k=top_k, top_p=top_p, greedy=greedy, stop=end,
            seed=seed, begin=not middle, offer_unknown=offer_unknown,
        )  # fmt: skip
        pieces = write_symbols(formatter, symbols, drawn, as_json=as_json)
    else:
        found = stream.beam(count, beam, prompt=symbols, stop=end, begin=not middle, offer_unknown=offer_unknown)
        pieces = write_continuations(formatter, symbols, found, as_json=as_json)
    try:
        for piece in pieces:
            sys.stdout.write(printable(piece) if sys.stdout.isatty() else piece)  # a file gets the text as it is
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(flush=True)  # ends the line that was begun
        raise
