"""Pictures: a matplotlib figure without a window, and its bytes."""

from __future__ import annotations

import io
import warnings
from typing import Any, TypeAlias

Figure: TypeAlias = Any  # matplotlib has no types here


def new_figure(width: float, height: float) -> Figure | None:
    """Return an empty figure of `width` by `height` inches, or None where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure) -> bytes:
    """Return `figure` as PNG, without the name of what drew it."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a symbol that the font does not have is drawn as a box
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return file.getvalue()
