"""The terminal: tables on stdout, progress on stderr, silence around noisy libraries, and Ctrl-C.

rich draws on a terminal; where it is not installed, or stdout is no terminal, output is plain text.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import current_thread, main_thread
from typing import IO, Any, TextIO

from .printable import printable


def print_text(text: str, *, err: bool = False) -> None:
    """Print text to stdout, or to stderr, with the control characters in it as escapes."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:  # this process was started with it
        print(printable(text), file=stream, flush=True)  # in its place between lines of the other stream


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Print a table to stdout, framed on a terminal and in plain columns elsewhere, and a note under it.

    Cells are text: nothing in them is markup, and control characters are written as escapes.
    """
    console = _console(sys.stdout)
    if console is not None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        caption = Text(printable(note)) if note else None  # not a string, which rich would read as markup
        table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
        for name in header:
            table.add_column(Text(printable(name, one_line=True)), overflow="fold")  # nothing is cut off
        for row in rows:
            table.add_row(*(Text(printable(cell, one_line=True)) for cell in row))
        console.print(table)
    elif sys.stdout is not None:
        print("\n".join([*format_table(header, rows), *([printable(note)] if note else [])]))


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in plain columns."""
    lines = [[printable(cell, one_line=True) for cell in line] for line in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the work in progress: on a terminal; elsewhere it does nothing."""
    console = _console(sys.stderr)
    if console is None:
        yield lambda _: None
        return
    from rich.text import Text

    with console.status("starting") as shown:
        yield lambda text: shown.update(Text(printable(text, one_line=True)))


def import_silently(package: str) -> None:
    """Import a package without its remarks about the processor and the graphics card of this machine."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence_stderr():
        import_module(package)
    logging.getLogger(package).setLevel(logging.ERROR)


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Drop what C++ libraries write to stderr during the block. Exceptions pass."""
    with open(os.devnull, "wb") as nowhere, _stderr_into(nowhere):
        yield


@contextmanager
def capture_stderr() -> Iterator[Callable[[], list[str]]]:
    """Yield a function that returns the lines that C++ libraries have written to stderr. Exceptions pass."""
    with tempfile.TemporaryFile() as file:

        def lines() -> list[str]:
            file.seek(0)
            return file.read().decode(errors="replace").splitlines()

        with _stderr_into(file):
            yield lines


@contextmanager
def _stderr_into(file: IO[bytes]) -> Iterator[None]:
    """Let file descriptor 2 be that of `file` until the block ends."""
    try:
        kept = os.dup(2)
    except OSError:  # this process was started without a stderr
        yield
        return
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def ignore_sigint() -> Iterator[None]:
    """Ignore Ctrl-C until the block ends (in the main thread only)."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _console(stream: TextIO | None) -> Any | None:
    """Return the console of rich for a stream that is a terminal; None for other streams, or without rich."""
    if stream is None or not stream.isatty():  # None: this process was started without it
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(file=stream)
