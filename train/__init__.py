"""The training side: Keras networks on streams of discrete symbols.

    from stepcell.train import Memory, Network, Options, fit

    fitted = fit(Memory.conflicting(), Network(units=20), Options(seed=7))
    print(fitted.scores["carried"].accuracy)

TensorFlow, which takes seconds, is imported with the first name that is taken from here.
"""

from typing import TYPE_CHECKING

from ..runtime.lazy_names import lazy_names

if TYPE_CHECKING:
    from .alphabet import Alphabet
    from .echo import Echo
    from .engine import DivergedError, Fitted, fit
    from .events import Events
    from .memory import Memory
    from .network import Network
    from .options import Options
    from .order import Order
    from .problem import Block, Problem, Recipe, Streams
    from .reber import Reber
    from .recall import Recall
    from .replay import Replay
    from .report import score_table, training_progress
    from .run_folder import Run
    from .score import Score
    from .tensorboard import tensorboard_log
    from .text import Text
    from .training_state import Row

__all__ = [
    "Alphabet",
    "Block",
    "DivergedError",
    "Echo",
    "Events",
    "Fitted",
    "Memory",
    "Network",
    "Options",
    "Order",
    "Problem",
    "Reber",
    "Recall",
    "Recipe",
    "Replay",
    "Row",
    "Run",
    "Score",
    "Streams",
    "Text",
    "fit",
    "score_table",
    "tensorboard_log",
    "training_progress",
]

_HOMES = {
    ".alphabet": ("Alphabet",),
    ".echo": ("Echo",),
    ".engine": (
        "DivergedError",
        "Fitted",
        "fit",
    ),
    ".events": ("Events",),
    ".memory": ("Memory",),
    ".network": ("Network",),
    ".options": ("Options",),
    ".order": ("Order",),
    ".problem": (
        "Block",
        "Problem",
        "Recipe",
        "Streams",
    ),
    ".reber": ("Reber",),
    ".recall": ("Recall",),
    ".replay": ("Replay",),
    ".report": (
        "score_table",
        "training_progress",
    ),
    ".run_folder": ("Run",),
    ".score": ("Score",),
    ".tensorboard": ("tensorboard_log",),
    ".text": ("Text",),
    ".training_state": ("Row",),
}

if not TYPE_CHECKING:  # or a name that does not exist would pass for one
    __getattr__ = lazy_names(__name__, _HOMES)
