"""The report of the reproduction: a Markdown page and a plot."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...runtime.common.atomic_write import atomic_write
from ...runtime.common.plotting import new_figure, to_png
from ..run.folder import package_version
from .recipe import Outcome
from .reproduction import OURS, PUBLISHED, Reproduction
from .system import System
from .table import as_markdown

TABLE_FILE, PICTURE_FILE = "reproduction.md", "reproduction.png"


def write_report(folder: Path, reproduction: Reproduction, chosen: Sequence[System]) -> list[Path]:
    """Write the table as Markdown and, with matplotlib, the picture; return the files.

    Raises:
        OutputError: They cannot be written.
    """
    picture = draw_systems(reproduction, chosen)
    page = as_markdown(reproduction, chosen, _machine(), PICTURE_FILE if picture else None)
    contents = {TABLE_FILE: page.encode()}
    if picture is not None:
        contents[PICTURE_FILE] = picture
    for name, content in contents.items():
        atomic_write(folder / name, content)
    return [folder / name for name in contents]


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


def _machine() -> str:
    """Return the machine and the software in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    software = ", ".join(f"{name} {package_version(name)}" for name in ("tensorflow", "keras"))
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {software}"
