"""The reproduction as a picture: how often it works, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ....runtime.common.plotting import new_figure, to_png
from ..recipes import Outcome
from .reproduction import OURS, PUBLISHED, Reproduction
from .system import System


def draw_systems(reproduction: Reproduction, chosen: Sequence[System]) -> bytes | None:
    """Return a PNG: accuracy of every seed beside the claim, and CPU-seconds. None without matplotlib."""
    measured = [system for system in chosen if reproduction.outcomes(system, OURS)]
    places = np.arange(len(measured))
    figure = new_figure(11, 1.5 + 0.32 * len(measured))
    if figure is None:
        return None
    left, right = figure.subplots(1, 2, sharey=True)
    styles: tuple[tuple[str, Callable[[Outcome], float | None], str, str, str], ...] = (
        (PUBLISHED, lambda outcome: outcome.accuracy, "tab:red", "o", "as published, by its own measure"),
        (PUBLISHED, lambda outcome: outcome.streamed, "tab:orange", "x", "as published, streamed"),
        (OURS, lambda outcome: outcome.accuracy, "tab:blue", "o", "stepcell, streamed"),
    )
    for way, value, color, marker, label in styles:
        points = [
            (100 * share, place)
            for place, system in enumerate(measured)
            for share in map(value, reproduction.outcomes(system, way))
            if share is not None
        ]
        if points:
            left.scatter(*zip(*points, strict=True), color=color, marker=marker, s=28, alpha=0.7, label=label)
    claims = [(100 * system.claim.accuracy, place) for place, system in enumerate(measured) if system.claim]
    if claims:
        left.scatter(*zip(*claims, strict=True), color="black", marker="|", s=160, label="claimed")
    left.set(xlabel="accuracy, %", xlim=(-3, 103), yticks=places, yticklabels=[system.name for system in measured])
    left.invert_yaxis()
    for way, color, offset in ((PUBLISHED, "tab:red", -0.2), (OURS, "tab:blue", 0.2)):
        seconds = [[outcome.cpu_seconds for outcome in reproduction.outcomes(system, way)] for system in measured]
        right.barh(places + offset, [np.mean(s) if s else 0.0 for s in seconds], 0.38, color=color, label=way)
    right.set(xlabel="CPU-seconds, logarithmic", xscale="log")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize=8, loc="lower left" if axes is left else "lower right")
    return to_png(figure)
