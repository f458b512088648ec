"""Fixtures shared by all tests: models that are trained and exported once."""

from __future__ import annotations

import importlib
import os
import signal
from pathlib import Path

# Where the suite runs in the background of a shell Ctrl-C is ignored, which all processes begun here would take over.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Once TensorFlow has been imported, tflite-runtime can no longer build an interpreter in the same process.
importlib.import_module("tflite_runtime.interpreter")

from typing import TYPE_CHECKING

import pytest
from support.models import DATA, RUNTIMES

from stepcell.runtime import Model, load

if TYPE_CHECKING:
    from stepcell.export import Exported
    from stepcell.train import FitResult


@pytest.fixture(scope="session")
def fitted_memory() -> FitResult:
    from support.keras_models import MEMORY

    from stepcell.train import Network, Options, fit

    return fit(MEMORY, Network(units=20), Options(seed=7))


@pytest.fixture(scope="session")
def memory_run(fitted_memory, tmp_path_factory) -> Path:
    from support.keras_models import MEMORY

    from stepcell.train import Network, Options, Run

    folder = tmp_path_factory.mktemp("runs") / "memory"
    Run(folder, MEMORY, Network(units=20), Options(seed=7)).finish(fitted_memory)
    return folder


@pytest.fixture(scope="session")
def exported_memory(memory_run, tmp_path_factory) -> Exported:
    from stepcell.export import export, read_source

    source = read_source(memory_run)
    return export(
        source.model,
        tmp_path_factory.mktemp("build"),
        vocabulary=source.vocabulary,
        name=source.name,
        training=source.training,
        sample=source.sample,
        steps=1000,
    )


@pytest.fixture(scope="session")
def memory() -> Model:
    """The checked-in memory model on the first interpreter that takes it."""
    return load(DATA / "memory.tflite")


@pytest.fixture(scope="session", params=RUNTIMES, ids=["-".join(each) for each in RUNTIMES])
def model(request) -> Model:
    """The checked-in memory model on each interpreter in turn."""
    backend, name = request.param
    return load(DATA / name, backend=backend)
