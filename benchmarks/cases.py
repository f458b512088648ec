"""The smallest input of each fault that was once found: misread data, lost answers, wrong numbers, bare errors.

    python benchmarks/cases.py          # all
    python benchmarks/cases.py R8 D3    # some

Prints a row for each: the case, its input in short, the right value, the value seen, `ok` or `WRONG`. The exit code is
1 if one is wrong. The cases are functions `case_NAME` in the files of `benchmarks/cases/`; each runs in a temporary
folder of its own and returns a `Row`.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # of the package `cases`

from cases import data, judging, live, robustness
from cases.runner import main

if __name__ == "__main__":
    sys.exit(main(__doc__, (data, live, judging, robustness)))
