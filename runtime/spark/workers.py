"""The model in the workers: shipped, loaded once by each process, and tried before a query begins."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..common.errors import MissingPackageError, OptionError, WorkerError
from ..streams.model import Model, load

INSTALL = "pip install 'stepcell[spark]'"
_MOST_TRIED = 64  # tasks that try to load the model
_SET_PYTHON = (
    "The workers run the Python that PYSPARK_PYTHON names when the session starts; it needs stepcell, as here: "
    "os.environ['PYSPARK_PYTHON'] = sys.executable before SparkSession.builder"
)
_REASON = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Mismatch)?: .+|^\[[A-Z_]+\.?[A-Z_]*\] .+")


def require_spark() -> None:
    """Raise MissingPackageError if Spark for Python, or what it needs for its state, is not installed."""
    missing = []
    for module, package in (("pyspark", "pyspark"), ("pandas", "pandas"), ("pyarrow", "pyarrow"),
                            ("google.protobuf", "protobuf")):  # fmt: skip
        try:
            __import__(module)
        except ImportError:
            missing.append(package)
    if missing:
        raise MissingPackageError(f"Spark needs {', '.join(missing)} here and on all workers: {INSTALL}")


def context_of(spark: Any) -> Any:
    """Return the context of a session.

    Raises:
        OptionError: It is a session of Spark Connect, which cannot ship files to workers in this way.
    """
    try:
        return spark.sparkContext
    except Exception as error:
        raise OptionError(
            "The table belongs to a session of Spark Connect. Begin the session on the cluster itself: "
            "SparkSession.builder.master(...)."
        ) from error


def ship_model(spark: Any, path: str | Path, backend: str | None, *, check: bool = True) -> tuple[Model, str]:
    """Load a model here, send its file to the workers, and let them load it.

    Args:
        spark: The session.
        path: The model file.
        backend: Interpreter that steps it; None: the fastest that is installed, on each worker.
        check: Let workers load it now; else the query says what they cannot do.

    Returns:
        The model, and the name under which workers find its file.

    Raises:
        ModelFileError, NoInterpreterError, BackendError: It cannot be loaded here.
        WorkerError: It cannot be loaded there.
    """
    context = context_of(spark)
    model = load(path, backend=backend)
    fingerprint = model.manifest.fingerprint
    name = f"{fingerprint[:16]}-{Path(path).name}"  # two files of one name would be one to Spark
    if not getattr(context, "_stepcell_files", set()) & {name}:
        folder = tempfile.mkdtemp(prefix="stepcell-spark-")
        shutil.copy(path, Path(folder, name))
        context.addFile(str(Path(folder, name)))
        context._stepcell_files = {*getattr(context, "_stepcell_files", ()), name}
    if check:
        try_workers(context, name, backend)
    return model, name


def try_workers(context: Any, name: str, backend: str | None) -> None:
    """Let workers load a model that was shipped.

    Raises:
        WorkerError: One of them cannot; the message has its reason.
    """
    tasks = max(1, min(context.defaultParallelism, _MOST_TRIED))
    here = sys.version_info[:2]
    try:
        found = context.parallelize(range(tasks), tasks).mapPartitions(_Trial(name, backend)).collect()
    except Exception as error:
        raise WorkerError(f"A worker cannot run stepcell: {reason_in(str(error))}. {_SET_PYTHON}.") from error
    failed = {where: reason for where, reason in found if reason}
    if failed:
        told = "; ".join(f"{where}: {reason.rstrip('.')}" for where, reason in sorted(failed.items())[:3])
        raise WorkerError(
            f"Workers cannot load the model ({len(failed)} of {len({where for where, _ in found})} kinds of them). "
            f"{told}. Here it is loaded by Python {here[0]}.{here[1]}. {_SET_PYTHON}."
        )


class _Trial:
    """Loads the model in a worker."""

    def __init__(self, name: str, backend: str | None) -> None:
        self._name, self._backend = name, backend

    def __call__(self, _: Iterable[Any]) -> Iterator[tuple[str, str]]:
        """Yield the worker's Python in words, and why it cannot load the model; "": it can."""
        where = f"{sys.executable} (Python {platform.python_version()}) on {platform.node()}"
        try:
            model_in_worker(self._name, self._backend)
        except Exception as error:
            yield where, f"{type(error).__name__}: {error}"
        else:
            yield where, ""


@lru_cache(maxsize=8)
def _loaded(path: str, backend: str | None, process: int) -> Model:
    return load(path, backend=backend)


def model_in_worker(name: str, backend: str | None) -> Model:
    """Return the model whose file was shipped under `name`; each process loads it once.

    Raises:
        ModelFileError, NoInterpreterError, BackendError: As `load` does.
    """
    from pyspark import SparkFiles

    return _loaded(SparkFiles.get(name), backend, os.getpid())


def reason_in(text: str) -> str:
    """Return the reason that a worker gave, out of what Spark wrote of it: the error at the end of the traceback."""
    lines = [line.strip() for line in text.splitlines()]
    for line in reversed(lines):  # the last error of a traceback is the one that was raised
        if line.startswith("stepcell.") and "Error: " in line:
            return line.split("Error: ", 1)[1].rstrip(".")
    after = False
    for line in lines:
        if "Traceback (most recent call last)" in line:  # behind what Spark says of it
            after = True
        elif after and _REASON.match(line) and not line.startswith("File "):
            return line.rstrip(".")
    first = next((line for line in lines if line), "no reason was given")
    return first.rpartition("terminated with exception: ")[2].rstrip(".")


def raise_reason(error: BaseException) -> None:
    """Raise WorkerError with the reason of a worker in place of `error`, if there is one in it."""
    reason = reason_in(str(error))
    raise WorkerError(f"A worker has stopped the query: {reason}.") from error
