"""Run cases and print the table of them."""

from __future__ import annotations

import argparse
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from . import Row

WIDEST = 100  # characters of a cell
HEADER = ("case", "input", "right", "seen", "")


def main(description: str | None, areas: Sequence[ModuleType]) -> int:
    """Run the cases of some modules that the command line asks for and print the table.

    Args:
        description: What `--help` says.
        areas: Modules with functions `case_NAME`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="names of cases, like R8; all if none is given")
    wanted = parser.parse_args().cases
    found = cases(areas)
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
