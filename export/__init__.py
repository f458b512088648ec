"""The kitchen: turns a Keras model into files whose state is in plain sight.

    from stepcell.export import export

    export(model, "build/mine", vocabulary=Vocabulary(tuple("abc")))

TensorFlow, which takes seconds, is imported with the first name that is taken from here.
"""

from typing import TYPE_CHECKING

from ..runtime.lazy_names import lazy_names

if TYPE_CHECKING:
    from ..runtime.errors import NotSteppableError, ParityError, SourceError
    from ..runtime.vocabulary_file import read_vocabulary
    from .checker import check
    from .comparison import comparison_table, recommendations
    from .exporter import Exported, export
    from .parity import STEPS, Parity
    from .precision import QUANTIZATIONS
    from .report import parity_table
    from .source import Source, load_keras, read_source
    from .start_state import read_state_file
    from .step_function import StepFunction, build_step_function
    from .step_rules import CannotStepError, LayerStep, Lookup, step_rule

__all__ = [
    "QUANTIZATIONS",
    "STEPS",
    "CannotStepError",
    "Exported",
    "LayerStep",
    "Lookup",
    "NotSteppableError",
    "Parity",
    "ParityError",
    "Source",
    "SourceError",
    "StepFunction",
    "build_step_function",
    "check",
    "comparison_table",
    "export",
    "load_keras",
    "parity_table",
    "read_source",
    "read_state_file",
    "read_vocabulary",
    "recommendations",
    "step_rule",
]

_HOMES = {
    ".checker": ("check",),
    ".comparison": ("comparison_table", "recommendations"),
    ".exporter": ("Exported", "export"),
    ".parity": ("STEPS", "Parity"),
    ".precision": ("QUANTIZATIONS",),
    ".report": ("parity_table",),
    ".source": ("Source", "load_keras", "read_source"),
    ".start_state": ("read_state_file",),
    ".step_function": ("StepFunction", "build_step_function"),
    ".step_rules": ("CannotStepError", "LayerStep", "Lookup", "step_rule"),
    "..runtime.errors": ("NotSteppableError", "ParityError", "SourceError"),
    "..runtime.vocabulary_file": ("read_vocabulary",),
}

if not TYPE_CHECKING:  # or a name that does not exist would pass for one
    __getattr__ = lazy_names(__name__, _HOMES)
