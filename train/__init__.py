"""The training side: Keras networks on streams of discrete symbols.

    from stepcell.train import Memory, Network, Options, fit

    fitted = fit(Memory.conflicting(), Network(units=20), Options(seed=7))
    print(fitted.scores["carried"].accuracy)

Importing this package imports TensorFlow, which takes seconds.
"""

from .echo import Echo
from .fit import DivergedError, Fitted, Options, Row, fit
from .memory import Memory
from .network import Network
from .problem import Block, Problem, Recipe, Streams
from .report import score_table, training_progress
from .run_folder import prepare_run_folder, write_run_folder
from .score import Score
from .text import Text

__all__ = [
    "Block",
    "DivergedError",
    "Echo",
    "Fitted",
    "Memory",
    "Network",
    "Options",
    "Problem",
    "Recipe",
    "Row",
    "Score",
    "Streams",
    "Text",
    "fit",
    "prepare_run_folder",
    "score_table",
    "training_progress",
    "write_run_folder",
]
