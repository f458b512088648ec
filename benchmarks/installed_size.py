"""Installed size and number of packages of stepcell, its extras and `make demo`: a Markdown table.

Each row is a fresh environment with the versions of constraints.txt. pip itself is not counted, the bytecode that it
compiles is. `make demo` is run, in a copy of the source, and counted afterwards.

Run: python benchmarks/installed_size.py [--source CHECKOUT] [--rows '[tflite]' 'make demo']
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = "make demo"
ROWS = ("stepcell", "[cli]", "[tflite]", "[litert]", "[onnx]", "[serve]", "[train-cpu]", "[train]", "[export]", DEMO)
_NOT_COUNTED = ("pip", "_distutils_hack", "distutils-precedence.pth")  # of every environment
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def main() -> None:
    """Measure all rows, print each as it is done, and the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", type=Path, default=ROOT, help="A checkout of stepcell, another than this one.")
    parser.add_argument("--rows", nargs="+", default=ROWS, help="Some of the rows.")
    options = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory() as work:
        source = copy_source(options.source.resolve(), Path(work) / "source")
        for row in options.rows:
            folder = install(source, row, Path(work) / "venv")
            measured[row] = (size_of(folder), len(packages_of(folder)))
            print(json.dumps({row: measured[row]}), file=sys.stderr, flush=True)
            shutil.rmtree(folder)
    print(table(measured))


def copy_source(source: Path, folder: Path) -> Path:
    """Copy the files of a checkout that git knows or would add to `folder`, and return it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=source, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    return folder


def install(source: Path, row: str, folder: Path) -> Path:
    """Install what `row` names, and return the environment: in `folder`, or where `make demo` puts it."""
    if row == DEMO:
        run("make", "demo", f"PYTHON={sys.executable}", cwd=source)
        (made,) = source.glob(".venv*")
        return made
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    what = f"{source}{row if row.startswith('[') else ''}"
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet"]
    run(*pip, "-c", str(source / "constraints.txt"), what)
    return folder


def run(*command: str, cwd: Path | None = None) -> None:
    """Run a command; its output is none of the table's."""
    subprocess.run(command, cwd=cwd, env=_ENVIRONMENT, check=True, stdout=sys.stderr)


def site_packages(environment: Path) -> Path:
    """Return the folder of an environment with its packages."""
    (folder,) = environment.glob("lib/python*/site-packages")
    return folder


def packages_of(environment: Path) -> list[str]:
    """Return the names of the packages in an environment, without pip."""
    names = [path.name.partition("-")[0] for path in site_packages(environment).glob("*.dist-info")]
    return sorted(name for name in names if name not in _NOT_COUNTED)


def size_of(environment: Path) -> int:
    """Return the bytes of the packages in an environment, without pip."""
    counted = [
        path
        for path in site_packages(environment).iterdir()
        if path.name not in _NOT_COUNTED and not path.name.startswith("pip-")
    ]
    files = [file for path in counted for file in ([path] if path.is_file() else path.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file() and not file.is_symlink())


def table(measured: dict[str, tuple[int, int]]) -> str:
    """Return the rows as Markdown, under the machine and its Python."""
    title = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}; MB of 1,000,000 bytes"
    lines = [title, "", "| | MB | packages |", "|---|---|---|"]
    for row, (size, packages) in measured.items():
        name = row if row in (DEMO, "stepcell") else f"stepcell{row}"
        lines.append(f"| `{name}` | {size / 1e6:,.0f} | {packages} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
