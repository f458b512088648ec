"""The training side: Keras networks on streams of discrete symbols.

    from stepcell.train import Memory, Network, Options, fit

    fitted = fit(Memory.conflicting(), Network(units=20), Options(seed=7))
    print(fitted.scores["carried"].accuracy)

Importing this package imports TensorFlow, which takes seconds.
"""

from .alphabet import Alphabet
from .echo import Echo
from .engine import DivergedError, Fitted, fit
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
