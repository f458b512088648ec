"""Show measurements as a table, as JSON and as a picture."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..common.errors import MissingPackageError
from ..common.plotting import new_figure, to_png
from ..interpreters.registry import NATIVE, describe_backend
from .measurement import Measurement
from .variants import REFERENCE


def machine() -> str:
    """Return processor, cores and Python version of this machine in a line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def as_rows(found: Sequence[Measurement]) -> tuple[list[str], list[list[str]], str]:
    """Return header, rows and a note: a row for each variant, a column for each runtime."""
    names = list(dict.fromkeys(name for one in found for name in one.microseconds))
    rows = [[name, *(_cell(one, name) for one in found)] for name in names]
    figures: dict[str, Callable[[Measurement], str]] = {
        "from file to first answer": lambda one: f"{one.load_ms:.1f} ms",
        "first step": lambda one: f"{one.first_us:.1f}",
        "Stream.step: p50, p99, max": lambda one: f"{one.p50_us:.2f}, {one.p99_us:.2f}, {one.max_us:.1f}",
        "with cold caches": lambda one: f"{one.cold_us:.1f}",
        "resident memory": lambda one: "unknown" if one.memory_mb is None else f"{one.memory_mb:.0f} MB",
    }
    rows += [[name, *(figure(one) for one in found)] for name, figure in figures.items()]
    note = (
        f"microseconds per symbol, in brackets the ratio to {REFERENCE!r} on the same interpreter\n"
        "(of a latency to its latency); processor time, the lowest of several rounds in which variants take turns;\n"
        "the last lines are wall time"
    )
    notes = [f"{one.runtime}: {text}" for one in found for text in one.notes]
    notes += engine_notes(found)
    return ["variant", *(one.runtime for one in found)], rows, "\n".join([note, *notes])


def engine_notes(found: Sequence[Measurement]) -> list[str]:
    """Return in a line how a step of the compiled engine compares with the fastest other one, if it was measured."""
    name = "Stream.step_id"
    engine = describe_backend(NATIVE)
    steps = {one.runtime: one.microseconds[name] for one in found if name in one.microseconds}
    mine = steps.pop(engine, None)
    if mine is None or not steps:
        return []
    other = min(steps, key=lambda runtime: steps[runtime])
    if mine >= steps[other]:
        return [f"{engine}: a step takes {mine / steps[other]:.2f} of that on {other}"]
    return [f"{engine}: a step takes {mine / steps[other]:.2f} of that on {other}; ask for it with --backend native"]


def as_json(found: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return the measurements as JSON objects."""
    return [
        {
            **{name: value for name, value in vars(one).items() if name not in ("microseconds", "notes")},
            "notes": list(one.notes),
            "variants": {
                name: {"microseconds": round(value, 3), "ratio": one.ratio(name)}
                for name, value in one.microseconds.items()
            },
        }
        for one in found
    ]


def draw(found: Sequence[Measurement], title: str) -> bytes:
    """Draw the variants as bars, a colour for each runtime; return a PNG.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    names = list(dict.fromkeys(name for one in found for name in one.microseconds))[::-1]
    figure = new_figure(9, 0.3 * len(names) * max(1, len(found)) / 1.5 + 1.5)
    if figure is None:
        raise MissingPackageError("The picture needs matplotlib. Install it: pip install 'stepcell[plot]'")
    axes = figure.subplots()
    height = 0.8 / len(found)
    for number, one in enumerate(found):
        offset = (len(found) - 1 - number) * height
        bars = {row + offset: one.microseconds[n] for row, n in enumerate(names) if n in one.microseconds}
        axes.barh(list(bars), list(bars.values()), height, label=one.runtime)
    axes.set_yticks([row + height * (len(found) - 1) / 2 for row in range(len(names))], names)
    axes.set_xscale("log")
    axes.set_xlabel("microseconds per symbol")
    axes.set_title(title)
    axes.legend()
    return to_png(figure)


def _cell(one: Measurement, name: str) -> str:
    if name not in one.microseconds:
        return ""
    ratio = one.ratio(name)
    return f"{one.microseconds[name]:.2f}" + ("" if ratio is None else f" ({ratio:.2f})")
