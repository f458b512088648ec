"""The smallest input of each fault that was once found: misread data, lost answers, wrong numbers, bare errors.

    python benchmarks/cases.py          # all
    python benchmarks/cases.py R8 D3    # some

Prints a row for each: the case, its input in short, the right value, the value seen, `ok` or `WRONG`. The exit code is
1 if one is wrong. The cases are functions `case_NAME` in the files of `benchmarks/cases/`; each runs in a temporary
folder of its own and returns a `Row`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # of the package `cases`, which comes before this file of the same name

from cases import Row, data, judging, live, robustness  # noqa: E402

AREAS = (data, live, judging, robustness)
WIDEST = 100  # characters of a cell
HEADER = ("case", "input", "right", "seen", "")


def main() -> int:
    """Run the cases that are asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="names of cases, like R8; all if none is given")
    wanted = parser.parse_args().cases
    found = cases(AREAS)
    if strange := [name for name in wanted if name not in found]:
        parser.error(f"there is no case {', '.join(strange)}; there are {', '.join(found)}")
    rows = [HEADER]
    for name in wanted or found:
        row = run(found[name])
        rows.append((name, row.input, str(row.right), str(row.seen), "ok" if row.ok else "WRONG"))
    show(rows)
    wrong = sum(row[-1] == "WRONG" for row in rows)
    print(f"{len(rows) - 1} cases, {wrong} wrong")
    return 1 if wrong else 0


def cases(areas: Sequence[ModuleType]) -> dict[str, Callable[[Path], Row]]:
    """Return the cases of some modules: name -> function of a folder to work in."""
    return {
        name.removeprefix("case_"): function
        for area in areas
        for name, function in vars(area).items()
        if name.startswith("case_")
    }


def run(case: Callable[[Path], Row]) -> Row:
    """Run one case in a temporary folder, which is the working directory too; a fault of it is seen as such."""
    with tempfile.TemporaryDirectory(prefix="case-") as folder, inside(Path(folder)):
        try:
            return case(Path(folder))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            return Row(case.__name__, "no error", f"{type(error).__name__}: {error} ({where})"[:300])


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Make a folder the working directory during the block."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns; each cell on one line."""
    cells = [[cell.encode("unicode_escape").decode()[:WIDEST] for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
