"""The command `stepcell generate`."""

from __future__ import annotations

import sys
from typing import Annotated

from .options import AsJson, Backend, ModelFile, panel

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
    seed: Annotated[int | None, sampling("Random seed: equal seeds draw equal symbols.", "random", min=0)] = None,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    r"""Generate symbols from the predictions of a model, and print each as it is drawn.

    They are printed as text where the model was trained on text or all its symbols are single characters, otherwise
    with blanks between them (or on lines of their own if they contain blanks). The prompt is written in the same way;
    \n, \t and \\ stand for newline, tab and backslash. Without a prompt, a model of whole sequences begins a new one.

    Example: stepcell generate model.tflite --prompt "The " --count 200 --temperature 0.8
    """
    from .. import load
    from ..common.terminal import silence_stderr
    from ..tasks.text_output import GenerationOptions, write_continuations, write_symbols

    options = GenerationOptions(count, prompt, stop, temperature, top_k, top_p, greedy, beam, seed)
    with silence_stderr():
        stream = load(file, backend=backend).stream()
    write = write_symbols if beam is None else write_continuations
    try:
        for piece in write(stream, options, as_json=as_json):
            sys.stdout.write(piece)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(flush=True)  # ends the line that was begun
        raise
