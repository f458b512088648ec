"""Pictures of an evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..figure import new_figure, to_png
from .evaluation import Evaluation
from .tables import visible

_MOST_CONFUSED = 20  # symbols in the picture of mistakes


def draw(evaluation: Evaluation) -> list[tuple[str, bytes]]:
    """Return names and PNGs: bits beside the yardsticks, by position, calibration, mistakes; [] without matplotlib."""
    first, second = new_figure(12, 4), new_figure(12, 5)
    if first is None or second is None:
        return []
    bars, curve = first.subplots(1, 2)
    _draw_bits(bars, evaluation)
    _draw_positions(curve, evaluation)
    reliability, mistakes = second.subplots(1, 2)
    _draw_reliability(reliability, evaluation)
    _draw_mistakes(second, mistakes, evaluation)
    return [("bits per symbol, and by position", to_png(first)), ("calibration and mistakes", to_png(second))]


def _draw_bits(axes: Any, evaluation: Evaluation) -> None:
    named = [(name, judged.bits, "tab:blue") for name, judged in evaluation.passes.items()]
    named += [(one.name, one.judgement.bits, "tab:gray") for one in evaluation.baselines if one.has_probabilities]
    names, bits, colours = zip(*reversed(named), strict=True)
    axes.barh(range(len(names)), bits, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="bits per symbol: less is better")
    axes.grid(axis="x", alpha=0.3)


def _draw_positions(axes: Any, evaluation: Evaluation) -> None:
    for name, judged, colour in (
        ("network", evaluation.main, "tab:blue"),
        (evaluation.best_baseline.name, evaluation.best_baseline.judgement, "tab:gray"),
    ):
        rows = judged.by_position()
        axes.plot(
            [row["from"] for row in rows], [row["bits_per_symbol"] for row in rows], "o-", color=colour, label=name
        )
    axes.set(xscale="log", xlabel="position in the sequence", ylabel="bits per symbol")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_reliability(axes: Any, evaluation: Evaluation) -> None:
    rows = evaluation.main.reliability()
    axes.plot([0, 1], [0, 1], color="lightgray")
    axes.plot([row["confidence"] for row in rows], [row["accuracy"] for row in rows], "o-", color="tab:blue")
    axes.set(
        xlabel="how likely the likeliest symbol was said to be", ylabel="how often it came", xlim=(0, 1), ylim=(0, 1)
    )
    axes.grid(alpha=0.3)


def _draw_mistakes(figure: Any, axes: Any, evaluation: Evaluation) -> None:
    judged, size = evaluation.main, len(evaluation.symbols)
    chosen = np.argsort(-np.bincount(judged.targets, minlength=size), kind="stable")[:_MOST_CONFUSED]
    place = np.full(size, -1)
    place[chosen] = np.arange(len(chosen))
    came, named = place[judged.targets], place[judged.named]
    shown = (came >= 0) & (named >= 0)
    table = np.zeros((len(chosen), len(chosen)))
    np.add.at(table, (came[shown], named[shown]), 1)
    image = axes.imshow(table / np.maximum(table.sum(1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    names = [visible(evaluation.symbols[id]) for id in chosen.tolist()]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set(xlabel="this was the likeliest", ylabel="this came")
    figure.colorbar(image, ax=axes)
