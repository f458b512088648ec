"""The terminal: tables on stdout, progress on stderr, silence around noisy libraries, and Ctrl-C.

rich draws on a terminal; where it is not installed, or stdout is no terminal, output is plain text.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import current_thread, main_thread
from typing import Any, TextIO


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Print a table to stdout, framed on a terminal and in plain columns elsewhere, and a note under it."""
    console = _console(sys.stdout)
    if console is not None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=note or None, caption_justify="left")
        for name in header:
            table.add_column(name, overflow="fold")  # nothing is cut off on a narrow terminal
        for row in rows:
            table.add_row(*row)
        console.print(table)
    elif sys.stdout is not None:
        print("\n".join([*format_table(header, rows), *([note] if note else [])]))


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in plain columns."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the work in progress: on a terminal; elsewhere it does nothing."""
    console = _console(sys.stderr)
    if console is None:
        yield lambda _: None
        return
    with console.status("starting") as shown:
        yield shown.update


def import_silently(package: str) -> None:
    """Import a package without its remarks about the processor and the graphics card of this machine."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence_stderr():
        import_module(package)
    logging.getLogger(package).setLevel(logging.ERROR)


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Drop what C++ libraries write to stderr during the block. Exceptions pass."""
    try:
        kept = os.dup(2)
    except OSError:  # this process was started without a stderr
        yield
        return
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
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
