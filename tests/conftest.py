"""Fixtures shared by all tests: models that are trained and exported once."""

from __future__ import annotations

import importlib
import os
import pickle
import platform
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

# Where the suite runs in the background of a shell Ctrl-C is ignored, which all processes begun here would take over.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# There are no wheels of tflite-runtime elsewhere; here it must be installed.
HAS_TFLITE_MICRO = sys.platform == "linux" and platform.machine() == "x86_64" and (3, 11) <= sys.version_info < (3, 14)
HAS_TFLITE_RUNTIME = sys.platform == "linux" and sys.version_info < (3, 12)
if HAS_TFLITE_RUNTIME:
    # Once TensorFlow has been imported, it can no longer build an interpreter in the same process.
    importlib.import_module("tflite_runtime.interpreter")

from typing import TYPE_CHECKING

import pytest
from support.models import DATA, RUNTIMES

from stepcell.runtime import Model, load

if TYPE_CHECKING:
    from stepcell.export import Exported
    from stepcell.train import FitResult


def fit_memory() -> FitResult:
    from support.keras_models import MEMORY

    from stepcell.train import Network, Options, fit

    return fit(MEMORY, Network(units=20), Options(seed=7))


def run_memory(folder: Path, fitted: Callable[[], FitResult] = fit_memory) -> None:
    from support.keras_models import MEMORY

    from stepcell.train import Network, Options, Run

    Run(folder / "run", MEMORY, Network(units=20), Options(seed=7)).finish(fitted())


def export_memory(folder: Path, run: Path) -> None:
    from stepcell.export import export, read_source

    source = read_source(run)
    options = {"name": source.name, "training": source.training, "sample": source.sample}
    keep(export(source.model, folder / "build", vocabulary=source.vocabulary, steps=1000, **options), folder)


def export_standard(folder: Path, name: str) -> None:
    from support.keras_models import STANDARD

    from stepcell.export import export

    standard = STANDARD[name]
    keep(export(standard.build(), folder / "build", name=name, steps=1000, **standard.options), folder)


def keep(exported: Exported, folder: Path) -> None:
    (folder / "exported.pickle").write_bytes(pickle.dumps(exported))


def copy_of(exported_once: Path, folder: Path) -> Exported:
    """Return an export with its files in `folder`."""
    exported: Exported = pickle.loads((exported_once / "exported.pickle").read_bytes())
    shutil.copytree(exported_once / "build", folder, dirs_exist_ok=True)
    return replace(exported, files=tuple(folder / path.name for path in exported.files))


@pytest.fixture(scope="session")
def fitted_memory() -> FitResult:
    """The memory problem, learned by 20 units; trained in this process: prefer `memory_run`."""
    return fit_memory()


@pytest.fixture(scope="session")
def memory_run(tmp_path_factory) -> Path:
    """The run folder of `fitted_memory`."""
    from support.made_once import made_once

    folder = tmp_path_factory.mktemp("runs") / "memory"
    shutil.copytree(made_once("memory_run", run_memory) / "run", folder)
    return folder


@pytest.fixture(scope="session")
def exported_memory(memory_run, tmp_path_factory) -> Exported:
    """The export of `memory_run` in each format."""
    from support.made_once import made_once

    return copy_of(made_once("memory_export", partial(export_memory, run=memory_run)), tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Callable[[str], Exported]:
    """A function from the name of a standard model (support/keras_models.py) to its export."""
    from support.made_once import made_once

    @cache
    def exported_once(name: str) -> Exported:
        folder = made_once(name, partial(export_standard, name=name))
        return copy_of(folder, tmp_path_factory.mktemp(name))

    return exported_once


@pytest.fixture(scope="session")
def memory() -> Model:
    """The checked-in memory model on the first interpreter that takes it."""
    return load(DATA / "memory.tflite")


@pytest.fixture(scope="session", params=RUNTIMES, ids=["-".join(each) for each in RUNTIMES])
def model(request) -> Model:
    """The checked-in memory model on each interpreter in turn."""
    backend, name = request.param
    return load(DATA / name, backend=backend)


def pytest_collection_modifyitems(config, items) -> None:
    """Leave out the tests that step on tflite-runtime or tflite-micro where there is none."""
    without = [item for item in items if item.get_closest_marker("tflite_micro") and not HAS_TFLITE_MICRO]
    if HAS_TFLITE_RUNTIME:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]
        return
    for item in items:
        values = getattr(getattr(item, "callspec", None), "params", {})
        backends = [values.get("backend"), values.get("runtime"), *(v[0] for v in values.values() if is_way(v))]
        if item.get_closest_marker("tflite_runtime") or "tflite" in backends:
            without.append(item)
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


def is_way(value) -> bool:
    """Tell whether a parameter is a backend and the file, or the format, that it steps."""
    return isinstance(value, tuple) and len(value) > 1 and all(isinstance(each, str) for each in value)


def pytest_sessionfinish(session) -> None:
    """Remove what earlier runs made from other sources."""
    if not hasattr(session.config, "workerinput"):
        from support.made_once import remove_stale

        remove_stale()
