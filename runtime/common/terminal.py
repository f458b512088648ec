"""How commands show things: tables on stdout, what is being done on stderr."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from threading import current_thread, main_thread


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> None:
    """Print a table to stdout, framed on a terminal and in plain columns elsewhere, and a note under it."""
    if sys.stdout is None:  # closed by whoever started us
        return
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=note or None, caption_justify="left")
        for name in header:
            table.add_column(name, overflow="fold")  # nothing is cut off where the terminal is narrow
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    for line in format_table(header, rows):
        print(line)
    if note:
        print(note)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in plain columns."""
    widths = [max(len(line[column]) for line in [header, *rows]) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [header, *rows]
    ]


def import_silently(package: str) -> None:
    """Import a package without its remarks about this machine's processor and graphics card."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silence_stderr():
        import_module(package)
    logging.getLogger(package).setLevel(logging.ERROR)


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """Give a function that shows what is being done: on a terminal, nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        yield status.update


@contextmanager
def silence_stderr() -> Iterator[None]:
    """Drop what C++ libraries write to stderr meanwhile. Exceptions pass, and with them what matters."""
    try:
        kept = os.dup(2)
    except OSError:  # closed by whoever started us
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
def defer_sigint() -> Iterator[None]:
    """Let Ctrl-C wait until what is done meanwhile is done; only the main thread can."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
