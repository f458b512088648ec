"""The package is what it claims to be, wherever it is installed from."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from support.imports import ROOT, imports_of, source_files
from support.wheel import build_wheel, tracked_files

import stepcell

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
ROOMS = ["runtime", "export", "train"]
DATA_FILES = {
    "py.typed",
    "runtime/interpreters/probe.tflite",
    "runtime/interpreters/probe.onnx",
    "runtime/interpreters/native/_engine.pyi",
    "runtime/interpreters/probe.tflm.tflite",
    *(f"export/web/{name}" for name in ("page.html", "demo.html", "demo.css", "demo.js")),
    *(f"runtime/serve/page/{name}" for name in ("index.html", "page.css", "page.js", "connection.js", "draw.js")),
}
RUNTIME_WITH_NUMPY_ALONE = """
import sys
before = set(sys.modules)
from stepcell.runtime import *
import stepcell.runtime
assert all(name in globals() for name in stepcell.runtime.__all__)
# Modules of Cython have no spec.
found = {name for name in set(sys.modules) - before if getattr(sys.modules[name], "__spec__", None)}
print(*{name.partition(".")[0] for name in found} - set(sys.stdlib_module_names))
"""


def run_isolated(code):
    """Run `code` in a fresh process that sees installed packages alone."""
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def distribution(requirement):
    """Return the name of the package that a requirement asks for, in lower case."""
    return re.match(r"[\w.-]+", requirement)[0].lower()


def packages_of(extra):
    """Return the packages that an extra brings, those of the extras in it among them."""
    found = set()
    for requirement in EXTRAS[extra]:
        inner = re.match(r"stepcell\[(.+?)\]", requirement)
        found |= packages_of(inner[1]) if inner else {distribution(requirement)}
    return found


BASE = {distribution(requirement) for requirement in PROJECT["project"]["dependencies"]}
GROUPS = PROJECT["dependency-groups"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names in a wheel that is built from the tracked files without a C compiler, and its metadata."""
    path = build_wheel(tmp_path_factory.mktemp("wheel"))
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        return names, archive.read(metadata).decode()


def test_every_folder_with_code_is_listed_as_a_package():
    folders = {Path(file).parent.parts for file in source_files()}
    assert sorted(".".join(("stepcell", *folder)) for folder in folders) == sorted(PACKAGES)


def test_the_wheel_holds_the_source_and_data_files_and_nothing_else(wheel):
    names, _ = wheel
    inner = {name.removeprefix("stepcell/") for name in names if ".dist-info/" not in name}
    assert inner == {*source_files(), *DATA_FILES}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_says_what_it_needs_and_where_it_comes_from(wheel):
    metadata = wheel[1].split("\n\n")[0].splitlines()
    required = [line.removeprefix("Requires-Dist: ") for line in metadata if line.startswith("Requires-Dist: ")]
    assert {distribution(each) for each in required if "extra ==" not in each} == {"numpy", "filelock"} == BASE
    assert {line for line in metadata if line.startswith("Provides-Extra: ")} == {
        f"Provides-Extra: {e}" for e in EXTRAS
    }
    urls = [line.split(", ")[1] for line in metadata if line.startswith("Project-URL: ")]
    assert len(urls) >= 4
    assert all(url.startswith("https://example.org/stepcell") for url in urls)


def test_the_long_description_has_links_that_lead_somewhere_from_anywhere(wheel):
    description = wheel[1].split("\n\n", 1)[1]
    links = re.findall(r"\]\(([^)\s]+)", description)
    base = f"{PROJECT['project']['urls']['Source']}/blob/v{stepcell.__version__}/"
    ours = [link.removeprefix(base).partition("#") for link in links if link.startswith(base)]
    assert len(ours) > 30
    assert [link for link in links if not link.startswith("https://")] == []
    assert [file for file, _, _ in ours if not (ROOT / file).is_file()] == []
    assert (
        re.sub(r"\]\([^)\s]+", "", description).strip()
        == re.sub(r"\]\([^)\s]+", "", (ROOT / "README.md").read_text(encoding="utf-8")).strip()
    )
    assert "Description-Content-Type: text/markdown" in wheel[1]


def test_a_workflow_uploads_tags_alone_and_without_a_password():
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    publish = workflow["jobs"]["publish"]
    assert publish["if"] == "github.ref_type == 'tag'"
    assert set(publish["needs"]) == set(workflow["jobs"]) - {"publish"}
    assert publish["permissions"] == {"id-token": "write"}
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in str(workflow)


def test_cli_is_the_only_module_beside_the_package_file_and_setup():
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "cli.py", "setup.py"}


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_brings_the_command_line(extra):
    assert {"typer", "rich"} <= packages_of(extra)


def test_every_package_that_is_imported_is_declared():
    declared = BASE.union(*map(packages_of, EXTRAS))
    names = {
        "tflite_runtime": "tflite-runtime",
        "tflite_micro": "tflite-micro",
        "ai_edge_litert": "ai-edge-litert",
        "tf_keras": "tf-keras",
    }
    names |= {"paho": "paho-mqtt", "prometheus_client": "prometheus-client"}
    imported = {each.module.partition(".")[0] for file in source_files() for each in imports_of(file)}
    # A layer of keras_lmu can only come from that package, which is imported then.
    foreign = imported - set(sys.stdlib_module_names) - {"stepcell", "_typeshed", "keras_lmu"}
    assert {names.get(name, name) for name in foreign} - declared == set()


def test_the_demo_installs_training_and_one_interpreter_and_nothing_else():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^\.venv-demo/\.ready:.*\n((?:\t.+\n)+)", makefile, re.M)[1]
    (extras,) = re.findall(r"-e '\.\[(.+?)\]'", recipe)
    assert "--group" not in recipe
    wanted = {"typer", "rich", "keras", "tensorflow", "tensorflow-cpu", "tflite-runtime", "ai-edge-litert", "numpy"}
    assert set().union(*map(packages_of, extras.split(","))) == wanted


@pytest.mark.slow
def test_the_demo_trains_and_proves_tflite_files_without_packages_of_other_extras(tmp_path):
    other = set().union(*map(packages_of, ["export", "search", "plot", "onnx", "litert", "parquet", "serve"]))
    modules = {each.replace("-", "_") for each in other} - {
        "typer",
        "rich",
        "tensorflow",
        "keras",
        "flatbuffers",
        "h5py",
    }
    assert {"onnx", "tf2onnx", "tf_keras", "optuna", "matplotlib", "onnxruntime"} <= modules
    code = f"""
import sys
sys.modules.update(dict.fromkeys({modules}))
from stepcell.cli import main
sys.argv = ["stepcell", "demo", "--steps", "200"]
main()
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "model.tflite" in done.stdout
    assert [line for line in done.stderr.splitlines() if re.match(r"[IWE]\d{4} ", line)] == []  # remarks of TensorFlow
    assert sorted(path.name for path in (tmp_path / "build/memory").iterdir()) == ["model.tflite", "parity.json"]


def test_constraints_pin_every_package_that_is_declared():
    pins = {distribution(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    development = {distribution(each) for group in GROUPS.values() for each in group if isinstance(each, str)}
    assert BASE.union(development, *map(packages_of, EXTRAS)) - pins == set()


def test_no_committed_file_names_a_package_index():
    pattern = re.compile("|".join(["index" + "-url", "pypi.org/" + "simple", "files.python" + "hosted"]))
    binary = {".tflite", ".onnx", ".png", ".gz", ".npz"}
    binary |= {".h5", ".keras", ".pb", ".index", ".data-00000-of-00001"}  # of Keras 2
    offenders = [p for p in tracked_files() if p.suffix not in binary and pattern.search(p.read_text(encoding="utf-8"))]
    assert offenders == []


def test_everything_in_runtime_is_imported_with_numpy_alone():
    assert set(run_isolated(RUNTIME_WITH_NUMPY_ALONE).split()) == {"stepcell", "numpy"}


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_alone_imports_nothing_else(room):
    loaded = run_isolated(f"import stepcell.{room}, sys; print(*sys.modules)").split()
    assert {"numpy", "tensorflow"} & set(loaded) == set()
    ours = {name for name in loaded if name.startswith("stepcell")}
    assert ours == {"stepcell", "stepcell.runtime", "stepcell.runtime.common", "stepcell.runtime.common.lazy"} | {
        f"stepcell.{room}"
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_all_names_that_it_lists_and_shows_the_same_to_type_checkers(room):
    package = import_module(f"stepcell.{room}")
    for name in package.__all__:
        assert getattr(package, name) is vars(package)[name]
    with pytest.raises(AttributeError, match=f"module 'stepcell.{room}' has no attribute 'Nothing'"):
        _ = package.Nothing
    tree = ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8"))
    (for_types,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    assert sorted(alias.name for node in for_types.body for alias in node.names) == sorted(package.__all__)


def test_stepping_a_file_imports_no_tensorflow():
    code = f"""
import sys
from stepcell.runtime import load
for name in ("memory.tflite", "memory.onnx"):
    load({str(ROOT / "tests/data")!r} + "/" + name).stream().step("3")
print(*sys.modules)
"""
    loaded = run_isolated(code).split()
    assert {"tensorflow", "keras", "typer", "rich", "filelock", "h5py", "onnx", "tf2onnx"} & set(loaded) == set()


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


def test_without_typer_the_command_says_what_to_install():
    code = "import sys; sys.modules['typer'] = None; from stepcell.cli import main; main()"
    process = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "needs the package typer. Install it: pip install 'stepcell[cli]'" in process.stderr
    assert "Traceback" not in process.stderr


def test_the_version_of_the_installed_package_is_that_of_the_code():
    assert importlib.metadata.version("stepcell") == stepcell.__version__
    assert f"## {stepcell.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
