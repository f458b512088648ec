"""Convert Keras models to step files with explicit state.

    from stepcell.export import export

    export(model, "build/mine", vocabulary=Vocabulary(tuple("abc")))

Names are imported at their first use: most need TensorFlow, whose import takes seconds; `read_source`,
`read_state_file` and `read_vocabulary` do not.
"""

from typing import TYPE_CHECKING

from ..runtime.common.lazy import lazy_names

if TYPE_CHECKING:
    from ..runtime.common.errors import CompilerError, NotSteppableError, ParityError, SourceError
    from ..runtime.format.vocabulary import read_vocabulary
    from .c.write import WrittenC, write_c
    from .exporter import Exported, export
    from .layers import CannotStepError, LayerStep, Lookup, step_rule
    from .ops.precision import QUANTIZATIONS
    from .parity.check_file import check
    from .parity.comparison import comparison_table, recommendations
    from .parity.parity import STEPS, Parity
    from .parity.report import parity_table
    from .sources.run_folder import read_state_file
    from .sources.source import Source, load_keras, read_source
    from .step_function.build import StepFunction, build_step_function

__all__ = [
    "QUANTIZATIONS",
    "STEPS",
    "CannotStepError",
    "CompilerError",
    "Exported",
    "LayerStep",
    "Lookup",
    "NotSteppableError",
    "Parity",
    "ParityError",
    "Source",
    "SourceError",
    "StepFunction",
    "WrittenC",
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
    "write_c",
]

_HOMES = {
    ".parity.check_file": ("check",),
    ".parity.comparison": ("comparison_table", "recommendations"),
    ".c.write": ("WrittenC", "write_c"),
    ".exporter": ("Exported", "export"),
    ".parity.parity": ("STEPS", "Parity"),
    ".ops.precision": ("QUANTIZATIONS",),
    ".parity.report": ("parity_table",),
    ".sources.source": ("Source", "load_keras", "read_source"),
    ".sources.run_folder": ("read_state_file",),
    ".step_function.build": ("StepFunction", "build_step_function"),
    ".layers": ("CannotStepError", "LayerStep", "Lookup", "step_rule"),
    "..runtime.common.errors": ("CompilerError", "NotSteppableError", "ParityError", "SourceError"),
    "..runtime.format.vocabulary": ("read_vocabulary",),
}

if not TYPE_CHECKING:  # or a name that does not exist would pass for one
    __getattr__ = lazy_names(__name__, _HOMES)
