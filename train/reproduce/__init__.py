"""Published systems with recurrent memory: their claims, the results of their recipes, and those of stepcell.

    from pathlib import Path

    from stepcell.train.reproduce import Reproduction, find_systems

    reproduction = Reproduction(Path("runs/reproduce"))
    reproduction.run(find_systems(["memory"]), seeds=3)

Keras 3 asks for three changes to the recipes, none of them to the arithmetic: the fixed batch size is given to `Input`,
the state is reset on the layer, and the chosen class is the largest output.
"""

from .report import write_report
from .reproduction import Reproduction, Result
from .systems import SYSTEMS, find_systems
from .table import TITLES, as_json, table

__all__ = ["SYSTEMS", "TITLES", "Reproduction", "Result", "as_json", "find_systems", "table", "write_report"]
