"""Published systems with recurrent memory: what was claimed, what their recipes give, and what stepcell makes of them.

    from pathlib import Path

    from stepcell.train.reproduction import Reproduction, systems

    reproduction = Reproduction(Path("runs/reproduce"))
    reproduction.run(systems(["memory"]), seeds=3)
"""

from .picture import draw_systems
from .reproduction import Reproduction, Result
from .systems import SYSTEMS, systems
from .table import as_json, as_markdown, table

__all__ = ["SYSTEMS", "Reproduction", "Result", "as_json", "as_markdown", "draw_systems", "systems", "table"]
