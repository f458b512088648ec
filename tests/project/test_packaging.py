"""The package is what it claims to be, wherever it is installed from."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def run_isolated(code: str) -> str:
    """Run `code` in a fresh process that sees installed packages alone."""
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_every_folder_with_code_is_listed_as_a_package():
    folders = {path.parent for path in ROOT.rglob("__init__.py") if not {".venv", "build"} & set(path.parts)}
    names = {"stepcell" if f == ROOT else "stepcell." + ".".join(f.relative_to(ROOT).parts) for f in folders}
    assert names == set(PROJECT["tool"]["setuptools"]["packages"])


def test_cli_is_the_only_module_beside_the_package_file():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "cli.py"}


def test_no_committed_file_names_a_package_index():
    pattern = re.compile("|".join(["index" + "-url", "pypi.org/" + "simple", "files.python" + "hosted"]))
    binary = {".tflite", ".onnx", ".npz", ".png", ".gz"}
    offenders = [p for p in tracked_files() if p.suffix not in binary and pattern.search(p.read_text())]
    assert offenders == []


def test_everything_in_runtime_is_imported_with_numpy_alone():
    code = """
import sys
before = set(sys.modules)
from stepcell.runtime import *
import stepcell.runtime
assert all(name in globals() for name in stepcell.runtime.__all__)
# Modules of Cython have no spec.
found = {name for name in set(sys.modules) - before if getattr(sys.modules[name], "__spec__", None)}
print(*{name.partition(".")[0] for name in found} - set(sys.stdlib_module_names))
print(*sys.modules)
"""
    packages, loaded = run_isolated(code).splitlines()
    assert set(packages.split()) == {"stepcell", "numpy"}
    rooms = ("stepcell.train", "stepcell.export", "stepcell.cli")
    assert not [name for name in loaded.split() if name.startswith(rooms)]


def imported_by(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, at its head or within its functions."""
    package, found = ["stepcell", *path.relative_to(ROOT).parts[:-1]], set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("runtime", ("stepcell.train", "stepcell.export", "stepcell.cli", "tensorflow", "keras", "typer")),
        ("export", ("stepcell.train", "stepcell.cli")),
        ("train", ("stepcell.export", "stepcell.cli")),
    ],
)
def test_no_line_of_a_room_imports_what_the_room_must_not_know(room, never):
    files = list((ROOT / room).rglob("*.py"))
    assert len(files) > 20
    offenders = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imported_by(path)
        if any(name == one or name.startswith(f"{one}.") for one in never)
    }
    assert offenders == set()


@pytest.mark.parametrize("room", ["runtime", "export", "train"])
def test_importing_a_room_alone_imports_nothing_else(room):
    loaded = run_isolated(f"import stepcell.{room}, sys; print(*sys.modules)").split()
    assert {"numpy", "tensorflow"} & set(loaded) == set()
    ours = {name for name in loaded if name.startswith("stepcell")}
    assert ours == {"stepcell", "stepcell.runtime", "stepcell.runtime.common.lazy", f"stepcell.{room}"}


@pytest.mark.parametrize("room", ["runtime", "export", "train"])
def test_a_room_has_all_names_that_it_lists_and_no_others(room):
    package = import_module(f"stepcell.{room}")
    assert sorted(package.__all__) == sorted(name for names in package._HOMES.values() for name in names)
    for name in package.__all__:
        assert getattr(package, name) is vars(package)[name]
    with pytest.raises(AttributeError, match=f"module 'stepcell.{room}' has no attribute 'Nothing'"):
        _ = package.Nothing


def test_stepping_a_file_imports_no_tensorflow():
    code = f"""
import sys
from stepcell.runtime import load
for name in ("memory.tflite", "memory.onnx"):
    load({str(ROOT / "tests/data")!r} + "/" + name).stream().step("3")
print(*sys.modules)
"""
    loaded = run_isolated(code).split()
    assert {"tensorflow", "keras", "typer", "h5py", "onnx", "tf2onnx"} & set(loaded) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "--help"]])
def test_help_imports_neither_tensorflow_nor_numpy(arguments):
    code = f"""
import sys
from stepcell.cli import app
try:
    app({arguments!r})
except SystemExit:
    print("LOADED", *sys.modules)
"""
    loaded = run_isolated(code).partition("LOADED")[2].split()
    assert loaded
    assert {"tensorflow", "numpy", "keras"} & set(loaded) == set()


def test_the_version_of_the_installed_package_is_that_of_the_code():
    import importlib.metadata

    import stepcell

    assert importlib.metadata.version("stepcell") == stepcell.__version__
    assert f"## {stepcell.__version__}" in (ROOT / "CHANGELOG.md").read_text()
