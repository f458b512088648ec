"""Parity as a picture: the error at every step, to see at a glance whether it grows."""

from __future__ import annotations

from collections.abc import Sequence

from ..runtime.errors import MissingPackageError
from ..runtime.figure import new_figure, to_png
from .parity import EACH, Parity
from .precision import GATES

_COLOURS = {"initial": "tab:blue", "random": "tab:orange"}
_SMALLEST = 1e-9  # below float32; an error of 0 has no place on a logarithmic scale
_POINTS = 500  # per line: each is the largest error of as many steps as fall together


def draw_errors(title: str, parity: Sequence[Parity]) -> bytes:
    """Return a PNG: error of the probabilities against step, one panel per runtime, one line per start state.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    carried = [entry for entry in parity if entry.start != EACH]
    runtimes = list(dict.fromkeys(entry.runtime for entry in carried))
    figure = new_figure(9, 0.6 + 2.6 * len(runtimes))
    if figure is None:
        raise MissingPackageError(
            "Drawing needs matplotlib. Install it: pip install 'stepcell[plot]', or leave out --plot."
        )
    figure.suptitle(title)
    panels = figure.subplots(len(runtimes), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, runtime in zip(panels, runtimes, strict=True):
        for entry in (entry for entry in carried if entry.runtime == runtime):
            width = max(1, entry.steps // _POINTS)
            starts = range(0, entry.steps, width)
            largest = [max(float(entry.errors[at : at + width].max()), _SMALLEST) for at in starts]
            label = f"from the {entry.start} state: at most {entry.max_abs_error:.1e}"
            axes.semilogy([at + 1 for at in starts], largest, color=_COLOURS[entry.start], label=label, linewidth=0.8)
            limit = GATES[entry.quantization].error
        if limit < 1:
            axes.axhline(limit, color="tab:red", linestyle="--", linewidth=0.8, label=f"allowed: {limit:g}")
        axes.set(title=runtime, ylabel="error")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", fontsize="small")
    panels[-1].set(xlabel="step")
    return to_png(figure)
