"""Train Keras networks on streams of discrete symbols.

    from stepcell.train import Memory, Network, Options, fit

    fitted = fit(Memory.conflicting(), Network(units=20), Options(seed=7))
    print(fitted.scores["carried"].accuracy)

Names are imported at their first use; only `fit`, and networks when they are built, need TensorFlow.
"""

from typing import TYPE_CHECKING

from ..runtime.common.lazy import lazy_names

if TYPE_CHECKING:
    from .fitting.checkpoint import DivergedError, HistoryRow
    from .fitting.fit import FitResult, fit
    from .fitting.options import Options
    from .network.network import Network
    from .problems.alphabet import Alphabet
    from .problems.echo import Echo
    from .problems.events import Events
    from .problems.labels import LabelledEvents
    from .problems.memory import Memory
    from .problems.order import Order
    from .problems.problem import Batches, Problem, Recipe, Score, Streams
    from .problems.reber import Reber
    from .problems.recall import Recall
    from .problems.replay import Replay
    from .problems.series import Series
    from .problems.text import Text
    from .problems.value_score import ValueScore
    from .run.folder import Run
    from .run.report import score_table, training_progress
    from .run.tensorboard import tensorboard_log

__all__ = [
    "Alphabet",
    "Batches",
    "DivergedError",
    "Echo",
    "Events",
    "FitResult",
    "HistoryRow",
    "LabelledEvents",
    "Memory",
    "Network",
    "Options",
    "Order",
    "Problem",
    "Reber",
    "Recall",
    "Recipe",
    "Replay",
    "Run",
    "Score",
    "Series",
    "Streams",
    "Text",
    "ValueScore",
    "fit",
    "score_table",
    "tensorboard_log",
    "training_progress",
]

_HOMES = {
    ".fitting.checkpoint": ("DivergedError", "HistoryRow"),
    ".fitting.fit": ("FitResult", "fit"),
    ".fitting.options": ("Options",),
    ".network.network": ("Network",),
    ".problems.alphabet": ("Alphabet",),
    ".problems.echo": ("Echo",),
    ".problems.events": ("Events",),
    ".problems.labels": ("LabelledEvents",),
    ".problems.memory": ("Memory",),
    ".problems.order": ("Order",),
    ".problems.problem": ("Batches", "Problem", "Recipe", "Score", "Streams"),
    ".problems.reber": ("Reber",),
    ".problems.recall": ("Recall",),
    ".problems.replay": ("Replay",),
    ".problems.series": ("Series",),
    ".problems.value_score": ("ValueScore",),
    ".problems.text": ("Text",),
    ".run.folder": ("Run",),
    ".run.report": ("score_table", "training_progress"),
    ".run.tensorboard": ("tensorboard_log",),
}

if not TYPE_CHECKING:  # or a name that does not exist would pass for one
    __getattr__ = lazy_names(__name__, _HOMES)
