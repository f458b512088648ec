"""The trials of a search as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from ..runtime.figure import new_figure, to_png
from .search_trial import Trial, best_trial

_COLOURS = {"lstm": "tab:blue", "gru": "tab:orange", "rnn": "tab:green"}


def draw_search(trials: Sequence[Trial]) -> bytes | None:
    """Return a PNG of parameters against nats and accuracy; None without matplotlib.

    What is filled has solved the problem; the best has a red ring.
    """
    figure = new_figure(8, 3.6)
    if figure is None:
        return None
    left, right = figure.subplots(1, 2)
    learned = [trial for trial in trials if math.isfinite(trial.nats)]
    best = best_trial(trials)
    nats = {trial.trial: trial.nats for trial in learned}
    accuracies = {trial.trial: 100 * trial.carried_accuracy for trial in learned}
    for axes, heights in ((left, nats), (right, accuracies)):
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
    left.set(ylabel="nats per symbol")
    right.set(ylabel="carried accuracy (%)")
    if learned:
        left.set_yscale("log")
        left.legend(fontsize="small")
    return to_png(figure)
