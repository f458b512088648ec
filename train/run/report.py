"""Training on a terminal: a bar while it runs, a table at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..fitting.checkpoint import HistoryRow
from ..problems.problem import Score
from ..problems.value_score import ValueScore
from .advice import Seen

if TYPE_CHECKING:
    from ..fitting.fit import FitResult
    from ..fitting.start import Transfer

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
_WORTH_A_SHARE = 0.05  # of the loss of values, and the same


def score_table(fitted: FitResult, learned_steps: int) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows, and a warning where the state must not be carried as far as a device might.

    Args:
        fitted: The result of training.
        learned_steps: Longest chunk that gradients went through.
    """
    if fitted.network.values is not None:
        return *value_table(fitted), "\n".join(_warnings(fitted, learned_steps))
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


def kept_line(seen: Seen) -> str:
    """Return which update was kept, and how far training part and held-out part are apart."""
    return (
        f"kept update {seen.kept:,} of {seen.updates:,}: {seen.show(seen.held_out)} on the held-out part; "
        f"training part {seen.show(seen.learned).removesuffix(' bits')}"
    )


def value_table(fitted: FitResult) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the errors of values, beside those of the baselines."""
    assert fitted.network.values is not None
    names = fitted.network.values.names
    header = ["one row at a time"]
    header += [
        f"{measure} of {name}" for name in names for measure in ("mean absolute error", "root mean squared error")
    ]
    shown = {_MEANINGS[name].replace("symbol", "row"): score for name, score in fitted.scores.items()}
    rows = []
    for name, score in {**shown, **fitted.baselines}.items():
        pairs = zip(score.absolute, score.squared, strict=True)
        rows.append([name, *(f"{number:.5g}" for a, s in pairs for number in (a, s**0.5)), f"{score.answers:,}"])
    return [*header, "answers"], rows


def transfer_table(transfer: Transfer, base: Path) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows and notes: what a training from an earlier network has gained and forgotten.

    Args:
        transfer: The scores before and after.
        base: Folder of the earlier run.
    """
    of_values = isinstance(transfer.new_before, ValueScore)
    unit = "loss" if of_values else "bits per symbol"
    start = transfer.start

    def row(name: str, before: Any, after: Any) -> list[str]:
        if before is None or after is None:
            return [name, "", "", "", ""]
        first, second = ((each.loss if of_values else each.nats / log(2)) for each in (before, after))
        return [name, f"{first:.4f}", f"{second:.4f}", f"{second - first:+.4f}", f"{before.answers:,}"]

    new, earlier = "held out now", f"held out from {base}"
    rows = [
        row(new, transfer.new_before, transfer.new_after),
        row(earlier, transfer.earlier_before, transfer.earlier_after),
    ]
    notes = [f"{new}: {start.learned} by {base}"] if start.learned else []
    notes += [f"{earlier}: {start.note}"] if start.note else []
    return [unit, "before", "after", "change", "answers"], rows, "\n".join(notes)


def _warnings(fitted: FitResult, learned_steps: int) -> list[str]:
    if fitted.stopped == "diverged":
        return [
            f"After update {fitted.history[-1].update:,} the loss was no longer a finite number. Kept are the weights "
            "that were best before. Lower --learning-rate."
        ]
    if fitted.carried is None:
        return ["Evaluation was cut short."]
    if fitted.network.values is not None:
        return _value_warnings(fitted, learned_steps)
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


def _value_warnings(fitted: FitResult, learned_steps: int) -> list[str]:
    """Return warnings where a baseline is better, or the state must not be carried."""
    found = []
    own = fitted.scores.get("per_sequence", fitted.scores["carried"])
    better = [name for name, score in fitted.baselines.items() if score.loss < own.loss]
    if better:
        found.append(f"No better than {' and '.join(better)}: nothing was learned that is of use on the held-out rows.")
    windowed = fitted.scores.get("windowed")
    if windowed is not None and windowed.carried_loss is not None:
        excess = windowed.carried_loss - windowed.loss
        if excess > max(_WORTH_A_SHARE * windowed.loss, 2 * windowed.standard_error):
            found.append(
                f"The state does not last: the loss of {windowed.answers:,} answers is {windowed.loss:.4g} with only "
                f"the last {learned_steps} rows in view, as many as were learned at once, and "
                f"{windowed.carried_loss:.4g} for the same with the state carried. Reset it on the device, or train "
                "with longer chunks."
            )
    return found


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
        judged, of_values = "", False

        def observe(row: HistoryRow) -> None:
            nonlocal judged, of_values
            score, learned = row.evaluation, f", accuracy {100 * row.accuracy:.1f} %"
            if isinstance(score, Score):
                judged = f", evaluation {100 * score.accuracy:.1f} % {score.nats:.3f} nats"
            elif score is not None:
                of_values = True
                judged = f", evaluation: mean absolute error {', '.join(f'{error:.4g}' for error in score.absolute)}"
            stage = f"stage {row.stage + 1}, " if row.stage else ""
            text = f"update {row.update}, {stage}loss {row.loss:.3f}{'' if of_values else learned}{judged}"
            progress.update(task, completed=row.used, description=text)

        yield observe
