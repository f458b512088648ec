"""Tries an interpreter on this machine, in a process of its own: what a file does to it is part of the diagnosis."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .. import backend as runtime_backend
from ..own_process import run_runtime

_MODULES = {"litert": "ai_edge_litert", "tflite": "tflite_runtime", "onnxruntime": "onnxruntime", "numpy": "numpy"}


@dataclass(frozen=True)
class Trial:
    """What came of a trial.

    Attributes:
        failure: Why the interpreter does not run the file, "" where it does.
        golden_error: Largest difference from the golden sequence; None: there was none to replay.
        us_per_step: Microseconds a step, None where nothing was stepped.
        load_ms: Milliseconds from the file to the first answer, None likewise.
        resident_mb: Memory of a process that does nothing else, MiB; None likewise, or where the system does not say.
    """

    failure: str = ""
    golden_error: float | None = None
    us_per_step: float | None = None
    load_ms: float | None = None
    resident_mb: float | None = None


def is_installed(backend: str) -> bool:
    """Tell whether the package of an interpreter is there; whether it works only a trial tells."""
    return find_spec(_MODULES[backend]) is not None


def try_model_file(path: Path, backend: str) -> Trial:
    """Load a model file, replay its golden sequence and time its steps."""
    outcome = run_runtime("measure", str(path), backend)
    return Trial(outcome.failure) if outcome.failure is not None else Trial(**json.loads(outcome.output))


def try_any_file(path: Path, backend: str) -> Trial:
    """Load a file without a manifest, and step nothing."""
    return Trial(run_runtime("open", str(path), backend).failure or "")


def try_interpreter(backend: str, format: str) -> Trial:
    """Step the tiny model that comes with the runtime."""
    return try_model_file(Path(runtime_backend.__file__).with_name(f"probe.{format}"), backend)
