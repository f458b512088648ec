"""The command `stepcell predict`."""

from __future__ import annotations

import os
import signal
import stat
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from .options import AsJson, Backend, ModelFile, Static, data, output, panel

saving = panel("State")


def predict(
    file: ModelFile,
    input: Annotated[Path | None, data("File to read.", "stdin")] = None,
    follow: Annotated[bool, data(
        "At the end of --input wait for further lines, also after a rotation.", flag="--follow")] = False,
    key: Annotated[str | None, data(
        "Field of JSON lines that names the stream; each stream has its own state.", "one", metavar="FIELD")] = None,
    symbol_field: Annotated[str | None, data(
        "Field of JSON lines that holds the symbol.", "symbol", metavar="FIELD")] = None,
    format: Annotated[Literal["csv", "jsonl", "f32", "wav"] | None, data(
        "Rows of a table with the columns of the training (csv, jsonl): gaps are computed, columns joined, other "
        "fields passed through to the answer; or chunks of samples, raw float32 (f32) or 16-bit WAV (wav).",
        "a symbol on each line")] = None,
    rate: Annotated[int | None, data(
        "Samples per second that --format wav must have.", "that of the model", min=1)] = None,
    overlap: Annotated[int, data(
        "Samples of the chunk before that begin each chunk of f32 or wav.", min=0)] = 0,
    unknown: Annotated[Literal["stop", "skip", "use"] | None, data(
        "At a symbol that the model does not know, stop, skip it without a step, or use the unknown symbol of the "
        "vocabulary.", "use where there is an unknown symbol, else stop")] = None,
    bad_lines: Annotated[Literal["stop", "skip"], data("At a line that cannot be read, stop or skip it.")] = "stop",
    reset_on: Annotated[str | None, data(
        "Symbol after which the state is reset: the next line begins a new sequence.", "none",
        metavar="SYMBOL")] = None,
    middle: Annotated[bool, data(
        "Begin in the middle of a sequence, without the end symbol.", flag="--middle")] = False,
    state: Annotated[Path | None, saving(
        "File of the state: continue from it; save to it at the end, on Ctrl-C, on SIGTERM and in between. With "
        "--input it holds the position in that file too.", "not saved")] = None,
    save_every: Annotated[int | None, saving("Lines after which --state is saved.", "1,000", min=1)] = None,
    save_interval: Annotated[float | None, saving(
        "Seconds from the first unsaved line until --state is saved.", "5", min=0)] = None,
    max_streams: Annotated[int | None, saving(
        "Streams to keep with --key; the least recently used are dropped.", "1,000", min=1)] = None,
    ignore_fingerprint: Annotated[bool, saving(
        "Accept the --state of another file of the same network.", flag="--ignore-fingerprint")] = False,
    backend: Backend = None,
    static: Static = None,
    threshold: Annotated[Path | None, output(
        "Mark surprising symbols by this file of stepcell calibrate; of a model of values, rows whose value is far "
        "from the answer.", "no marks")] = None,
    alert_below: Annotated[float | None, output(
        "Mark symbols that come with a probability below this: no file of stepcell calibrate is needed.", "no marks",
        metavar="P")] = None,
    top: Annotated[int, output("Number of most likely symbols to print.", min=1)] = 1,
    offer_unknown: Annotated[bool, output(
        "Name the unknown symbol, and the end symbol of a text, among them.", flag="--offer-unknown")] = False,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    r"""Predict the next symbol after each symbol read from stdin or a file, one per line.

    The state is carried from line to line. In symbols, \n, \t and \\ stand for newline, tab and backslash. For a model
    that reads features a line is a JSON object: {"symbol": "3", "speed": [0.1, 0.2]}. Where the model has no answer at
    a step the line of the answer is empty, in JSON null.

    Example: tail -f events.log | stepcell predict model.tflite --state machine.state
    """
    from .. import load, read_threshold
    from ..common.terminal import print_text, silence_stderr
    from ..serve.loop import IOOptions, predict_lines
    from ..serve.session import LineOptions
    from ..serve.signals import InterruptedSessionError
    from ..streams.static import parse_static
    from ..tasks.residuals import read_residual_threshold

    io = IOOptions(input, follow, state, ignore_fingerprint, save_every, save_interval, max_streams)
    with silence_stderr():
        model = load(file, backend=backend, static=parse_static(static))
    read = read_threshold if model.manifest.labels is None else read_residual_threshold  # of labels or values
    marks = None if threshold is None else read(threshold, model.file)
    options = LineOptions(
        symbol_field, key, unknown, bad_lines, format, reset_on, middle, top, offer_unknown, as_json, marks,
        rate, overlap, alert_below,
    )  # fmt: skip
    stdin = None if sys.stdin is None else sys.stdin.buffer

    try:
        predict_lines(model, options, io, stdin, print_answer, partial(print_text, err=True), sync=sync_stdout)
    except InterruptedSessionError as interrupted:
        if interrupted.signal == signal.SIGINT:
            raise KeyboardInterrupt from None
        signal.signal(interrupted.signal, signal.SIG_DFL)  # so that the exit status names the signal
        os.kill(os.getpid(), interrupted.signal)


def print_answer(text: str) -> None:
    """Print an answer in one write, so that a kill leaves a whole line or none, and flush it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def sync_stdout() -> None:
    """Make the answers durable, if stdout is a file."""
    try:
        descriptor = sys.stdout.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)
    except (OSError, ValueError):  # there is no such file: a test captures the answers
        pass
