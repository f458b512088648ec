"""The report of a search: a table of its trials, a sentence about the best, and a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from ...runtime.common.plotting import new_figure, to_png
from .space import Candidate
from .trial import SearchResult, Trial, best_trial

_COLOURS = {"lstm": "tab:blue", "gru": "tab:orange", "rnn": "tab:green"}
_HEADER = (
    "trial", "cell", "units", "layers", "learning rate", "parameters", "solved", "updates", "CPU-seconds",
    "carried accuracy", "nats",
)  # fmt: skip


def search_table(searched: SearchResult) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows, and a sentence about the best trial, which is marked with an asterisk."""
    rows = [
        [
            f"{trial.trial}{' *' if trial is searched.best else ''}",
            trial.cell,
            str(trial.units),
            str(trial.layers),
            f"{trial.learning_rate:g}",
            f"{trial.parameters:,}",
            "yes" if trial.solved else "diverged" if trial.stopped == "diverged" else "no",
            f"{trial.updates:,}",
            f"{trial.cpu_seconds:.1f}",
            f"{100 * trial.carried_accuracy:.2f} %" if math.isfinite(trial.carried_accuracy) else "",
            f"{trial.nats:.4f}" if math.isfinite(trial.nats) else "",
        ]
        for trial in searched.trials
    ]
    header = list(_HEADER)
    if of_values(searched.trials):
        header, rows = [*header[:6], *header[7:9], "loss"], [[*row[:6], *row[7:9], row[10]] for row in rows]
    if len({(trial.dropout, trial.embedding) for trial in searched.trials}) > 1:
        header[5:5] = ["dropout", "embedding"]
        for row, trial in zip(rows, searched.trials, strict=True):
            row[5:5] = [f"{trial.dropout:g}", str(trial.embedding)]
    return header, rows, _verdict(searched)


def _beside(trial: Trial) -> str:
    dropout = f", dropout {trial.dropout:g}" if trial.dropout else ""
    return dropout + (f", embedding {trial.embedding}" if trial.embedding else "")


def of_values(trials: Sequence[Trial]) -> bool:
    """Return whether networks of values were tried: they have a loss and no accuracy, and nothing is ever solved."""
    return any(math.isfinite(trial.nats) and math.isnan(trial.carried_accuracy) for trial in trials)


def _verdict(searched: SearchResult) -> str:
    best = searched.best
    if best is None:
        return "No trial has come to an end."
    shape = (
        f"{best.cell} of {best.units} units{f' in {best.layers} layers' if best.layers > 1 else ''}, learning rate "
        f"{best.learning_rate:g}{_beside(best)}, {best.parameters:,} parameters"
    )
    if of_values(searched.trials):
        return f"* The lowest loss on held-out rows: {shape}."
    if not best.solved:
        return f"* None solved it. The lowest nats on held-out streams: {shape}."
    return f"* The smallest that solved it: {shape}.{' No smaller one is left.' if searched.exhausted else ''}"


def describe_candidate(number: int, trials: int, candidate: Candidate) -> str:
    """Return a label of the present trial."""
    network = candidate.network
    layers = f" in {network.layers} layers" if network.layers > 1 else ""
    return f"trial {number} of {trials}: {network.cell} {network.units}{layers}, {candidate.learning_rate:g}"


def draw_search(trials: Sequence[Trial]) -> bytes | None:
    """Return a PNG of parameters against nats and accuracy, of values against the loss; None without matplotlib.

    A filled point has solved the problem; the best has a red ring.
    """
    figure = new_figure(8, 3.6)
    if figure is None:
        return None
    learned = [trial for trial in trials if math.isfinite(trial.nats)]
    best = best_trial(trials)
    nats = {trial.trial: trial.nats for trial in learned}
    accuracies = {trial.trial: 100 * trial.carried_accuracy for trial in learned}
    shown = [nats] if of_values(trials) else [nats, accuracies]
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, heights in zip(panels, shown, strict=True):
        for (cell, colour), solved in product(_COLOURS.items(), (True, False)):
            some = [trial for trial in learned if trial.cell == cell and trial.solved == solved]
            if some:
                axes.scatter(
                    [trial.parameters for trial in some],
                    [heights[trial.trial] for trial in some],
                    edgecolors=colour,
                    facecolors=colour if solved else "none",
                    label=f"{cell}, solved" if solved else cell,
                )
        if best is not None:
            place = [best.parameters], [heights[best.trial]]
            axes.scatter(*place, s=160, facecolors="none", edgecolors="tab:red", label="best")
        axes.set(xlabel="parameters", xscale="log")
        axes.grid(alpha=0.3)
    names = ["loss"] if of_values(trials) else ["nats per symbol", "carried accuracy (%)"]
    for axes, name in zip(panels, names, strict=True):
        axes.set(ylabel=name)
    if learned:
        panels[0].set_yscale("log")
        panels[0].legend(fontsize="small")
    return to_png(figure)
