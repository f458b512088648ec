"""Published systems with recurrent memory: what was claimed, what their recipes give, and what stepcell makes of them.

from pathlib import Path

from stepcell.train.reproduction import Reproduction, systems

reproduction = Reproduction(Path("runs/reproduce"))
reproduction.run(systems(["memory"]), seeds=3)
"""

from .report import write_report
from .reproduction import Reproduction, Result
from .systems import SYSTEMS, systems
from .table import TITLES, as_json, table

__all__ = ["SYSTEMS", "TITLES", "Reproduction", "Result", "as_json", "systems", "table", "write_report"]
