"""Training on a terminal: a bar while it runs, a table at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..fitting.checkpoint import HistoryRow

if TYPE_CHECKING:
    from ..fitting.fit import FitResult

_MEANINGS = {
    "carried": "state carried from symbol to symbol, never reset",
    "per_sequence": "state reset before each sequence",
    "from_each": "from each letter on and on, as if given its own answers",
    "twice_the_lag": "state reset before each sequence, twice the lag of training",
    "windowed": "only the last symbols in view, as many as were learned at once",
    "reset": "state reset before each symbol: no memory",
    "at_end": "state reset before each sequence, at its end",
}
_WORTH_A_WARNING = 0.01  # of accuracy, and more than two standard errors


def score_table(fitted: FitResult, learned_steps: int) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows, and a warning where the state must not be carried as far as a device might.

    Args:
        fitted: The result of training.
        learned_steps: Longest chunk that gradients went through.
    """
    header = ["one symbol at a time", "accuracy", "nats", "bits", "stream length"]
    rows = [
        [
            _MEANINGS[name],
            f"{100 * score.accuracy:.2f} %",
            f"{score.nats:.4f}",
            f"{score.to_json()['bits_per_symbol']:.4f}",
            f"{score.steps:,}",
        ]
        for name, score in fitted.scores.items()
    ]
    return header, rows, "\n".join(_warnings(fitted, learned_steps))


def _warnings(fitted: FitResult, learned_steps: int) -> list[str]:
    if fitted.stopped == "diverged":
        return [
            f"After update {fitted.history[-1].update:,} the loss was no longer a finite number. Kept are the weights "
            "that were best before. Lower --learning-rate."
        ]
    if fitted.carried is None:
        return ["Evaluation was cut short."]
    carried, sequence = fitted.scores["carried"], fitted.scores.get("per_sequence")
    if sequence is not None:
        chance = sum(one.accuracy * (1 - one.accuracy) / max(one.answers, 1) for one in (carried, sequence)) ** 0.5
        if sequence.accuracy - carried.accuracy > max(_WORTH_A_WARNING, 2 * chance):
            return [
                f"Reset the state before each sequence: carried on from one into the next, the accuracy falls from "
                f"{100 * sequence.accuracy:.1f} to {100 * carried.accuracy:.1f} %."
            ]
    windowed = fitted.scores.get("windowed")
    if windowed is None or windowed.carried_accuracy is None:
        return []
    if windowed.accuracy - windowed.carried_accuracy > max(_WORTH_A_WARNING, 2 * windowed.standard_error):
        return [
            f"The state does not last: {100 * windowed.accuracy:.1f} % of {windowed.answers:,} answers are right with "
            f"only the last {learned_steps} symbols in view, as many as were learned at once, and "
            f"{100 * windowed.carried_accuracy:.1f} % of the same with the state carried over {carried.steps:,}. Reset "
            "it on the device, or train with longer chunks."
        ]
    return []


@contextmanager
def training_progress(label: str = "training") -> Iterator[Callable[[HistoryRow], None]]:
    """Give an observer for `fit` that moves a bar on a terminal and does nothing elsewhere.

    Args:
        label: Text before the bar.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    text = TextColumn("{task.description}", markup=False)
    columns = (TextColumn(escape(label)), BarColumn(), text, TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("compiling", total=1.0)
        judged = ""

        def observe(row: HistoryRow) -> None:
            nonlocal judged
            if row.evaluation:
                judged = f", evaluation {100 * row.evaluation.accuracy:.1f} % {row.evaluation.nats:.3f} nats"
            stage = f"stage {row.stage + 1}, " if row.stage else ""
            text = f"update {row.update}, {stage}loss {row.loss:.3f}, accuracy {100 * row.accuracy:.1f} %{judged}"
            progress.update(task, completed=row.used, description=text)

        yield observe
