"""Models that people have: each is exported or adopted and stepped, or refused with the one cause that is true.

    python benchmarks/reach.py                   # all
    python benchmarks/reach.py M2_tutorial M3    # some

Prints a row for each: the case, the model in short, the right result, the result seen, `ok` or `WRONG`. The exit code
is 1 if one is wrong. The cases are functions `case_NAME` in the files `benchmarks/cases/models_*.py`; each runs in a
temporary folder of its own and returns a `Row`.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # of the package `cases`

from cases.runner import main  # noqa: E402

if __name__ == "__main__":
    areas = [importlib.import_module(f"cases.{file.stem}") for file in sorted((HERE / "cases").glob("models_*.py"))]
    sys.exit(main(__doc__, areas))
