"""The learning curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime.common.plotting import new_figure, to_png
from ..fitting.checkpoint import HistoryRow


def draw_curve(history: Sequence[HistoryRow]) -> bytes | None:
    """Return a PNG of loss and accuracy over updates, while learning and judged; None without matplotlib."""
    figure = new_figure(8, 3.6)
    if figure is None:
        return None
    left, right = figure.subplots(1, 2)
    updates = [row.update for row in history]
    judged = [row for row in history if row.evaluation is not None]
    left.plot(updates, [row.loss for row in history], color="tab:blue", label="while learning")
    left.plot([r.update for r in judged], [r.evaluation.nats for r in judged if r.evaluation], "o-", color="tab:orange",
              label="evaluation")  # fmt: skip
    left.set(xlabel="updates", ylabel="loss (nats per symbol)", ylim=(0, None))
    right.plot(updates, [100 * row.accuracy for row in history], color="tab:blue", label="while learning")
    right.plot([r.update for r in judged], [100 * r.evaluation.accuracy for r in judged if r.evaluation], "o-",
               color="tab:orange", label="evaluation")  # fmt: skip
    right.set(xlabel="updates", ylabel="accuracy (%)", ylim=(0, 102))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    return to_png(figure)
