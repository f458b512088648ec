"""Training as people see it: a bar while it runs, a table at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from .score import Score
from .training_state import Row

_MEANINGS = {
    "carried": "state carried from symbol to symbol, never reset",
    "per_sequence": "state reset before each sequence",
    "reset": "state reset before each symbol: no memory",
}


def score_table(scores: Mapping[str, Score]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows."""
    header = ["one symbol at a time", "accuracy", "nats", "bits", "steps"]
    rows = [
        [
            _MEANINGS[name],
            f"{100 * score.accuracy:.2f} %",
            f"{score.nats:.4f}",
            f"{score.to_json()['bits_per_symbol']:.4f}",
            f"{score.steps:,}",
        ]
        for name, score in scores.items()
    ]
    return header, rows


@contextmanager
def training_progress() -> Iterator[Callable[[Row], None]]:
    """Give an observer for `fit` that moves a bar on a terminal and does nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("compiling", total=1.0)
        judged = ""

        def observe(row: Row) -> None:
            nonlocal judged
            if row.carried:
                judged = f", carried {100 * row.carried.accuracy:.1f} % {row.carried.nats:.3f} nats"
            text = f"update {row.update}, loss {row.loss:.3f}, accuracy {100 * row.accuracy:.1f} %{judged}"
            progress.update(task, completed=row.used, description=text)

        yield observe
