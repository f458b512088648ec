"""Training as people see it: a bar while it runs, a table at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from .score import Score
from .training_state import Row

_MEANINGS = {
    "carried": "state carried from symbol to symbol, never reset",
    "per_sequence": "state reset before each sequence",
    "twice_the_lag": "state reset before each sequence, twice the lag of training",
    "reset": "state reset before each symbol: no memory",
}
_WORTH_A_WARNING = 0.01  # of accuracy


def score_table(scores: Mapping[str, Score]) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows, and a warning where the state must not be carried as far as a device might."""
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
    warning = ""
    if "per_sequence" in scores and scores["carried"].accuracy < scores["per_sequence"].accuracy - _WORTH_A_WARNING:
        warning = (
            f"Reset the state before each sequence: carried on from one into the next, the accuracy falls from "
            f"{100 * scores['per_sequence'].accuracy:.1f} to {100 * scores['carried'].accuracy:.1f} %."
        )
    return header, rows, warning


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
            if row.judged:
                judged = f", evaluation {100 * row.judged.accuracy:.1f} % {row.judged.nats:.3f} nats"
            text = f"update {row.update}, loss {row.loss:.3f}, accuracy {100 * row.accuracy:.1f} %{judged}"
            progress.update(task, completed=row.used, description=text)

        yield observe
