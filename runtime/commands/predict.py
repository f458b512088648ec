"""The command `stepcell predict`."""

from __future__ import annotations

import os
import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import Backend, Json, ModelFile


class Unknown(str, Enum):
    """What is done with a symbol that the model does not know."""

    stop = "stop"
    skip = "skip"


def predict(
    file: ModelFile,
    input: Annotated[
        Path | None, typer.Option("--input", help="File to read in place of stdin.", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="At the end of that file, wait for what is appended, as tail -F does.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", show_default=False,
            help="Go on where the last run with this file stopped, and save to it: at the end, on Ctrl-C and SIGTERM, "
            "and in between. With --input it holds the place in that file too.",
        ),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option("--save-every", min=1, help="Save after so many lines; by default 1,000.")
    ] = None,
    save_seconds: Annotated[
        float | None,
        typer.Option("--save-seconds", min=0, help="Or so long after the first unsaved line; by default 5."),
    ] = None,
    other_model: Annotated[
        bool,
        typer.Option("--other-model", help="Take the state from another file of the network, by its names and shapes."),
    ] = False,
    stream: Annotated[
        str | None,
        typer.Option("--stream", metavar="FIELD", help="Lines are JSON; keep a state for each value of this field."),
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option("--streams", min=1, help="Streams to keep, those seen last; by default 1,000."),
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option("--symbol", metavar="FIELD", help='Lines are JSON; this field is the symbol (or "symbol").'),
    ] = None,
    unknown: Annotated[
        Unknown, typer.Option("--unknown", help="At an unknown symbol: stop, or skip it and leave the state as it is.")
    ] = Unknown.stop,
    threshold: Annotated[
        Path | None,
        typer.Option("--threshold", help="Mark surprising symbols; see stepcell calibrate.", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the most likely symbols to print.")] = 1,
    backend: Backend = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    r"""Read symbols from stdin or a file, one per line, and answer each with what comes next.

    The state is carried from line to line. Newline, tab and backslash as symbols are written \n, \t and \\. For a model
    that reads features a line is a JSON object: {"symbol": "3", "speed": [0.1, 0.2]}.
    """
    from .. import load, read_threshold
    from ..console import quiet_stderr
    from ..feed.feed import Manner
    from ..feed.interruption import InterruptedFeedError
    from ..feed.predicting import Route, predict_lines

    route = Route(input, follow, state, other_model, save_every, save_seconds, streams)
    with quiet_stderr():
        model = load(file, backend=backend)
    manner = Manner(
        symbol, stream, unknown is Unknown.skip, top, as_json,
        None if threshold is None else read_threshold(threshold, model.file),
    )  # fmt: skip
    stdin = None if sys.stdin is None else sys.stdin.buffer
    try:
        predict_lines(
            model, manner, route, stdin, lambda text: print(text, flush=True), lambda text: typer.echo(text, err=True)
        )
    except InterruptedFeedError as interrupted:
        if interrupted.signal == signal.SIGINT:
            raise SystemExit(130) from None
        signal.signal(interrupted.signal, signal.SIG_DFL)  # whoever sent it sees that it was what ended us
        os.kill(os.getpid(), interrupted.signal)
    except KeyboardInterrupt:  # the second one; what was saved before still is
        raise SystemExit(130) from None
